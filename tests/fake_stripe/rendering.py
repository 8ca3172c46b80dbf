"""Objects as they are answered: private keys left out, prices of items in full, and what `expand` names filled in."""

import json
from typing import Any

from tests.fake_stripe.errors import invalid
from tests.fake_stripe.objects import Object, listing
from tests.fake_stripe.store import Store

DEEPEST = 4

#: Fields that hold an id, and where asked for, the object.
EXPANDABLE = {
    "balance_transaction",
    "charge",
    "configuration",
    "coupon",
    "credit_note",
    "customer",
    "default_payment_method",
    "default_price",
    "default_source",
    "discounts",
    "failure_balance_transaction",
    "invoice",
    "latest_charge",
    "latest_invoice",
    "payment_intent",
    "payment_method",
    "pending_setup_intent",
    "price",
    "product",
    "promotion_code",
    "refund",
    "schedule",
    "setup_intent",
    "source",
    "subscription",
}
#: Named like one of the above, but plain ids by Stripe's description.
PLAIN = {
    ("billing_portal.session", "customer"),
    ("charge", "payment_method"),
    ("discount", "invoice"),
    ("discount", "subscription"),
    ("line_item", "invoice"),
    ("subscription_item", "subscription"),
}
#: Left out of an answer unless `expand` names them.
INCLUDED = {
    ("charge", "refunds"),
    ("checkout.session", "line_items"),
    ("coupon", "applies_to"),
    ("customer", "sources"),
    ("customer", "subscriptions"),
    ("customer", "tax_ids"),
    ("invoice", "payments"),
    ("item", "discounts"),
    ("price", "currency_options"),
    ("price", "tiers"),
}
NESTED = {dict, list}


def render(store: Store, obj: Object, expand: list[str] | None = None) -> Object:
    """A copy to answer with. Raises where a path of `expand` is deeper than four or cannot be expanded."""
    shown: Object = _public(store, obj)
    for path in expand or []:
        parts = path.split(".")
        # The `data` of a list is one of them.
        if len(parts) > DEEPEST:
            raise invalid(f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}")
        _expand(store, shown, parts, path)
    return shown


def _public(store: Store, value: Any) -> Any:
    if isinstance(value, list):
        return [_public(store, item) if type(item) in NESTED else item for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("object")
    if kind == "event":
        # What it tells of was made public when it happened.
        waiting = store.all("_delivery", event=value["id"])
        return value | {"pending_webhooks": sum(each["state"] in ("pending", "held") for each in waiting)}
    shown = {
        name: _public(store, child) if type(child) in NESTED else child
        for name, child in value.items()
        if name[:1] != "_"
    }
    if kind in ("subscription_item", "item") and isinstance(shown.get("price"), str):
        shown["price"] = _public(store, store.get("price", shown["price"]))
    elif kind == "customer" and isinstance(shown.get("discount"), str):
        shown["discount"] = _public(store, store.get("discount", shown["discount"]))
    return shown


def _expand(store: Store, place: Any, parts: list[str], path: str) -> None:
    if isinstance(place, list):
        for item in place:
            _expand(store, item, parts, path)
        return
    if not isinstance(place, dict):
        return
    name, *rest = parts
    kind = place.get("object")
    if (kind, parts) == ("checkout.session", ["total_details", "breakdown"]):
        place["total_details"]["breakdown"] = {"discounts": _session_discounts(store, place["id"]), "taxes": []}
        return
    if (kind, name) in INCLUDED and name not in place:
        included = _included(store, place, name)
        if included is None:
            return
        place[name] = included
    if name not in place and not (kind is None or name in EXPANDABLE):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    value = place.get(name)
    if not rest and not _is_expandable(kind, name, value):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    if name in EXPANDABLE:
        value = place[name] = _in_full(store, value)
    if rest:
        _expand(store, value, rest, path)


def _is_expandable(kind: str | None, name: str, value: Any) -> bool:
    if (kind, name) in PLAIN:
        return False
    return name in EXPANDABLE or (kind, name) in INCLUDED or (kind, name) == ("invoice", "confirmation_secret")


def _in_full(store: Store, value: Any) -> Any:
    if isinstance(value, list):
        return [_in_full(store, item) for item in value]
    kind = store.kind_of(value) if isinstance(value, str) else None
    return value if kind is None else _public(store, store.get(kind, value))


def _included(store: Store, place: Object, name: str) -> Any:
    id = place["id"]
    if name == "refunds":
        return listing(_of(store, "refund", charge=id), f"/v1/charges/{id}/refunds")
    if name == "line_items":
        items = store.get("checkout.session", id)["_line_items"]
        return listing(_public(store, items), f"/v1/checkout/sessions/{id}/line_items")
    if (place["object"], name) == ("item", "discounts"):
        return _item_discounts(store, place)
    if name == "subscriptions":
        live = [one for one in _of(store, "subscription", customer=id) if not has_ended(one)]
        return listing(live, f"/v1/customers/{id}/subscriptions")
    if name in ("sources", "tax_ids"):
        return listing([], f"/v1/customers/{id}/{name}")
    if name == "payments":
        return listing(_of(store, "invoice_payment", invoice=id), "/v1/invoice_payments")
    if name == "applies_to":
        return store.get("coupon", id).get("_applies_to")
    if name == "currency_options":
        return {
            place["currency"]: {
                "custom_unit_amount": None,
                "tax_behavior": place["tax_behavior"],
                "unit_amount": place["unit_amount"],
                "unit_amount_decimal": place["unit_amount_decimal"],
            }
        }
    return None


def _session_discounts(store: Store, id: str) -> list[Object]:
    """Known when it is paid: until then a session has a coupon and no discount."""
    session = store.get("checkout.session", id)
    subscription = store.find("subscription", session["subscription"])
    made = store.all("discount", checkout_session=id) if subscription else ()
    amount = session["total_details"]["amount_discount"]
    return [{"amount": amount, "discount": _public(store, one)} for one in made]


def _item_discounts(store: Store, item: Object) -> list[Object]:
    for session in store.all("checkout.session"):
        if any(row["id"] == item["id"] for row in session["_line_items"]):
            found = _session_discounts(store, session["id"])
            return [each | {"amount": item["amount_discount"]} for each in found]
    return []


def _of(store: Store, kind: str, **fields: Any) -> list[Object]:
    return [_public(store, obj) for obj in store.newest(kind, **fields)]


def has_ended(subscription: Object) -> bool:
    return subscription["status"] in ("canceled", "incomplete_expired")


def canonical(value: Any) -> str:
    """The same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
