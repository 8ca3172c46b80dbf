"""Subscriptions and their items."""

from tests.fake_stripe.billing import discounts, methods, standing, subscriptions
from tests.fake_stripe.billing.periods import DAY
from tests.fake_stripe.billing.subscriptions import NO_TRIAL_SETTINGS, Terms
from tests.fake_stripe.errors import invalid, missing, required
from tests.fake_stripe.forms import Params, merge_metadata
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.resources import customers
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
PRORATIONS = ("always_invoice", "create_prorations", "none")
#: What a change that may have to wait for its payment can consist of; metadata since 2026-05-27.dahlia.
PENDABLE = {
    "add_invoice_items",
    "billing_cycle_anchor",
    "discounts",
    "expand",
    "items",
    "metadata",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
    "trial_end",
    "trial_from_plan",
}
ENDED = "A canceled subscription can only update its cancellation_details and metadata."


@answers("POST", "/v1/subscriptions")
def create(world: World, params: Params) -> Object:
    customer = customers.named(world, params.needed("customer"))
    items = [_new_item(world, item) for item in params.each("items") or []]
    if not items:
        raise required("items")
    method = params.string("default_payment_method")
    behavior = params.choice("payment_behavior", *BEHAVIORS) or "allow_incomplete"
    if behavior == "pending_if_incomplete":
        raise invalid("`pending_if_incomplete` is for updates only.", param="payment_behavior")
    params.without_effect("off_session", "currency", "billing_mode", "trial_from_plan")
    tax = params.nested("automatic_tax")
    if tax is not None:
        tax.without_effect("liability")
    terms = Terms(
        customer=customer["id"],
        items=items,
        default_payment_method=methods.of_customer(world, customer["id"], method)["id"] if method else None,
        trial_end=read_trial_end(world, params),
        trial_settings=read_trial_settings(params) or NO_TRIAL_SETTINGS,
        collection_method=params.choice("collection_method", "charge_automatically", "send_invoice")
        or "charge_automatically",
        days_until_due=params.integer("days_until_due"),
        metadata=params.metadata(),
        description=params.string("description"),
        discounts=discounts.read(world, params) or [],
        payment_behavior=behavior,
        payment_settings=_payment_settings(params),
        has_automatic_tax=tax is not None and tax.boolean("enabled") is True,
        cancel_at=params.integer("cancel_at"),
        cancel_at_period_end=params.boolean("cancel_at_period_end") is True,
        anchor=params.integer("billing_cycle_anchor"),
        is_prorated=params.choice("proration_behavior", *PRORATIONS) != "none",
    )
    if terms.collection_method == "send_invoice" and terms.days_until_due is None:
        raise invalid("`days_until_due` is required with `send_invoice`.", param="days_until_due")
    return subscriptions.start(world, terms)


@answers("GET", "/v1/subscriptions")
def list_all(world: World, params: Params) -> Object:
    """Without a status, those that are not canceled; `all` and `ended` say otherwise."""
    status, price = params.string("status"), params.string("price")

    def is_wanted(one: Object) -> bool:
        is_on_price = price is None or any(item["price"] == price for item in one["items"]["data"])
        match status:
            case None:
                return is_on_price and one["status"] != "canceled"
            case "ended":
                return is_on_price and has_ended(one)
            case _:
                return is_on_price and status in ("all", one["status"])

    names = ("customer", "collection_method")
    return page_of(world.store, "subscription", params, "/v1/subscriptions", *names, wanted=is_wanted)


@answers("GET", "/v1/subscriptions/{subscription}")
def retrieve(world: World, params: Params, subscription: str) -> Object:
    return world.store.get("subscription", subscription)


@answers("POST", "/v1/subscriptions/{subscription}")
def update(world: World, params: Params, subscription: str) -> Object:
    found = world.store.get("subscription", subscription)
    if has_ended(found) and set(params.form) - {"metadata", "cancellation_details", "expand"}:
        raise invalid(ENDED)
    behavior = params.choice("payment_behavior", *BEHAVIORS) or "allow_incomplete"
    if behavior == "pending_if_incomplete":
        for name in sorted(set(params.form) - PENDABLE):
            raise invalid(
                "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass supported parameters;"
                f" `{name}` is not supported.",
                param=name,
            )
    _refuse_under_schedule(found, params)
    _change_plainly(world, found, params)
    change_cancellation(world, found, params)
    _change_items(world, found, params, behavior)
    standing.updated(world, found)
    return found


@answers("DELETE", "/v1/subscriptions/{subscription}")
def cancel(world: World, params: Params, subscription: str) -> Object:
    found = world.store.get("subscription", subscription)
    if has_ended(found):
        raise missing("subscription", subscription)
    invoice_now, prorate = params.boolean("invoice_now"), params.boolean("prorate")
    if prorate:
        subscriptions.credit_unused(world, found, is_invoiced=invoice_now is True)
    standing.cancel(world, found, reason="cancellation_requested", feedback=_feedback(params))
    return found


