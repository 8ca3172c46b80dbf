"""Subscription schedules: phases that take over from one another at their instants."""

from tests.fake_stripe.billing import changing, methods, standing, subscriptions
from tests.fake_stripe.billing.subscriptions import Terms
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.world import World


def make(world: World, customer: str, *, end_behavior: str) -> Object:
    return {
        "id": new_id("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": world.now,
        },
        "canceled_at": None,
        "completed_at": None,
        "created": world.now,
        "current_phase": None,
        "customer": customer,
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": end_behavior,
        "livemode": False,
        "metadata": {},
        "phases": [],
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
    }


def phase(world: World, items: list[Object], *, start: int, end: int, **given: object) -> Object:
    currency = world.store.named("price", items[0]["price"], "phases[0][items][0][price]")["currency"]
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": item.get("metadata") or {},
                "price": item["price"],
                "quantity": item["quantity"],
                "tax_rates": [],
            }
            for item in items
        ],
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    } | given


def from_subscription(world: World, subscription: Object) -> Object:
    """Its one phase is the present period."""
    if subscription["schedule"] is not None:
        raise invalid(
            f"You cannot migrate a subscription that is already attached to a schedule: {subscription['schedule']}",
            param="from_subscription",
        )
    if has_ended(subscription) or subscription["status"] == "incomplete":
        raise invalid(
            f"You cannot create a schedule from a subscription that is {subscription['status']}.",
            param="from_subscription",
        )
    ends = subscription["cancel_at"] is not None
    schedule = make(world, subscription["customer"], end_behavior="cancel" if ends else "release")
    items = subscription["items"]["data"]
    end = subscription["cancel_at"] or subscriptions.period_end(subscription)
    present = phase(world, items, start=items[0]["current_period_start"], end=end)
    present["trial_end"] = subscription["trial_end"] if subscription["status"] == "trialing" else None
    schedule |= {"phases": [present], "status": "active", "subscription": subscription["id"]}
    schedule["current_phase"] = _span(present)
    world.store.add(schedule)
    subscription["schedule"] = schedule["id"]
    world.announce("subscription_schedule.created", schedule)
    standing.updated(world, subscription)
    return schedule


def begin(world: World, schedule: Object) -> None:
    """A schedule that makes its own subscription, at its first phase."""
    first = schedule["phases"][0]
    terms = Terms(customer=schedule["customer"], items=_wanted(first), metadata=dict(first["metadata"]))
    if methods.default_for(world, schedule["customer"], None) is None:
        terms.payment_behavior = "default_incomplete"
    subscription = subscriptions.start(world, terms)
    subscription["schedule"] = schedule["id"]
    schedule |= {"status": "active", "subscription": subscription["id"], "current_phase": _span(first)}
    mirror_end(world, schedule)
    standing.updated(world, subscription)
    world.announce("subscription_schedule.updated", schedule)


def advance(world: World, schedule: Object) -> None:
    """The end of the current phase: the next one begins, or the schedule is over."""
    subscription = world.store.get("subscription", schedule["subscription"])
    following = [each for each in schedule["phases"] if each["start_date"] >= schedule["current_phase"]["end_date"]]
    if following:
        schedule["current_phase"] = _span(following[0])
        enter(world, subscription, following[0])
        world.announce("subscription_schedule.updated", schedule)
        return
    if schedule["end_behavior"] == "cancel":
        schedule |= {"status": "completed", "completed_at": world.now, "current_phase": None}
        subscription["schedule"] = None
        world.announce("subscription_schedule.completed", schedule)
        standing.cancel(world, subscription, reason="cancellation_requested")
        return
    release(world, schedule)


def enter(world: World, subscription: Object, entered: Object) -> None:
    """The items of a phase. At the end of a period there is nothing to prorate; the renewal follows."""
    items = _matched(subscription, entered)
    if entered["metadata"]:
        subscription["metadata"] = subscription["metadata"] | entered["metadata"]
    is_reset = entered["billing_cycle_anchor"] == "phase_start"
    if world.now >= subscriptions.period_end(subscription):
        is_trial = subscription["status"] == "trialing"
        planned = changing.plan(world, subscription, items, is_reset=is_reset and not is_trial, at=world.now)
        planned |= {
            "resets": False,
            "start": subscription["items"]["data"][0]["current_period_start"],
            "end": subscriptions.period_end(subscription),
            "anchor": world.now if planned["resets"] else subscription["billing_cycle_anchor"],
        }
        changing.apply(world, subscription, planned)
    else:
        subscriptions.change(
            world,
            subscription,
            items,
            is_reset=is_reset,
            prorations=entered["proration_behavior"],
            planned_prices={item["price"] for item in items},
        )
    standing.updated(world, subscription)


def release(world: World, schedule: Object, *, keeps_cancel_date: bool = False) -> None:
    """The subscription goes on as it is, on its own."""
    if schedule["status"] not in ("active", "not_started"):
        raise invalid(
            f"You cannot release a subscription schedule that is currently in the `{schedule['status']}` status."
            " It must be in one of the following statuses: `not_started`, `active`."
        )
    subscription = world.store.find("subscription", schedule["subscription"])
    schedule |= {
        "status": "released",
        "released_at": world.now,
        "released_subscription": schedule["subscription"],
        "subscription": None,
        "current_phase": None,
    }
    world.announce("subscription_schedule.released", schedule)
    if subscription is not None:
        subscription["schedule"] = None
        if not keeps_cancel_date:
            subscriptions.schedule_cancellation(world, subscription, None, at_period_end=False)
        standing.updated(world, subscription)


def mirror_end(world: World, schedule: Object) -> None:
    """A subscription tells when its schedule is going to cancel it."""
    subscription = world.store.find("subscription", schedule["subscription"])
    if subscription is None:
        return
    end = schedule["phases"][-1]["end_date"] if schedule["end_behavior"] == "cancel" else None
    if subscription["cancel_at"] != end:
        subscriptions.schedule_cancellation(world, subscription, end, at_period_end=False)
        standing.updated(world, subscription)


def cancel(world: World, schedule: Object) -> None:
    """With its subscription."""
    if schedule["status"] not in ("active", "not_started"):
        raise invalid(
            f"You cannot cancel a subscription schedule that is currently in the `{schedule['status']}` status."
        )
    subscription = world.store.find("subscription", schedule["subscription"])
    if subscription is not None and not has_ended(subscription):
        standing.cancel(world, subscription, reason="cancellation_requested")
        return
    schedule |= {"status": "canceled", "canceled_at": world.now, "current_phase": None}
    world.announce("subscription_schedule.canceled", schedule)


def _span(entered: Object) -> Object:
    return {"start_date": entered["start_date"], "end_date": entered["end_date"]}


def _wanted(entered: Object) -> list[Object]:
    return [
        {"id": new_id("si"), "price": item["price"], "quantity": item["quantity"], "metadata": item["metadata"]}
        for item in entered["items"]
    ]


def _matched(subscription: Object, entered: Object) -> list[Object]:
    """The items keep their ids where there are as many as before."""
    wanted = _wanted(entered)
    for kept, item in zip(subscription["items"]["data"], wanted, strict=False):
        item["id"] = kept["id"]
    return wanted
