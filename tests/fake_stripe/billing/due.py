"""What falls due as time goes by, carried out in order and each at its own instant."""

import traceback
from collections.abc import Callable, Iterator
from itertools import batched, chain, takewhile

from tests.fake_stripe.agenda import Due
from tests.fake_stripe.billing import disputes, renewal, schedules, standing
from tests.fake_stripe.billing.periods import DAY, HOUR
from tests.fake_stripe.billing.subscriptions import TRIAL_ENDS_SOON, period_end
from tests.fake_stripe.idempotency import KEPT_SECONDS
from tests.fake_stripe.objects import Object
from tests.fake_stripe.world import World

UPCOMING_BEFORE = 7 * DAY
#: How long events are kept.
EVENTS_KEPT = 30 * DAY
FORGOTTEN_AT_ONCE = 500
PUT_ASIDE = "_put_aside"


def advance(world: World, seconds: int) -> None:
    """Move the clock, and do what falls due on the way."""
    catch_up(world)
    world.clock.advance(seconds)
    catch_up(world)


def watch(world: World) -> None:
    """Note what falls due, of what is there and of what will be made. When that is depends on each object alone."""

    def note(obj: Object) -> None:
        for due in OF_KINDS[obj["object"]](obj):
            world.agenda.note(due)

    world.store.watch(OF_KINDS, note)


def catch_up(world: World) -> None:
    """One after another. What fails is told as a violation and put aside, so that what follows is not kept waiting."""

    def is_current(due: Due) -> bool:
        obj = world.store.find(due.kind, due.id)
        is_due = obj is not None and any(one.name == due.name for one in OF_KINDS[due.kind](obj))
        return is_due and world.store.kind_of(f"{PUT_ASIDE}_{due.name}") is None

    until = world.now
    while following := world.agenda.first(until, is_current):
        try:
            with world.clock.at(following.at), world.store.transaction():
                following.act(world, world.store.get(following.kind, following.id))
        except Exception:
            name = f"{PUT_ASIDE}_{following.name}"
            with world.store.transaction():
                world.store.add({"object": PUT_ASIDE, "id": name})
            world.checker.violations.append(f"{name} fell due: {traceback.format_exc()}")
    _forget(world)


def _forget(world: World) -> None:
    """Each hour: old events, unless one is still to be delivered, with their deliveries; and the keys of yesterday."""
    if world.now < world.forgets_at:
        return
    world.forgets_at = world.now + HOUR
    oldest, yesterday = world.now - EVENTS_KEPT, world.now - KEPT_SECONDS
    # Oldest first, so that what is kept is not looked at.
    events = takewhile(lambda one: one["created"] < oldest, world.store.all("event"))
    keys = takewhile(lambda one: one["created"] <= yesterday, world.store.all("_idempotency"))
    for several in batched(chain(events, keys), FORGOTTEN_AT_ONCE):
        with world.store.transaction():
            for one in several:
                if one["object"] == "event":
                    _forget_event(world, one)
                else:
                    world.store.remove(one)


def _forget_event(world: World, event: Object) -> None:
    deliveries = world.store.where("_delivery", event=event["id"])
    if all(one["state"] not in ("pending", "held") for one in deliveries):
        for one in deliveries:
            world.store.remove(one)
        world.forget(event)


def _of_schedule(schedule: Object) -> Iterator[Due]:
    if schedule["status"] == "active":
        yield Due(schedule["current_phase"]["end_date"], 2, "subscription_schedule", schedule["id"], schedules.advance)
    elif schedule["status"] == "not_started":
        yield Due(schedule["phases"][0]["start_date"], 2, "subscription_schedule", schedule["id"], schedules.begin)


def _of_session(session: Object) -> Iterator[Due]:
    if session["status"] == "open":
        yield Due(session["expires_at"], 0, "checkout.session", session["id"], _expire_session)


