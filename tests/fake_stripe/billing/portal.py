"""The customer portal's rules: what its configuration lets a customer change, and how each change is made."""

from dataclasses import dataclass
from typing import Any

from tests.fake_stripe.billing import changing, methods, periods, schedules, standing, subscriptions
from tests.fake_stripe.billing.cards import Card
from tests.fake_stripe.errors import StripeError, invalid
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.world import World


def present_subscriptions(world: World, customer: str) -> list[Object]:
    found = world.store.where("subscription", customer=customer)
    return [one for one in found if not has_ended(one) and one["status"] != "incomplete"]


def offered(world: World, configuration: Object, subscription: Object) -> list[Object]:
    """The prices to choose from, without the present one; none where the portal must not touch the subscription."""
    feature = configuration["features"]["subscription_update"]
    if not feature["enabled"] or "price" not in feature["default_allowed_updates"]:
        return []
    if subscription["schedule"] or subscription["cancel_at"]:
        return []
    present = {item["price"] for item in subscription["items"]["data"]}
    if len(present) > 1:
        return []
    ids = [id for product in feature["products"] or [] for id in product["prices"]]
    prices = [world.store.get("price", id) for id in ids if id not in present]
    return [price for price in prices if price["active"] and price["currency"] == subscription["currency"]]


def is_at_period_end(world: World, configuration: Object, subscription: Object, price: Object) -> bool:
    """Whether a condition of the configuration puts the change off."""
    feature = configuration["features"]["subscription_update"]
    conditions = {each["type"] for each in feature["schedule_at_period_end"]["conditions"]}
    item = subscription["items"]["data"][0]
    old = world.store.get("price", item["price"])
    if "decreasing_item_amount" in conditions and price["unit_amount"] < old["unit_amount"]:
        return True
    order = ("day", "week", "month", "year")
    before, after = old["recurring"], price["recurring"]
    is_shorter = (order.index(after["interval"]), after["interval_count"]) < (
        order.index(before["interval"]),
        before["interval_count"],
    )
    return "shortening_interval" in conditions and is_shorter


@dataclass(frozen=True)
class Outlook:
    """What a change of plan comes to: from when, and what is due today, with the lines that it is made of."""

    at: int
    amount_due: int
    lines: list[Object]


def outlook(world: World, configuration: Object, subscription: Object, price: Object) -> Outlook:
    """What `change_plan` would do, without doing it."""
    _refuse_unoffered(world, configuration, subscription, price)
    if is_at_period_end(world, configuration, subscription, price):
        return Outlook(subscriptions.period_end(subscription), 0, [])
    wanted = _wanted(world, configuration, subscription, price)
    with world.store.rehearsal():
        subscriptions.replace_pending(world, subscription)
        planned = changing.plan(
            world,
            subscription,
            wanted["items"],
            is_reset=wanted["is_reset"],
            at=world.now,
            trial_end=wanted["trial_end"],
        )
        invoice = subscriptions.draft_of_change(world, subscription, planned, prorations=wanted["prorations"])
        if invoice is None:
            return Outlook(world.now, 0, [])
        return Outlook(world.now, invoice["amount_due"], list(invoice["lines"]["data"]))


def change_plan(world: World, configuration: Object, subscription: Object, price: Object) -> StripeError | None:
    """None when it is done or planned; else why the payment did not go through, and the old plan stays."""
    _refuse_unoffered(world, configuration, subscription, price)
    if is_at_period_end(world, configuration, subscription, price):
        schedule = schedules.from_subscription(world, subscription)
        current = schedule["phases"][0]
        wanted = [{"price": price["id"], "quantity": item["quantity"]} for item in subscription["items"]["data"]]
        end = current["end_date"]
        following = schedules.phase(world, wanted, start=end, end=periods.after(end, price["recurring"]))
        schedule["phases"] = [current, following]
        world.announce("subscription_schedule.updated", schedule)
        return None
    subscriptions.change(
        world,
        subscription,
        **_wanted(world, configuration, subscription, price),
        behavior="pending_if_incomplete",
    )
    standing.updated(world, subscription)
    if subscription["pending_update"] is None:
        return None
    intent = world.store.get("payment_intent", world.store.get("invoice", subscription["latest_invoice"])["_intent"])
    message = (intent["last_payment_error"] or {}).get("message", "Your card needs authentication.")
    return StripeError(402, message, type="card_error")


def _refuse_unoffered(world: World, configuration: Object, subscription: Object, price: Object) -> None:
    if price["id"] not in {one["id"] for one in offered(world, configuration, subscription)}:
        raise invalid("This plan is not offered here.")


def _wanted(world: World, configuration: Object, subscription: Object, price: Object) -> dict[str, Any]:
    """The change as the configuration has it."""
    feature = configuration["features"]["subscription_update"]
    items = subscriptions.wanted_items(subscription)
    items[0]["price"] = price["id"]
    is_trial = subscription["status"] == "trialing"
    ends_trial = is_trial and feature["trial_update_behavior"] == "end_trial"
    return {
        "items": items,
        "is_reset": feature["billing_cycle_anchor"] == "now" and not is_trial,
        "prorations": feature["proration_behavior"],
        "trial_end": world.now if ends_trial else None,
    }


def cancel(world: World, configuration: Object, subscription: Object, *, feedback: str | None = None) -> None:
    """At once, or at the period's end, which the portal writes as `cancel_at` alone."""
    feature = configuration["features"]["subscription_cancel"]
    if not feature["enabled"] or subscription["schedule"]:
        raise invalid("This subscription cannot be cancelled here.")
    reasons = feature["cancellation_reason"]
    if feedback is not None and not (reasons["enabled"] and feedback in reasons["options"]):
        raise invalid("This reason is not offered here.")
    details = {"feedback": feedback}
    if feature["mode"] == "immediately":
        if feature["proration_behavior"] != "none":
            is_invoiced = feature["proration_behavior"] == "always_invoice"
            subscriptions.credit_unused(world, subscription, is_invoiced=is_invoiced)
        standing.cancel(world, subscription, reason="cancellation_requested", feedback=details)
        return
    end = subscriptions.period_end(subscription)
    subscriptions.schedule_cancellation(world, subscription, end, at_period_end=False)
    subscription["cancellation_details"] |= details
    standing.updated(world, subscription)


def resume(world: World, subscription: Object) -> None:
    if subscription["schedule"] or subscription["cancel_at"] is None:
        raise invalid("There is no cancellation to take back.")
    subscriptions.schedule_cancellation(world, subscription, None, at_period_end=False)
    standing.updated(world, subscription)


def change_card(world: World, customer: Object, card: Card, *, month: int, year: int, name: str | None) -> None:
    """The customer's default, and that of the subscriptions that have one of their own."""
    method = methods.make(world, card, month=month, year=year, billing={"email": customer["email"], "name": name})
    methods.attach(world, method, customer)
    method["_is_set_up"] = card.authentication == "unless_set_up"
    customer["invoice_settings"]["default_payment_method"] = method["id"]
    world.announce("customer.updated", customer)
    for subscription in present_subscriptions(world, customer["id"]):
        if subscription["default_payment_method"] is not None:
            subscription["default_payment_method"] = method["id"]
            standing.updated(world, subscription)


def price_of(world: World, subscription: Object) -> Object:
    return world.store.get("price", subscription["items"]["data"][0]["price"])


def amount_of(world: World, subscription: Object) -> int:
    return sum(changing.amount_of(world, item) for item in subscription["items"]["data"])
