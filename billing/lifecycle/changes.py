"""Changing a paid plan: larger now, smaller at the period's end; cancel and resume. See STRIPE.md, Rules that bite."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User
from billing import gateway, quotas, sync
from billing.lifecycle import operations, restoring, standing
from billing.lifecycle.checkout import by_the, payment_required, price_of, sellable
from billing.lifecycle.portal import open_portal
from billing.lifecycle.schedules import intent_of, release, schedule_change
from billing.models import Interval, Plan, Price, Source, StripeOperation, Subscription, SubscriptionChange
from billing.snapshots import Held, Snapshot, id_of

log = logging.getLogger(__name__)

Kind = StripeOperation.Kind
NOW, PERIOD_END = "now", "period_end"
# A payment is due first, or the trial's end paused it: nothing can be changed on top of that.
STUCK = frozenset({"past_due", "unpaid", "incomplete", "paused"})


@dataclass(frozen=True)
class Line:
    description: str
    amount: int


@dataclass(frozen=True)
class Runs:
    """Of the period: what was used, and what the limit is and will be; None is unlimited."""

    used: int
    limit_before: int | None
    limit_after: int | None
    remaining_after: int | None


@dataclass(frozen=True)
class Preview:
    """`amount_due` and `lines` in minor units, as they would be charged at `effective_at`."""

    effective: str
    effective_at: datetime
    amount_due: int
    currency: str
    lines: list[Line]
    runs: Runs


@dataclass(frozen=True)
class Change:
    """From what Stripe holds to a price of ours, and when it would take effect."""

    held: Held
    price: Price

    @property
    def effective(self) -> str:
        return NOW if self._is_larger else PERIOD_END

    @property
    def _is_larger(self) -> bool:
        present = self.held.price
        if present is None or present.plan.rank != self.price.plan.rank:
            return present is None or self.price.plan.rank > present.plan.rank
        return self.price.interval == Interval.YEAR and self.held.interval == Interval.MONTH

    @property
    def is_none(self) -> bool:
        present = self.held.price
        return (
            present is not None and present.plan_id == self.price.plan_id and self.held.interval == self.price.interval
        )

    @property
    def intent(self) -> dict[str, Any]:
        return intent_of(self.held, self.price)

    def item(self) -> dict[str, Any]:
        return {"id": self.held.item["id"], "price": self.price.stripe_price_id}


def preview_change(subscription: Subscription, *, plan: str, interval: str | None, now: datetime) -> Preview:
    """What a change would cost and give; without a live subscription, what a checkout would. Changes nothing."""
    gateway.client()
    snapshot = standing.look(subscription, now=now)
    live = snapshot.live if snapshot else None
    if snapshot is None or live is None or live.status == "incomplete":
        return _preview_of_checkout(subscription, snapshot, plan, interval or Interval.MONTH, now)
    change = _change(snapshot, live, plan, interval)
    if change.is_none:
        raise _already_on(plan.upper(), live.interval)
    if change.effective == PERIOD_END:
        # From then on: what the smaller plan costs a period, with discounts and taxes as they are now.
        invoice = gateway.preview(_preview_parameters(change) | {"preview_mode": "recurring"})
        at = live.end
    else:
        invoice = gateway.preview(_preview_parameters(change))
        at = now
    return Preview(
        effective=change.effective,
        effective_at=at,
        amount_due=invoice.amount_due,
        currency=invoice.currency,
        lines=[Line(line.description or "", line.amount) for line in invoice.lines.data],
        runs=_runs(subscription, change.price.plan, is_now=change.effective == NOW, now=now),
    )


def change_plan(
    subscription: Subscription, *, plan: str, interval: str | None, actor: User | None, now: datetime
) -> None:
    """Raises NotSubscribed, NoChange, PaymentRequired, PaymentFailed and what `gateway` raises.

    A larger plan, or the year in place of the month, is charged in full at once, less the unused
    time, and holds only when that is paid. Anything else comes at the period's end.
    """
    gateway.client()
    with standing.turn_of(subscription):
        snapshot, live = standing.live(subscription, now=now)
        if live.status in STUCK:
            raise payment_required(subscription, snapshot, now=now)
        change = _change(snapshot, live, plan, interval)
        if change.is_none:
            _stay(subscription, live, change, actor=actor, now=now)
        elif change.effective == NOW:
            _upgrade(subscription, live, change, actor=actor, now=now)
        else:
            _downgrade(subscription, live, change, actor=actor, now=now)


def cancel(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """At the end of what is paid; at once where nothing is: incomplete, unpaid, paused."""
    gateway.client()
    with standing.turn_of(subscription):
        _snapshot, live = standing.live(subscription, now=now)
        if live.status in ("incomplete", "unpaid", "paused"):
            gateway.cancel_now(live.id, reason=reason)
        elif live.cancel_at is not None:
            # Perhaps by an earlier try, whose answer was lost: then what it took away stays away.
            operations.give_up_open(Kind.RESTORE, workspace=subscription.workspace)
            raise standing.NoChange(_("This plan is cancelled already, and ends with the period that is paid."))
        else:
            sync.ring_by(subscription, now)
            scheduled = restoring.remember(subscription, live)
            release(subscription, live)
            gateway.schedule_cancel(live.id, reason=reason)
            restoring.forget(scheduled)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.CANCEL, actor=actor)


def end_now(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """By staff: whatever is paid ends at this instant, and nothing is given back by it. Raises NotSubscribed."""
    gateway.client()
    with standing.turn_of(subscription):
        _snapshot, live = standing.live(subscription, now=now)
        sync.ring_by(subscription, now)
        operations.give_up_open(Kind.RESTORE, workspace=subscription.workspace)
        gateway.cancel_now(live.id, reason=reason)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.CANCEL, actor=actor)


def resume(subscription: Subscription, *, actor: User | None, now: datetime) -> None:
    """Take back whatever is scheduled: the cancel, or the change at the period's end. A paused one goes on."""
    gateway.client()
    with standing.turn_of(subscription):
        _snapshot, live = standing.live(subscription, now=now)
        if live.status != "paused" and live.cancel_at is None and live.next_phase is None:
            raise standing.NoChange(_("Nothing is scheduled to end: this plan goes on as it is."))
        sync.ring_by(subscription, now)
        operations.give_up_open(Kind.RESTORE, workspace=subscription.workspace)
        release(subscription, live)
        if live.status == "paused":
            _resume_paused(subscription, live, now=now)
        elif _has_own_cancel(live):
            gateway.keep(live.id, is_by_flag=live.data["cancel_at_period_end"])
        standing.confirm(subscription, now=now, cause=SubscriptionChange.RESUME, actor=actor)