@answers("POST", "/v1/subscriptions/{subscription}/resume")
def resume(world: World, params: Params, subscription: str) -> Object:
    found = world.store.get("subscription", subscription)
    is_reset = params.choice("billing_cycle_anchor", "now", "unchanged") != "unchanged"
    prorations = params.choice("proration_behavior", *PRORATIONS) or "create_prorations"
    subscriptions.resume(world, found, is_reset=is_reset, prorations=prorations)
    return found


@answers("GET", "/v1/subscription_items")
def list_items(world: World, params: Params) -> Object:
    found = world.store.named("subscription", params.needed("subscription"), "subscription")
    return page(reversed(found["items"]["data"]), params, "/v1/subscription_items")


@answers("POST", "/v1/subscription_items")
def create_item(world: World, params: Params) -> Object:
    found = world.store.named("subscription", params.needed("subscription"), "subscription")
    item = _new_item(world, params)
    _change_item(world, found, params, [*subscriptions.wanted_items(found), item])
    return _shown_item(found, item["id"])


@answers("GET", "/v1/subscription_items/{item}")
def retrieve_item(world: World, params: Params, item: str) -> Object:
    return _shown_item(_holder(world, item), item)


@answers("POST", "/v1/subscription_items/{item}")
def update_item(world: World, params: Params, item: str) -> Object:
    found = _holder(world, item)
    items = subscriptions.wanted_items(found)
    for wanted in items:
        if wanted["id"] == item:
            _override(world, wanted, params)
    _change_item(world, found, params, items)
    return _shown_item(found, item)


@answers("DELETE", "/v1/subscription_items/{item}")
def delete_item(world: World, params: Params, item: str) -> Object:
    found = _holder(world, item)
    items = [wanted for wanted in subscriptions.wanted_items(found) if wanted["id"] != item]
    if not items:
        raise invalid("A subscription must have at least one item.")
    params.without_effect("clear_usage")
    _change_item(world, found, params, items)
    return {"id": item, "object": "subscription_item", "deleted": True}


def _change_item(world: World, subscription: Object, params: Params, items: list[Object]) -> None:
    behavior = params.choice("payment_behavior", *BEHAVIORS) or "allow_incomplete"
    prorations = params.choice("proration_behavior", *PRORATIONS) or "create_prorations"
    at = params.integer("proration_date")
    params.without_effect("off_session")
    subscriptions.change(world, subscription, items, prorations=prorations, at=at, behavior=behavior)
    standing.updated(world, subscription)


def _holder(world: World, item: str) -> Object:
    for subscription in world.store.all("subscription"):
        if any(each["id"] == item for each in subscription["items"]["data"]):
            return world.store.get("subscription", subscription["id"])
    raise missing("subscription_item", item)


def _shown_item(subscription: Object, item: str) -> Object:
    for each in subscription["items"]["data"]:
        if each["id"] == item:
            shown: Object = each
            return shown
    raise missing("subscription_item", item)


def _refuse_under_schedule(subscription: Object, params: Params) -> None:
    """Only the schedule may decide how a subscription ends that it manages."""
    schedule = subscription["schedule"]
    for name in ("cancel_at", "cancel_at_period_end"):
        if schedule is not None and name in params:
            raise invalid(
                f"The subscription is managed by the subscription schedule `{schedule}`, and updating any cancelation"
                " behavior directly is not allowed. Please update the schedule instead.",
                param=name,
            )


def _change_plainly(world: World, subscription: Object, params: Params) -> None:
    if "default_payment_method" in params:
        method = params.string("default_payment_method")
        subscription["default_payment_method"] = (
            methods.of_customer(world, subscription["customer"], method)["id"] if method else None
        )
    if "description" in params:
        subscription["description"] = params.string("description")
    method_name = params.choice("collection_method", "charge_automatically", "send_invoice")
    subscription["collection_method"] = method_name or subscription["collection_method"]
    days = params.integer("days_until_due")
    subscription["days_until_due"] = subscription["days_until_due"] if days is None else days
    subscription["payment_settings"] = subscription["payment_settings"] | _payment_settings(params)
    settings = read_trial_settings(params)
    subscription["trial_settings"] = settings or subscription["trial_settings"]
    tax = params.nested("automatic_tax")
    if tax is not None:
        is_on = tax.boolean("enabled") is True
        subscription["automatic_tax"] |= {"enabled": is_on, "liability": {"type": "self"} if is_on else None}
    if "pause_collection" in params:
        pause = params.nested("pause_collection")
        subscription["pause_collection"] = pause and {
            "behavior": _pause_behavior(pause),
            "resumes_at": pause.integer("resumes_at"),
        }
    subscription["cancellation_details"] |= _feedback(params)
    params.without_effect("off_session", "trial_from_plan")


def _pause_behavior(pause: Params) -> str:
    behavior = pause.choice("behavior", "keep_as_draft", "mark_uncollectible", "void")
    if behavior is None:
        raise required("pause_collection[behavior]")
    return behavior