def _of_charge(charge: Object) -> Iterator[Due]:
    if charge["_dispute_at"] is not None:
        yield Due(charge["_dispute_at"], 4, "charge", charge["id"], _dispute)
    if charge["_warn_at"] is not None:
        yield Due(charge["_warn_at"], 4, "charge", charge["id"], _warn)


def _of_refund(refund: Object) -> Iterator[Due]:
    if refund["_settles_at"] is not None:
        yield Due(refund["_settles_at"], 4, "refund", refund["id"], disputes.settle_refund)


def _of_subscription(subscription: Object) -> Iterator[Due]:
    def due(at: int, rank: int, act: Callable[[World, Object], None]) -> Due:
        return Due(at, rank, "subscription", subscription["id"], act)

    status = subscription["status"]
    if status in ("canceled", "incomplete_expired"):
        return
    if status == "incomplete":
        yield due(subscription["created"] + standing.PAYABLE_SECONDS, 0, standing.expire)
        return
    if subscription["pending_update"] is not None:
        yield due(subscription["pending_update"]["expires_at"], 0, standing.expire_pending)
    if subscription["cancel_at"] is not None and subscription["schedule"] is None:
        yield due(subscription["cancel_at"], 1, _cancel)
    paused = subscription["pause_collection"]
    if paused is not None and paused["resumes_at"] is not None:
        yield due(paused["resumes_at"], 0, _resume_collection)
    if status == "paused":
        if subscription.get("_resumes_until"):
            yield due(subscription["_resumes_until"], 0, standing.expire_resumption)
        return
    end = period_end(subscription)
    yield due(end, 3, renewal.renew)
    if status == "trialing" and not subscription["_is_warned"]:
        yield due(subscription["trial_end"] - TRIAL_ENDS_SOON, 0, _warn_of_trial_end)
    is_renewed = status != "unpaid" and (subscription["cancel_at"] is None or subscription["cancel_at"] > end)
    if is_renewed and subscription["_upcoming_for"] != end:
        begun = min(item["current_period_start"] for item in subscription["items"]["data"])
        yield due(max(begun, end - UPCOMING_BEFORE), 0, renewal.announce_upcoming)


def _of_invoice(invoice: Object) -> Iterator[Due]:
    def due(at: int, act: Callable[[World, Object], None]) -> Due:
        return Due(at, 4, "invoice", invoice["id"], act)

    if invoice["status"] == "draft" and invoice["auto_advance"] and invoice["automatically_finalizes_at"]:
        yield due(invoice["automatically_finalizes_at"], renewal.end_of_draft)
    elif invoice["status"] == "open" and invoice["auto_advance"] and invoice["next_payment_attempt"]:
        yield due(invoice["next_payment_attempt"], renewal.retry)
    if invoice["status"] == "open" and invoice["due_date"] and not invoice.get("_is_overdue"):
        yield due(invoice["due_date"], renewal.become_overdue)


def _cancel(world: World, subscription: Object) -> None:
    standing.cancel(world, subscription, reason="cancellation_requested")


def _resume_collection(world: World, subscription: Object) -> None:
    subscription["pause_collection"] = None
    standing.updated(world, subscription)


def _warn_of_trial_end(world: World, subscription: Object) -> None:
    subscription["_is_warned"] = True
    world.announce("customer.subscription.trial_will_end", subscription)


def _dispute(world: World, charge: Object) -> None:
    disputes.open_dispute(world, charge)


def _warn(world: World, charge: Object) -> None:
    disputes.warn(world, charge)


def _expire_session(world: World, session: Object) -> None:
    session |= {"status": "expired", "url": None}
    world.announce("checkout.session.expired", session)


OF_KINDS: dict[str, Callable[[Object], Iterator[Due]]] = {
    "subscription": _of_subscription,
    "subscription_schedule": _of_schedule,
    "invoice": _of_invoice,
    "checkout.session": _of_session,
    "charge": _of_charge,
    "refund": _of_refund,
}