def _resume_paused(subscription: Subscription, live: Held, *, now: datetime) -> None:
    try:
        _pay_or_tell(gateway.resume_paused(live.id))
    except gateway.PaymentFailed as error:
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)
        raise _with_a_way_out(subscription, error, now=now) from error


def _with_a_way_out(
    subscription: Subscription, error: gateway.PaymentFailed, *, now: datetime
) -> gateway.PaymentFailed:
    """Where no invoice is open that could be paid, the portal takes another card."""
    if error.payment_url:
        return error
    return gateway.PaymentFailed(open_portal(subscription, return_url="", now=now).url, reason=error.reason)


def _change(snapshot: Snapshot, live: Held, plan: str, interval: str | None) -> Change:
    interval = interval or live.interval
    sellable(plan, interval, None)
    return Change(live, price_of(plan, interval, snapshot.currency or live.item["price"]["currency"]))


def _stay(subscription: Subscription, live: Held, change: Change, *, actor: User | None, now: datetime) -> None:
    """To the present plan: takes a pending change back, or finds that an earlier try had got through."""
    tried = operations.find_open(Kind.UPGRADE, workspace=subscription.workspace, intent=change.intent)
    operations.give_up_open(Kind.RESTORE, workspace=subscription.workspace)
    if tried is not None:
        operations.finish(tried, live.id)
        return
    if live.next_phase is None:
        raise _already_on(change.price.plan.name, live.interval)
    sync.ring_by(subscription, now)
    release(subscription, live)
    standing.confirm(subscription, now=now, cause=SubscriptionChange.RESUME, actor=actor)


def _already_on(plan: str, interval: str) -> standing.NoChange:
    text = _("This workspace is on %(plan)s by the %(interval)s already.")
    return standing.NoChange(text % {"plan": plan, "interval": by_the(interval)})


