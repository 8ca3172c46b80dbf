"""What a workspace used, day by day, and when at this pace its runs will be spent."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef
from django.db.models.functions import TruncDate

from billing.models import LedgerEntry, Subscription
from billing.quotas import Quota


def runs_per_day(subscription: Subscription, *, start: date, end: date) -> list[dict[str, Any]]:
    """`{date, runs}` for the days of `[start, end)` on which runs were charged and not given back, in one statement."""
    given_back = LedgerEntry.objects.filter(run_id=OuterRef("run_id"), kind=LedgerEntry.Kind.REFUND)
    days = (
        LedgerEntry.objects.filter(
            ~Exists(given_back),
            workspace=subscription.workspace_id,
            kind=LedgerEntry.Kind.CONSUME,
            created_at__gte=datetime.combine(start, time(), UTC),
            created_at__lt=datetime.combine(end, time(), UTC),
        )
        .annotate(date=TruncDate("created_at", tzinfo=UTC))
        .values("date")
        .annotate(runs=Count("id"))
        .order_by("date")
    )
    return [{"date": day["date"], "runs": day["runs"]} for day in days]


def exhausted_on(quota: Quota, *, now: datetime) -> date | None:
    """The day on which nothing is left, going on as in the period so far; None when the period ends before that.

    The pace is the average over the days of the period that have begun, today among them.
    """
    if quota.remaining is None:
        return None
    if quota.remaining <= 0:
        return now.date()
    if quota.used == 0:
        return None
    days = (now.date() - quota.entitlement.period.start.date()).days + 1
    # In whole days, rounded up: the run that cannot be started belongs to the day after the last full one.
    days_left = -(-quota.remaining * days // quota.used)
    last_day = (quota.entitlement.period.end - timedelta(microseconds=1)).date()
    if days_left > (last_day - now.date()).days:
        return None
    return now.date() + timedelta(days=days_left)
