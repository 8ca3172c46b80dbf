"""What a workspace used, day by day, and when at this pace its runs will be spent."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from billing.models import CreditGrant, LedgerEntry, Subscription
from billing.periods import Period
from billing.quotas import Quota


def runs_per_day(subscription: Subscription, *, start: date, end: date) -> list[dict[str, Any]]:
    """`{date, runs}` for the days of `[start, end)` on which runs were charged and not given back, in one statement."""
    since, until = (datetime.combine(day, time(), UTC) for day in (start, end))
    days = _per_day(subscription, since, until, UTC)
    return [{"date": date, "runs": runs} for date, runs in days.items()]


def days_of(period: Period, subscription: Subscription, *, zone: tzinfo) -> dict[date, int]:
    """Every day of the period in that zone, and the runs of it that were charged and not given back."""
    counted = _per_day(subscription, period.start, period.end, zone)
    first = period.start.astimezone(zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return {day: counted.get(day, 0) for day in days}


def _per_day(subscription: Subscription, since: datetime, until: datetime, zone: tzinfo) -> dict[date, int]:
    given_back = LedgerEntry.objects.filter(
        run_id=OuterRef("run_id"), workspace=subscription.workspace_id, kind=LedgerEntry.Kind.REFUND
    )
    days = (
        LedgerEntry.objects.filter(
            ~Exists(given_back),
            workspace=subscription.workspace_id,
            kind=LedgerEntry.Kind.CONSUME,
            created_at__gte=since,
            created_at__lt=until,
        )
        .annotate(date=TruncDate("created_at", tzinfo=zone))
        .values("date")
        .annotate(runs=Count("id"))
        .order_by("date")
    )
    return {day["date"]: day["runs"] for day in days}


def credits_by_day(subscription: Subscription, *, now: datetime) -> QuerySet[Any, Any]:
    """`{day, runs}` of what credits have left, by the viewer's day on which they expire (None: never), the first first.

    In one statement.
    """
    live = Q(expires_at=None) | Q(expires_at__gt=now)
    left = CreditGrant.objects.filter(live, workspace=subscription.workspace_id, used__lt=F("quantity"))
    days = left.annotate(day=TruncDate("expires_at")).values("day")
    return days.annotate(runs=Sum(F("quantity") - F("used"))).order_by(F("day").asc(nulls_last=True))


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
