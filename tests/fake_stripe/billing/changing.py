"""A change of a subscription's items, as data: it may be applied now, or when its invoice is paid."""

from tests.fake_stripe.billing import discounts, lines, periods
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import merge_metadata
from tests.fake_stripe.objects import Object
from tests.fake_stripe.world import World


def plan(
    world: World,
    subscription: Object,
    items: list[Object],
    *,
    is_reset: bool,
    at: int,
    trial_end: int | None = None,
    metadata: dict[str, str] | None = None,
    discount_ids: list[str] | None = None,
) -> Object:
    """`items` as they shall be: id, price, quantity, metadata. With `is_reset` a period starts at `at`.

    An interval that differs resets too, unless a trial goes on. `metadata` is merged when the change is applied.
    """
    old = subscription["items"]["data"]
    recurring = world.store.get("price", items[0]["price"])["recurring"]
    before = world.store.get("price", old[0]["price"])["recurring"]
    is_trialing = subscription["status"] == "trialing" and trial_end is None
    if is_reset and is_trialing:
        raise invalid(
            "`billing_cycle_anchor` cannot be earlier than the subscription's `trial_end`; end the trial first.",
            param="billing_cycle_anchor",
        )
    resets = (is_reset or recurring != before or trial_end == at) and not is_trialing
    if trial_end is not None and trial_end > at:
        start, end, anchor, resets = at, trial_end, trial_end, False
    elif resets:
        start, end, anchor = at, periods.after(at, recurring), at
    else:
        start, end = old[0]["current_period_start"], old[0]["current_period_end"]
        anchor = subscription["billing_cycle_anchor"]
    applied = subscription["discounts"] if discount_ids is None else discount_ids
    return {
        "items": items,
        "billed": {item["id"]: net_of(world, applied, amount_of(world, item)) for item in items},
        "resets": resets,
        "at": at,
        "start": start,
        "end": end,
        "anchor": anchor,
        "trial_end": trial_end,
        "metadata": metadata,
        "discounts": discount_ids,
    }


def proration_lines(world: World, subscription: Object, change: Object) -> list[Object]:
    """Credits for what was billed and is not used, debits for what is used until the period's end."""
    found = []
    at = change["at"]
    wanted = {item["id"]: item for item in change["items"]}
    for item in subscription["items"]["data"]:
        if not change["resets"] and _same(item, wanted.get(item["id"])):
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        credit = periods.prorated(item["_billed"], at=at, start=start, end=end)
        if credit:
            found.append(lines.of_proration(world, subscription, item, amount=-credit, at=at, end=end, is_credit=True))
    if change["resets"] or subscription["status"] == "trialing":
        return found
    kept = {item["id"]: item for item in subscription["items"]["data"]}
    for item in change["items"]:
        if _same(kept.get(item["id"]), item):
            continue
        debit = periods.prorated(change["billed"][item["id"]], at=at, start=change["start"], end=change["end"])
        if debit:
            found.append(
                lines.of_proration(world, subscription, item, amount=debit, at=at, end=change["end"], is_credit=False)
            )
    return found


def period_lines(world: World, subscription: Object, change: Object) -> list[Object]:
    """The new period in full, where one starts."""
    if not change["resets"]:
        return []
    return [
        lines.of_item(
            world, subscription, item, start=change["start"], end=change["end"], amount=amount_of(world, item)
        )
        for item in change["items"]
    ]


def apply(world: World, subscription: Object, change: Object) -> None:
    """The items, their periods and the anchor as the change has them; what each was billed, for a later credit."""
    kept = {item["id"]: item for item in subscription["items"]["data"]}
    is_free = subscription["status"] == "trialing" and not change["resets"]
    data = []
    for item in change["items"]:
        old = kept.get(item["id"])
        made = old or new_item(world, subscription["id"], item)
        if old is None or change["resets"] or not _same(old, item):
            made["_billed"] = 0 if is_free else change["billed"][item["id"]]
        made |= {
            "price": item["price"],
            "quantity": item["quantity"],
            "metadata": item["metadata"],
            "current_period_start": change["start"],
            "current_period_end": change["end"],
        }
        data.append(made)
    subscription["items"]["data"] = data
    subscription["billing_cycle_anchor"] = change["anchor"]
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = change["end"]
    if change["trial_end"] is not None:
        is_over = change["trial_end"] <= world.now
        subscription["trial_end"] = change["trial_end"]
        if subscription["trial_start"] is None and not is_over:
            subscription["trial_start"] = world.now
        if subscription["status"] in ("trialing", "active"):
            subscription["status"] = "active" if is_over else "trialing"
    if change["metadata"] is not None:
        subscription["metadata"] = merge_metadata(subscription["metadata"], change["metadata"])
    if change["discounts"] is not None:
        subscription["discounts"] = change["discounts"]


def new_item(world: World, subscription: str, item: Object) -> Object:
    return {
        "id": item["id"],
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.now,
        "current_period_end": 0,
        "current_period_start": 0,
        "discounts": [],
        "metadata": item["metadata"],
        "price": item["price"],
        "quantity": item["quantity"],
        "subscription": subscription,
        "tax_rates": [],
        "_billed": 0,
    }


def amount_of(world: World, item: Object) -> int:
    return int((world.store.get("price", item["price"])["unit_amount"] or 0) * item["quantity"])


def net_of(world: World, discount_ids: list[str], amount: int) -> int:
    """What is paid for an item, so that no more than that is ever credited."""
    for discount in discounts.in_force(world, discount_ids):
        coupon = world.store.get("coupon", discount["source"]["coupon"])
        if coupon["percent_off"] is not None:
            amount -= (amount * round(coupon["percent_off"] * 100) + 5000) // 10000
        else:
            amount -= min(amount, coupon["amount_off"])
    return amount


def _same(item: Object | None, other: Object | None) -> bool:
    if item is None or other is None:
        return False
    return bool(item["price"] == other["price"] and item["quantity"] == other["quantity"])
