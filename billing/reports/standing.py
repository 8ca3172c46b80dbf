"""How things stand at an instant: who pays, who is past due, whose trial runs, what waits.

What a number counts is a queryset here, by which the desk also lists what is behind it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db.models import (
    CharField,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce, Greatest

from billing.models import StripeEvent, Subscription, SubscriptionChange
from billing.reports.activity import LATE

WEEK: Final = timedelta(days=7)

_COUNTING = Q(is_collection_paused=False, on_hold_since=None)
#: As `Subscription.earned` has it.
PAYING: Final = Q(stripe_status__in=sorted(SubscriptionChange.EARNING), monthly_amount__gt=0) & _COUNTING


class Standing(StrEnum):
    PAYING = "paying"
    IN_GRACE = "in_grace"
    GRACE_OVER = "grace_over"
    ON_HOLD = "on_hold"


class Trial(StrEnum):
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"
    AT_STRIPE = "at_stripe"


class Waiting(StrEnum):
    LATE = "late"
    DEAD = "dead"
    UNMATCHED = "unmatched"


def standing(which: Standing, *, now: datetime) -> QuerySet[Subscription]:
    found = Subscription.objects.order_by()
    match which:
        case Standing.PAYING:
            return found.filter(PAYING)
        case Standing.IN_GRACE:
            return _past_due().filter(grace_end__gt=now, paid_plan__isnull=False)
        case Standing.GRACE_OVER:
            return _past_due().filter(Q(grace_end__lte=now) | Q(grace_end=None) | Q(paid_plan=None))
        case Standing.ON_HOLD:
            return found.filter(on_hold_since__isnull=False)


def _past_due() -> QuerySet[Any]:
    """With the end of its grace, as `entitlements.grace_end` has it."""
    days = ExpressionWrapper(F("paid_plan__grace_days") * Value(timedelta(days=1)), DurationField())
    counted = ExpressionWrapper(Coalesce("oldest_unpaid_at", "paid_start") + days, DateTimeField())
    past_due = Subscription.objects.order_by().filter(_COUNTING, stripe_status="past_due")
    return past_due.annotate(grace_end=Greatest("grace_until", counted))


def trials(which: Trial, *, now: datetime) -> QuerySet[Subscription]:
    # The first payment ends a trial for good.
    unpaid = Q(first_paid_at=None) | Q(first_paid_at__gt=now)
    found = Subscription.objects.order_by()
    match which:
        case Trial.RUNNING:
            return found.filter(unpaid, trial_end__gt=now, trial_start__lte=now)
        case Trial.ENDING:
            return found.filter(unpaid, trial_end__gt=now, trial_end__lte=now + WEEK, trial_start__lte=now)
        case Trial.ENDED:
            return found.filter(unpaid, trial_end__gt=now - WEEK, trial_end__lte=now)
        case Trial.AT_STRIPE:
            return found.filter(stripe_status="trialing")


def deliveries(which: Waiting, *, wall: datetime) -> QuerySet[StripeEvent]:
    """`wall` is the wall clock's, by which deliveries are kept."""
    found = StripeEvent.objects.order_by()
    match which:
        case Waiting.LATE:
            return found.filter(state=StripeEvent.State.WAITING, received_at__lt=wall - LATE)
        case Waiting.DEAD:
            return found.filter(state=StripeEvent.State.DEAD)
        case Waiting.UNMATCHED:
            return found.filter(state=StripeEvent.State.UNMATCHED)


@dataclass
class Tally:
    """How many, and what they come to in a month by currency, where they come to anything."""

    count: int = 0
    amounts: dict[str, int] = field(default_factory=dict)


def tallies(*, now: datetime, wall: datetime) -> dict[Standing | Trial | Waiting, Tally]:
    """Of everything but who pays, of whom there may be many; one statement."""
    counted: dict[Standing | Trial | Waiting, QuerySet[Any]] = {}
    counted |= {one: standing(one, now=now) for one in Standing if one != Standing.PAYING}
    counted |= {one: trials(one, now=now) for one in Trial}
    counted |= {one: deliveries(one, wall=wall) for one in Waiting}
    first, *others = [_counted(number, rows) for number, rows in enumerate(counted.values())]
    found = {one: Tally() for one in counted}
    for number, currency, count, amount in first.union(*others, all=True):
        tally = found[list(counted)[number]]
        tally.count += count
        if amount:
            tally.amounts[currency] = amount
    return found


def _counted(number: int, rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    is_earning = rows.model is Subscription
    numbered = rows.annotate(
        number=Value(number), unit=F("currency") if is_earning else Value("", output_field=CharField())
    )
    sums: QuerySet[Any, Any] = numbered.values("number", "unit").annotate(
        count=Count("pk"), amount=Sum("monthly_amount") if is_earning else Value(0)
    )
    return sums.values_list("number", "unit", "count", "amount")