def change_cancellation(world: World, subscription: Object, params: Params) -> None:
    at_end = params.boolean("cancel_at_period_end")
    end = subscriptions.period_end(subscription)
    if "cancel_at" in params:
        if at_end is not None:
            raise invalid("You may only specify one of `cancel_at` and `cancel_at_period_end`.", param="cancel_at")
        word = params.string("cancel_at")
        if word in ("min_period_end", "max_period_end"):
            subscriptions.schedule_cancellation(world, subscription, end, at_period_end=False)
            return
        at = params.integer("cancel_at")
        if at is not None and at <= world.now:
            raise invalid("`cancel_at` must be in the future.", param="cancel_at")
        subscriptions.schedule_cancellation(world, subscription, at, at_period_end=False)
    elif at_end is not None:
        subscriptions.schedule_cancellation(world, subscription, end if at_end else None, at_period_end=at_end)


def _change_items(world: World, subscription: Object, params: Params, behavior: str) -> None:
    given = params.each("items")
    prorations = params.choice("proration_behavior", *PRORATIONS) or "create_prorations"
    is_reset = params.choice("billing_cycle_anchor", "now", "unchanged") == "now"
    at = params.integer("proration_date")
    trial_end = params.instant("trial_end", now=world.now)
    metadata = None
    if "metadata" in params:
        emptied = dict.fromkeys(subscription["metadata"], "") if params.is_cleared("metadata") else {}
        metadata = emptied | (params.mapping("metadata") or {})
    wanted_discounts = discounts.read(world, params)
    items = subscriptions.wanted_items(subscription)
    for entry in given or []:
        items = merged(world, items, entry)
    if given is not None and not items:
        raise invalid("A subscription must have at least one item.", param="items")
    discount_ids = None
    if wanted_discounts is not None:
        discount_ids = [
            discounts.redeem(world, wanted, customer=subscription["customer"], subscription=subscription["id"])
            for wanted in wanted_discounts
        ]
    is_changed = items != subscriptions.wanted_items(subscription)
    if is_changed or is_reset or trial_end is not None:
        if subscription["status"] in ("incomplete", "paused"):
            raise invalid(f"A subscription that is {subscription['status']} cannot change its items.", param="items")
        subscriptions.change(
            world,
            subscription,
            items,
            is_reset=is_reset,
            prorations=prorations,
            at=at,
            behavior=behavior,
            trial_end=trial_end,
            metadata=metadata,
            discount_ids=discount_ids,
        )
        return
    if metadata is not None:
        subscription["metadata"] = merge_metadata(subscription["metadata"], metadata)
    if discount_ids is not None:
        subscription["discounts"] = discount_ids


def merged(world: World, items: list[Object], entry: Params) -> list[Object]:
    """`items[]` of an update: changed and deleted by id, or added."""
    id = entry.string("id")
    if id is None:
        return [*items, _new_item(world, entry)]
    if all(item["id"] != id for item in items):
        raise missing("subscription_item", id, param=entry.name("id"), status=400)
    if entry.boolean("deleted"):
        entry.without_effect("clear_usage")
        return [item for item in items if item["id"] != id]
    return [_override(world, dict(item), entry) if item["id"] == id else item for item in items]


def _override(world: World, item: Object, entry: Params) -> Object:
    price = entry.string("price")
    if price is not None:
        item["price"] = world.store.named("price", price, entry.name("price"))["id"]
    quantity = entry.integer("quantity")
    item["quantity"] = item["quantity"] if quantity is None else quantity
    item["metadata"] = entry.metadata(item["metadata"])
    return item


def _new_item(world: World, entry: Params) -> Object:
    price = world.store.named("price", entry.needed("price"), entry.name("price"))
    quantity = entry.integer("quantity")
    return {
        "id": new_id("si", 14),
        "price": price["id"],
        "quantity": 1 if quantity is None else quantity,
        "metadata": entry.metadata(),
    }


def read_trial_end(world: World, params: Params) -> int | None:
    days = params.integer("trial_period_days")
    until = params.instant("trial_end", now=world.now)
    if days is not None and until is not None:
        raise invalid("You may only specify one of `trial_end` and `trial_period_days`.", param="trial_end")
    return world.now + days * DAY if days else until


def read_trial_settings(params: Params) -> Object | None:
    settings = params.nested("trial_settings")
    end = settings.nested("end_behavior") if settings else None
    if end is None:
        return None
    behavior = end.choice("missing_payment_method", "cancel", "create_invoice", "pause") or "create_invoice"
    return {"end_behavior": {"missing_payment_method": behavior}}


def _payment_settings(params: Params) -> Object:
    settings = params.nested("payment_settings")
    if settings is None:
        return {}
    settings.without_effect("payment_method_options")
    found: Object = {}
    if "save_default_payment_method" in settings:
        found["save_default_payment_method"] = settings.choice("save_default_payment_method", "off", "on_subscription")
    if "payment_method_types" in settings:
        found["payment_method_types"] = settings.strings("payment_method_types")
    return found


def _feedback(params: Params) -> Object:
    details = params.nested("cancellation_details")
    if details is None:
        return {}
    return {name: details.string(name) for name in ("comment", "feedback") if name in details}
