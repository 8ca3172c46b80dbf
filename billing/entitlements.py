"""What a subscription's facts allow at an instant. Pure: no database, no clock, nothing stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.models import Interval, Plan, Source, Subscription
from billing.periods import Period, calendar_month, month_of, months_after, months_since

# Past its end a paid period goes on as if renewed for this long while a sync is rung (invariant 9).
EDGE = timedelta(hours=72)
# Stripe's clock may be ahead of ours, and a request is of the instant at which it began: a period that
# starts within so long has begun.
SKEW = timedelta(minutes=5)

_PRECEDENCE = list(Source)


@dataclass(frozen=True)
class Entitlement:
    """The plan that holds, where it comes from, and the bucket that its runs are counted in.

    `bucket_source` differs from `source` where a comp runs in the paid period. `override` replaces
    the plan's limit, `cap` bounds it; None is no override, no cap.
    """

    plan: Plan
    source: Source
    period: Period
    bucket_source: Source
    override: int | None = None
    cap: int | None = None

    @property
    def plan_limit(self) -> int | None:
        """The plan's own for this period: what was changed since it began holds from the next one on."""
        return self.plan.runs_limit_of(self.period.start)

    def limit(self, bucket_plan_id: object = None, bucket_limit: int | None = None) -> int | None:
        """Runs of the period, None for no limit.

        A bucket keeps the limit that its plan had when it was opened; another plan within the
        same period brings its own.
        """
        if self.override is not None:
            return self.override
        limit = bucket_limit if bucket_plan_id == self.plan.pk else self.plan_limit
        if self.cap is None:
            return limit
        return self.cap if limit is None else min(limit, self.cap)


def entitlement(subscription: Subscription, now: datetime) -> Entitlement:
    """Of the live sources the plan of the highest rank; a tie goes to comp, paid, trial, free in that order.

    FREE is always among them, so whatever ends falls back to it and never to nothing (invariant 8).
    """
    return max(
        _live(subscription, now),
        key=lambda candidate: (candidate.plan.rank, -_PRECEDENCE.index(candidate.source)),
    )


def grace_end(subscription: Subscription) -> datetime | None:
    """Until when a past-due subscription keeps its plan: from the oldest unpaid invoice at Stripe, or as staff said."""
    if subscription.stripe_status != "past_due" or subscription.paid_plan is None:
        return None
    since = subscription.oldest_unpaid_at or subscription.paid_start
    ends = [subscription.grace_until, since + timedelta(days=subscription.paid_plan.grace_days) if since else None]
    return max((end for end in ends if end is not None), default=None)


def _live(subscription: Subscription, now: datetime) -> Iterator[Entitlement]:
    override = None
    if subscription.runs_override_end is not None and now < subscription.runs_override_end:
        override = subscription.runs_override
    paid = _paid(subscription, now, override)
    if paid is not None:
        yield paid
    yield from _comp(subscription, now, override, paid)
    yield from _trial(subscription, now, override)
    yield Entitlement(subscription.base_plan, Source.FREE, calendar_month(now), Source.FREE, override)


def _comp(
    subscription: Subscription, now: datetime, override: int | None, paid: Entitlement | None
) -> Iterator[Entitlement]:
    plan, start, end = subscription.comp_plan, subscription.comp_start, subscription.comp_end
    if plan is None or start is None or end is None or not start <= now < end:
        return
    if paid is not None:
        # In the paid period's own bucket, so that neither its beginning nor its end refills anything.
        yield Entitlement(plan, Source.COMP, paid.period, Source.PAID, override)
    else:
        yield Entitlement(plan, Source.COMP, month_of(start, now), Source.COMP, override)


def _trial(subscription: Subscription, now: datetime, override: int | None) -> Iterator[Entitlement]:
    plan, start, end = subscription.trial_plan, subscription.trial_start, subscription.trial_end
    if plan is None or start is None or end is None or not start <= now < end:
        return
    # The first paid period ends a trial for good.
    if subscription.first_paid_at is not None and subscription.first_paid_at <= now:
        return
    yield Entitlement(plan, Source.TRIAL, Period(start, end), Source.TRIAL, override)


def _paid(subscription: Subscription, now: datetime, override: int | None) -> Entitlement | None:
    if not _is_paid_at_stripe(subscription, now):
        return None
    plan, start, end = subscription.paid_plan, subscription.paid_start, subscription.paid_end
    anchor, interval = subscription.paid_anchor, subscription.paid_interval
    if plan is None or start is None or end is None or anchor is None or now < start - SKEW:
        return None
    now = max(now, start)
    if subscription.cancel_at is not None and now >= subscription.cancel_at:
        return None
    is_settled = subscription.is_period_paid
    if now >= end:
        if now >= end + EDGE:
            return None
        # As if renewed: nobody has paid for it yet, and a change that was due has come.
        is_settled = False
        pending_plan, pending_at = subscription.pending_plan, subscription.pending_at
        if pending_plan is not None and pending_at is not None and now >= pending_at:
            plan = pending_plan
            interval = subscription.pending_interval or interval
        # Counted from the anchor, so that 28 February is followed by 31 March again. Another
        # interval begins a cycle of its own, and so does an end to which the anchor does not lead.
        months = months_since(anchor, end)
        if interval != subscription.paid_interval or months_after(anchor, months) != end:
            anchor, months = end, 0
        start, end = end, months_after(anchor, months + (12 if interval == Interval.YEAR else 1))
    period = Period(start, end)
    if interval == Interval.YEAR:
        month = month_of(anchor, now)
        period = Period(max(month.start, start), min(month.end, end))
    cap = None
    if not is_settled:
        # Invariant 9: an unpaid period grants little, and never less than FREE does.
        cap = plan.unpaid_runs_limit_of(period.start)
        free = subscription.base_plan.runs_limit
        if cap is not None:
            cap = None if free is None else max(cap, free)
    return Entitlement(plan, Source.PAID, period, Source.PAID, override, cap)


def _is_paid_at_stripe(subscription: Subscription, now: datetime) -> bool:
    if subscription.on_hold_since is not None:
        # A payment that its payer takes back entitles to nothing until that is decided.
        return False
    match subscription.stripe_status:
        case "active":
            return not subscription.is_collection_paused
        case "trialing":
            return True
        case "past_due":
            end = grace_end(subscription)
            return end is not None and now < end
        case _:
            # Ended, never begun, or a word that Stripe did not have when this was written.
            return False
