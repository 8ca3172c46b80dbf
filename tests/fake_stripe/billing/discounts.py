"""Coupons and promotion codes as they are redeemed, and what they take off an invoice."""

from tests.fake_stripe.billing import periods
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World


def read(world: World, params: Params, name: str = "discounts") -> list[Object] | None:
    """`discounts` of a request as `{coupon, promotion_code}` of ids; None where it is not given."""
    given = params.each(name)
    if given is None:
        return None
    wanted: list[Object] = []
    for entry in given:
        coupon, code, kept = entry.string("coupon"), entry.string("promotion_code"), entry.string("discount")
        if kept:
            wanted.append({"discount": world.store.named("discount", kept, entry.name("discount"))["id"]})
        elif code:
            promotion = world.store.named("promotion_code", code, entry.name("promotion_code"))
            wanted.append({"coupon": promotion["promotion"]["coupon"], "promotion_code": code})
        elif coupon:
            wanted.append({"coupon": world.store.named("coupon", coupon, entry.name("coupon"))["id"]})
    return wanted


def check(world: World, wanted: Object, *, customer: str | None, amount: int, currency: str) -> None:
    """Raises where the code cannot be redeemed by this customer for this amount."""
    if "discount" in wanted:
        return
    coupon = world.store.get("coupon", wanted["coupon"])
    if not is_valid(world, coupon):
        raise invalid(f"Coupon {coupon['id']} is expired or has been used up and cannot be applied.", param="coupon")
    if coupon["amount_off"] is not None and coupon["currency"] != currency:
        raise invalid("This coupon is for another currency.", param="coupon")
    promotion = world.store.find("promotion_code", wanted.get("promotion_code"))
    if promotion is None:
        return
    if not is_redeemable(world, promotion):
        raise invalid("This promotion code is no longer active.", param="promotion_code")
    if promotion["customer"] is not None and promotion["customer"] != customer:
        raise invalid("This promotion code cannot be redeemed by this customer.", param="promotion_code")
    restrictions = promotion["restrictions"]
    if restrictions["minimum_amount"] is not None and (
        restrictions["minimum_amount_currency"] != currency or amount < restrictions["minimum_amount"]
    ):
        raise invalid("This promotion code needs a larger amount.", param="promotion_code")
    if restrictions["first_time_transaction"] and any(
        charge["paid"] for charge in world.store.all("charge", customer=customer)
    ):
        raise invalid("This promotion code is for a first purchase only.", param="promotion_code")


def redeem(
    world: World, wanted: Object, *, customer: str, subscription: str | None = None, checkout: str | None = None
) -> str:
    """The id of the discount that is made of it; announced by the caller's object."""
    if "discount" in wanted:
        return str(wanted["discount"])
    coupon = world.store.get("coupon", wanted["coupon"])
    promotion = world.store.find("promotion_code", wanted.get("promotion_code"))
    coupon["times_redeemed"] += 1
    coupon["valid"] = is_valid(world, coupon)
    if promotion is not None:
        promotion["times_redeemed"] += 1
    months = coupon["duration_in_months"]
    end = periods.after(world.now, {"interval": "month", "interval_count": months}) if months else None
    discount = world.store.add(
        {
            "id": new_id("di"),
            "object": "discount",
            "checkout_session": checkout,
            "customer": customer,
            "customer_account": None,
            "end": end,
            "invoice": None,
            "invoice_item": None,
            "promotion_code": promotion["id"] if promotion else None,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": world.now,
            "subscription": subscription,
            "subscription_item": None,
        }
    )
    world.announce("customer.discount.created", discount)
    return str(discount["id"])


def is_valid(world: World, coupon: Object) -> bool:
    is_left = coupon["max_redemptions"] is None or coupon["times_redeemed"] < coupon["max_redemptions"]
    return is_left and (coupon["redeem_by"] is None or world.now < coupon["redeem_by"])


def is_redeemable(world: World, promotion: Object) -> bool:
    coupon = world.store.get("coupon", promotion["promotion"]["coupon"])
    is_left = promotion["max_redemptions"] is None or promotion["times_redeemed"] < promotion["max_redemptions"]
    is_current = promotion["expires_at"] is None or world.now < promotion["expires_at"]
    return bool(promotion["active"]) and is_left and is_current and is_valid(world, coupon)


def in_force(world: World, ids: list[str]) -> list[Object]:
    """The discounts that still apply: not ended, and a coupon for once not used before."""
    found = [world.store.get("discount", id) for id in ids]
    return [one for one in found if not one.get("_is_used") and (one["end"] is None or world.now < one["end"])]


def taken_off(world: World, discount: Object, lines: list[Object]) -> list[int]:
    """What the discount takes off each line, of what earlier discounts have left."""
    coupon = world.store.get("coupon", discount["source"]["coupon"])
    products = (coupon.get("_applies_to") or {}).get("products")
    left = [_left(line, products) for line in lines]
    if coupon["percent_off"] is not None:
        hundredths = round(coupon["percent_off"] * 100)
        return [(amount * hundredths + 5000) // 10000 for amount in left]
    rest = min(coupon["amount_off"], sum(left))
    whole = sum(left) or 1
    parts = [rest * amount // whole for amount in left]
    for index, amount in enumerate(left):
        if sum(parts) < rest and parts[index] < amount:
            parts[index] += min(rest - sum(parts), amount - parts[index])
    return parts


def _left(line: Object, products: list[str] | None) -> int:
    if not line["discountable"] or line["amount"] <= 0:
        return 0
    if products is not None and (line["pricing"] or {}).get("price_details", {}).get("product") not in products:
        return 0
    return int(line["amount"] - sum(each["amount"] for each in line["discount_amounts"]))


def use_up(world: World, ids: list[str]) -> list[str]:
    """After an invoice: coupons for once are spent. The ids that stay."""
    kept = []
    for discount in in_force(world, ids):
        coupon = world.store.get("coupon", discount["source"]["coupon"])
        if coupon["duration"] == "once":
            discount["_is_used"] = True
        else:
            kept.append(str(discount["id"]))
    return kept
