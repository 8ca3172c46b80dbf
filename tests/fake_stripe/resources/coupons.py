"""Coupons and promotion codes."""

import secrets

from tests.fake_stripe.billing import discounts
from tests.fake_stripe.errors import invalid, required
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.resources import customers
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/coupons")
def create(world: World, params: Params) -> Object:
    percent, amount = params.string("percent_off"), params.integer("amount_off")
    if (percent is None) == (amount is None):
        raise invalid("Pass exactly one of `percent_off` and `amount_off`.", param="percent_off")
    currency = params.string("currency")
    if amount is not None and currency is None:
        raise required("currency")
    duration = params.choice("duration", "once", "repeating", "forever") or "once"
    months = params.integer("duration_in_months")
    if (duration == "repeating") != (months is not None):
        raise invalid("`duration_in_months` is for repeating coupons, which need it.", param="duration_in_months")
    applies = params.nested("applies_to")
    products = applies.strings("products") if applies else None
    coupon = world.store.add(
        {
            "id": params.string("id") or new_id("", 8)[1:],
            "object": "coupon",
            "amount_off": amount,
            "created": world.now,
            "currency": currency,
            "duration": duration,
            "duration_in_months": months,
            "livemode": False,
            "max_redemptions": params.integer("max_redemptions"),
            "metadata": params.metadata(),
            "name": params.string("name"),
            "percent_off": float(percent) if percent else None,
            "redeem_by": params.integer("redeem_by"),
            "times_redeemed": 0,
            "valid": True,
            "_applies_to": {"products": products} if products else None,
        }
    )
    world.announce("coupon.created", coupon)
    return coupon


@answers("GET", "/v1/coupons")
def list_all(world: World, params: Params) -> Object:
    return page_of(world.store, "coupon", params, "/v1/coupons")


@answers("GET", "/v1/coupons/{coupon}")
def retrieve(world: World, params: Params, coupon: str) -> Object:
    found = world.store.get("coupon", coupon)
    return found | {"valid": discounts.is_valid(world, found)}


@answers("POST", "/v1/coupons/{coupon}")
def update(world: World, params: Params, coupon: str) -> Object:
    found = world.store.get("coupon", coupon)
    if "name" in params:
        found["name"] = params.string("name")
    found["metadata"] = params.metadata(found["metadata"])
    world.announce("coupon.updated", found)
    return found


@answers("DELETE", "/v1/coupons/{coupon}")
def delete(world: World, params: Params, coupon: str) -> Object:
    """Redeemed by none or few: discounts that were made of it would lose it, so those keep it from going."""
    found = world.store.get("coupon", coupon)
    if any(one["source"]["coupon"] == coupon for one in world.store.all("discount")):
        raise invalid("This stand-in does not delete a coupon that was redeemed.")
    world.store.remove(found)
    world.announce("coupon.deleted", found)
    return {"id": coupon, "object": "coupon", "deleted": True}


@answers("POST", "/v1/promotion_codes")
def create_code(world: World, params: Params) -> Object:
    promotion = params.nested("promotion")
    if promotion is None:
        raise required("promotion")
    promotion.choice("type", "coupon")
    coupon = world.store.named("coupon", promotion.needed("coupon"), "promotion[coupon]")
    code = params.string("code") or secrets.token_hex(4).upper()
    if any(one["code"].lower() == code.lower() and one["active"] for one in world.store.all("promotion_code")):
        raise invalid(f"An active promotion code with `code: {code}` already exists.", param="code")
    customer = params.string("customer")
    limits = params.nested("restrictions")
    minimum = limits.integer("minimum_amount") if limits else None
    currency = limits.string("minimum_amount_currency") if limits else None
    first = limits.boolean("first_time_transaction") if limits else None
    made = world.store.add(
        {
            "id": new_id("promo"),
            "object": "promotion_code",
            "active": params.boolean("active") is not False,
            "code": code,
            "created": world.now,
            "customer": customers.named(world, customer)["id"] if customer else None,
            "customer_account": None,
            "expires_at": params.integer("expires_at"),
            "livemode": False,
            "max_redemptions": params.integer("max_redemptions"),
            "metadata": params.metadata(),
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "restrictions": {
                "first_time_transaction": first is True,
                "minimum_amount": minimum,
                "minimum_amount_currency": currency,
            },
            "times_redeemed": 0,
        }
    )
    world.announce("promotion_code.created", made)
    return made


@answers("GET", "/v1/promotion_codes")
def list_codes(world: World, params: Params) -> Object:
    coupon = params.string("coupon")
    return page_of(
        *(world.store, "promotion_code", params, "/v1/promotion_codes", "active", "code", "customer"),
        wanted=lambda one: coupon in (None, one["promotion"]["coupon"]),
    )


@answers("GET", "/v1/promotion_codes/{code}")
def retrieve_code(world: World, params: Params, code: str) -> Object:
    return world.store.get("promotion_code", code)


@answers("POST", "/v1/promotion_codes/{code}")
def update_code(world: World, params: Params, code: str) -> Object:
    found = world.store.get("promotion_code", code)
    active = params.boolean("active")
    found["active"] = found["active"] if active is None else active
    found["metadata"] = params.metadata(found["metadata"])
    world.announce("promotion_code.updated", found)
    return found
