"""What falls due as time goes by, carried out in order and each at its own instant."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.fake_stripe.billing import disputes, renewal, schedules, standing
from tests.fake_stripe.billing.periods import DAY, HOUR
from tests.fake_stripe.billing.subscriptions import TRIAL_ENDS_SOON, period_end
from tests.fake_stripe.idempotency import KEPT_SECONDS
from tests.fake_stripe.objects import Object
from tests.fake_stripe.world import World

UPCOMING_BEFORE = 7 * DAY
#: How long events are kept.
EVENTS_KEPT = 30 * DAY
PUT_ASIDE = "_put_aside"
FAR = 1 << 62


@dataclass(order=True)
class Due:
    """`rank` orders what falls on one instant: ends before phases, phases before renewals."""

    at: int
    rank: int
    kind: str = field(compare=False)
    id: str = field(compare=False)
    act: Callable[[World, Object], None] = field(compare=False)

    @property
    def name(self) -> str:
        return f"{PUT_ASIDE}_{self.id}_{self.at}_{self.act.__name__}"


def advance(world: World, seconds: int) -> None:
    """Move the clock, and do what falls due on the way."""
    catch_up(world)
    world.clock.advance(seconds)
    catch_up(world)


def catch_up(world: World) -> None:
    """One after another. What fails is told as a violation and put aside, so that what follows is not kept waiting."""
    until = world.now
    _look_at_changes(world)
    while world.nothing_before <= until:
        coming = (one for one in _coming(world) if world.store.kind_of(one.name) is None)
        following = min(coming, default=None)
        world.store.changed.clear()
        world.nothing_before = FAR if following is None else following.at
        if following is None or following.at > until:
            break
        try:
            with world.clock.at(following.at), world.store.transaction():
                following.act(world, world.store.get(following.kind, following.id))
        except Exception:
            with world.store.transaction():
                world.store.add({"object": PUT_ASIDE, "id": following.name})
            world.checker.violations.append(f"{following.name} fell due: {traceback.format_exc()}")
    _forget(world)


def _look_at_changes(world: World) -> None:
    """When something falls due depends on that object alone, so most requests need not look at all of them."""
    for id in world.store.changed:
        kind = world.store.kind_of(id)
        if kind in OF_KINDS:
            coming = OF_KINDS[kind](world.store.get(kind, id))
            world.nothing_before = min([world.nothing_before, *(one.at for one in coming)])
    world.store.changed.clear()


def _forget(world: World) -> None:
    """Each hour: old events, unless one is still to be delivered, with their deliveries; and the keys of yesterday."""
    if world.now < world.forgets_at:
        return
    world.forgets_at = world.now + HOUR
    waiting = {one["event"] for one in world.store.all("_delivery") if one["state"] in ("pending", "held")}
    oldest = world.now - EVENTS_KEPT
    old = {one["id"] for one in world.store.all("event") if one["created"] < oldest and one["id"] not in waiting}
    keys = [one for one in world.store.all("_idempotency") if one["created"] <= world.now - KEPT_SECONDS]
    if not old and not keys:
        return
    deliveries = [one for one in world.store.all("_delivery") if one["event"] in old]
    events = [one for one in world.store.all("event") if one["id"] in old]
    with world.store.transaction():
        for each in (*deliveries, *events, *keys):
            world.store.remove(each)


def _coming(world: World) -> Iterator[Due]:
    for kind, of in OF_KINDS.items():
        for obj in world.store.all(kind):
            yield from of(obj)


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
