"""Checkout Sessions."""

from tests.fake_stripe.billing import checkout, discounts
from tests.fake_stripe.billing.periods import DAY, HOUR
from tests.fake_stripe.billing.subscriptions import check_currency
from tests.fake_stripe.errors import invalid, required
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.resources import customers
from tests.fake_stripe.resources.subscriptions import read_trial_end, read_trial_settings
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

SHORTEST, LONGEST = HOUR // 2, DAY
TEXTS = ("submit", "after_submit", "shipping_address", "terms_of_service_acceptance")


@answers("POST", "/v1/checkout/sessions")
def create(world: World, params: Params) -> Object:
    mode = params.choice("mode", "subscription", "payment")
    if mode is None:
        raise required("mode")
    success, cancel = params.needed("success_url"), params.string("cancel_url")
    params.choice("ui_mode", "hosted_page")
    customer, email = params.string("customer"), params.string("customer_email")
    if customer and email:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", param="customer_email")
    payer = customers.named(world, customer) if customer else None
    rows = [_row(world, entry, mode) for entry in params.each("line_items") or []]
    if not rows:
        raise required("line_items")
    if len({row["currency"] for row in rows}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    if mode == "subscription" and not any(world.store.get("price", row["price"])["recurring"] for row in rows):
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.",
            param="line_items",
        )
    currency = params.string("currency")
    if currency is not None and currency.lower() != rows[0]["currency"]:
        raise invalid(f"None of the prices has an amount in {currency}.", param="currency")
    if mode == "subscription" and payer is not None:
        check_currency(world, payer, rows[0]["currency"])
    changes = params.nested("customer_update")
    wanted_changes = {name: changes.string(name) for name in ("address", "name", "shipping")} if changes else {}
    if wanted_changes and payer is None:
        raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
    has_tax = _has_tax(params, payer, wanted_changes)
    allows_codes = params.boolean("allow_promotion_codes")
    given_discounts = discounts.read(world, params)
    if allows_codes is not None and given_discounts is not None:
        raise invalid("You may only specify one of these parameters: allow_promotion_codes, discounts.")
    expires = params.integer("expires_at")
    if expires is not None and not SHORTEST <= expires - world.now <= LONGEST + 60:
        raise invalid("`expires_at` must be between 30 minutes and 24 hours from now.", param="expires_at")
    params.without_effect("saved_payment_method_options", "payment_method_options", "branding_settings")
    creation = params.nested("invoice_creation")
    if creation is not None:
        creation.without_effect("invoice_data")
    id = new_id("cs_test", 58)
    texts = params.nested("custom_text")
    session: Object = {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": allows_codes,
        "amount_subtotal": 0,
        "amount_total": 0,
        "automatic_tax": {
            "enabled": has_tax,
            "liability": {"type": "self"} if has_tax else None,
            "provider": "stripe" if has_tax else None,
            "status": "complete" if has_tax else None,
        },
        "billing_address_collection": params.choice("billing_address_collection", "auto", "required"),
        "cancel_url": cancel,
        "client_reference_id": params.string("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": world.now,
        "currency": rows[0]["currency"],
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {name: _text(texts, name) for name in TEXTS},
        "customer": payer["id"] if payer else None,
        "customer_account": None,
        "customer_creation": params.choice("customer_creation", "always", "if_required")
        or (None if payer else "always"),
        "customer_details": None,
        "customer_email": email,
        "discounts": [
            {
                "coupon": None if one.get("promotion_code") else one["coupon"],
                "promotion_code": one.get("promotion_code"),
            }
            for one in given_discounts or []
        ],
        "expires_at": expires or world.now + LONGEST,
        "invoice": None,
        "invoice_creation": {
            "enabled": creation is not None and creation.boolean("enabled") is True,
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": None,
                "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": False,
        "locale": params.string("locale"),
        "metadata": params.metadata(),
        "mode": mode,
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": params.choice("payment_method_collection", "always", "if_required") or "always",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": params.strings("payment_method_types") or ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": _is_on(params, "phone_number_collection")},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.string("submit_type"),
        "subscription": None,
        "success_url": success,
        "tax_id_collection": {"enabled": _is_on(params, "tax_id_collection"), "required": "never"},
        "total_details": None,
        "ui_mode": "hosted_page",
        "url": f"{world.settings.base_url}/c/pay/{id}",
        "wallet_options": None,
        "_customer_update": wanted_changes,
        "_line_items": rows,
        "_payment_intent_data": _intent_data(params),
        "_subscription_data": _subscription_data(world, params, mode),
        "_card": None,
    }
    world.store.add(session)
    checkout.amounts(world, session)
    return session


@answers("GET", "/v1/checkout/sessions")
def list_all(world: World, params: Params) -> Object:
    names = ("customer", "payment_intent", "status", "subscription")
    details = params.nested("customer_details")
    email = details.string("email") if details else None
    return page_of(
        *(world.store, "checkout.session", params, "/v1/checkout/sessions", *names),
        wanted=lambda one: email is None or (one["customer_details"] or {}).get("email") == email,
    )


@answers("GET", "/v1/checkout/sessions/{session}")
def retrieve(world: World, params: Params, session: str) -> Object:
    return world.store.get("checkout.session", session)


@answers("POST", "/v1/checkout/sessions/{session}")
def update(world: World, params: Params, session: str) -> Object:
    found = world.store.get("checkout.session", session)
    found["metadata"] = params.metadata(found["metadata"])
    return found


@answers("GET", "/v1/checkout/sessions/{session}/line_items")
def line_items(world: World, params: Params, session: str) -> Object:
    rows = world.store.get("checkout.session", session)["_line_items"]
    return page(reversed(rows), params, f"/v1/checkout/sessions/{session}/line_items")


@answers("POST", "/v1/checkout/sessions/{session}/expire")
def expire(world: World, params: Params, session: str) -> Object:
    found = world.store.get("checkout.session", session)
    checkout.expire(world, found)
    return found


def _row(world: World, entry: Params, mode: str) -> Object:
    price = world.store.named("price", entry.needed("price"), entry.name("price"))
    if not price["active"]:
        raise invalid(f"The price specified is inactive: {price['id']}.", param=entry.name("price"))
    if mode == "payment" and price["recurring"] is not None:
        raise invalid("You specified `payment` mode but passed a recurring price.", param="mode")
    quantity = entry.integer("quantity")
    if quantity is None:
        raise required(entry.name("quantity"))
    entry.without_effect("adjustable_quantity")
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": world.store.get("product", price["product"])["name"],
        "metadata": {},
        "price": price["id"],
        "quantity": quantity,
    }


def _has_tax(params: Params, payer: Object | None, changes: Object) -> bool:
    tax = params.nested("automatic_tax")
    if tax is None or not tax.boolean("enabled"):
        return False
    tax.without_effect("liability")
    if payer is not None and payer["address"] is None and changes.get("address") != "auto":
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to"
            " the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto'"
            " to save the address entered in Checkout to the Customer.",
            param="customer",
            code="customer_tax_location_invalid",
        )
    return True


def _subscription_data(world: World, params: Params, mode: str) -> Object:
    data = params.nested("subscription_data")
    if data is None:
        return {}
    if mode != "subscription":
        raise invalid("You can not pass `subscription_data` in `payment` mode.", param="subscription_data")
    data.without_effect("billing_mode", "proration_behavior")
    return {
        "metadata": data.metadata(),
        "description": data.string("description"),
        "trial_end": read_trial_end(world, data),
        "trial_settings": read_trial_settings(data),
    }


def _intent_data(params: Params) -> Object:
    data = params.nested("payment_intent_data")
    if data is None:
        return {}
    data.without_effect("setup_future_usage", "description", "receipt_email")
    return {"metadata": data.metadata()}


def _is_on(params: Params, name: str) -> bool:
    given = params.nested(name)
    return given is not None and given.boolean("enabled") is True


def _text(texts: Params | None, name: str) -> Object | None:
    given = texts.nested(name) if texts else None
    return {"message": given.needed("message")} if given else None