def _upgrade(subscription: Subscription, live: Held, change: Change, *, actor: User | None, now: datetime) -> None:
    sync.ring_by(subscription, now)
    scheduled = restoring.remember(subscription, live)
    release(subscription, live)
    if _has_own_cancel(live):
        gateway.keep(live.id, is_by_flag=live.data["cancel_at_period_end"])
    operation = operations.begin(
        Kind.UPGRADE,
        workspace=subscription.workspace,
        intent=change.intent,
        parameters={
            "items": [change.item()],
            **_anchored_now(live),
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
            "expand": ["latest_invoice"],
        },
    )
    try:
        changed = operations.send(operation)
        _pay_or_tell(changed)
    except (gateway.PaymentFailed, gateway.StripeRefused) as error:
        operations.give_up(operation, error.code)
        if scheduled is not None:
            restoring.put_back(subscription, standing.live(subscription, now=now)[1], scheduled)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)
        if isinstance(error, gateway.PaymentFailed):
            raise _with_a_way_out(subscription, error, now=now) from error
        raise
    restoring.forget(scheduled)
    standing.confirm(subscription, now=now, cause=SubscriptionChange.UPGRADE, actor=actor)
    operations.finish(operation, live.id)


def _downgrade(subscription: Subscription, live: Held, change: Change, *, actor: User | None, now: datetime) -> None:
    phase = live.next_phase
    tried = operations.find_open(Kind.SCHEDULE, workspace=subscription.workspace, intent=change.intent)
    if phase is not None and id_of(phase["items"][0]["price"]) == change.price.stripe_price_id:
        if tried is None:
            text = _("The change to %(plan)s is scheduled already.")
            raise standing.NoChange(text % {"plan": change.price.plan.name})
        operations.finish(tried, str(live.schedule["id"]) if live.schedule else "")
        return
    sync.ring_by(subscription, now)
    scheduled = restoring.remember(subscription, live)
    release(subscription, live)
    if _has_own_cancel(live):
        gateway.keep(live.id, is_by_flag=live.data["cancel_at_period_end"])
    operation, schedule = schedule_change(subscription, live, change.price)
    restoring.forget(scheduled)
    standing.confirm(subscription, now=now, cause=SubscriptionChange.DOWNGRADE, actor=actor)
    operations.finish(operation, schedule)


def _anchored_now(live: Held) -> dict[str, Any]:
    """A trial at Stripe moves the anchor to its end, so that it must end for the cycle to begin now."""
    return {"billing_cycle_anchor": "now"} | ({"trial_end": "now"} if live.status == "trialing" else {})


def _has_own_cancel(live: Held) -> bool:
    return live.data["cancel_at"] is not None or bool(live.data["cancel_at_period_end"])


def _pay_or_tell(changed: Any) -> None:
    """Raises PaymentFailed when the invoice of the change waits for its payment."""
    invoice = changed.latest_invoice
    if changed.pending_update is not None or (changed.status == "paused" and invoice is not None):
        raise gateway.PaymentFailed(invoice.hosted_invoice_url or "")


def _preview_parameters(change: Change) -> dict[str, Any]:
    details: dict[str, Any] = {"items": [change.item()]}
    if change.effective == NOW:
        details |= {**_anchored_now(change.held), "proration_behavior": "always_invoice"}
    else:
        details |= {"proration_behavior": "none"}
    return {
        "customer": change.held.data["customer"],
        "subscription": change.held.id,
        "subscription_details": details,
    }


def _preview_of_checkout(
    subscription: Subscription, snapshot: Snapshot | None, plan: str, interval: str, now: datetime
) -> Preview:
    sellable(plan, interval, None)
    price = price_of(plan, interval, snapshot.currency if snapshot else None)
    text = _("%(plan)s, by the %(interval)s")
    return Preview(
        effective=NOW,
        effective_at=now,
        amount_due=price.unit_amount,
        currency=price.currency,
        lines=[Line(text % {"plan": price.plan.name, "interval": by_the(price.interval)}, price.unit_amount)],
        runs=_runs(subscription, price.plan, is_now=True, now=now),
    )


def _runs(subscription: Subscription, plan: Plan, *, is_now: bool, now: datetime) -> Runs:
    """Invariant 7: what was used of a paid period is carried into the next, what was used of FREE or a trial is not."""
    quota = quotas.quota_for(subscription, now=now)
    used = quota.used
    carried = used if is_now and quota.entitlement.bucket_source == Source.PAID else 0
    remaining = None if plan.runs_limit is None else max(0, plan.runs_limit - carried) + quota.credits
    return Runs(used=used, limit_before=quota.limit, limit_after=plan.runs_limit, remaining_after=remaining)
