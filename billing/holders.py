"""How many workspaces hold a plan now, and from which source: what `entitlements` says of one, counted of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from billing.entitlements import EDGE, SKEW
from billing.models import Plan, Source, Subscription

# Nobody waits for a count to the last one of millions.
MOST: Final = 100_000


@dataclass(frozen=True)
class Count:
    number: int

    def __str__(self) -> str:
        return f"more than {MOST:,}" if self.number > MOST else f"{self.number:,}"

    def __bool__(self) -> bool:
        return self.number > 0


def count(rows: QuerySet[Any]) -> Count:
    """No further than MOST; one statement."""
    return Count(rows.order_by()[: MOST + 1].count())


def holders_of(plan: Plan, *, now: datetime) -> Mapping[Source, Count]:
    """Of each source those whose entitlement is this plan by it; a statement each, by an index, and one for the plans.

    Invariant 8: the highest rank wins, and of one plan the first source in their order.
    """
    plans = list(Plan.objects.all())
    ranks = {Source.COMP: _of_comp(plans, now), Source.PAID: _of_paid(plans, now), Source.TRIAL: _of_trial(plans, now)}
    all_of_them = Subscription.objects.annotate(**{f"{source}_rank": rank for source, rank in ranks.items()})
    return {source: count(all_of_them.filter(*_won_by(plan, source))) for source in Source}


def _won_by(plan: Plan, source: Source) -> list[Q]:
    order = list(Source)
    terms = [_may_hold(plan, source)]
    for other in order[:-1]:
        if other == source:
            terms.append(Q(**{f"{other}_rank": plan.rank}))
        else:
            beaten = "lt" if order.index(other) < order.index(source) else "lte"
            terms.append(Q(**{f"{other}_rank__{beaten}": plan.rank}))
    return terms


def _may_hold(plan: Plan, source: Source) -> Q:
    """What an index finds; the rank says whether it is live."""
    match source:
        case Source.COMP:
            return Q(comp_plan=plan)
        case Source.PAID:
            return Q(paid_plan=plan) | Q(pending_plan=plan)
        case Source.TRIAL:
            return Q(trial_plan=plan)
        case Source.FREE:
            return Q(base_plan=plan)


def _of_comp(plans: Sequence[Plan], now: datetime) -> Case:
    return _first(_ranked(plans, "comp_plan", Q(comp_start__lte=now, comp_end__gt=now)))


def _of_trial(plans: Sequence[Plan], now: datetime) -> Case:
    is_unpaid = Q(first_paid_at=None) | Q(first_paid_at__gt=now)
    return _first(_ranked(plans, "trial_plan", Q(trial_start__lte=now, trial_end__gt=now) & is_unpaid))


def _of_paid(plans: Sequence[Plan], now: datetime) -> Case:
    holds = Q(on_hold_since=None, paid_start__lte=now + SKEW) & (Q(cancel_at=None) | Q(cancel_at__gt=now))
    holds &= _is_paid_at_stripe(plans, now)
    # Past its end it goes on as if renewed, and a change that was due has come (invariant 9).
    is_over = Q(paid_end__lte=now, paid_end__gt=now - EDGE)
    return _first(
        [
            *_ranked(plans, "pending_plan", holds & is_over & Q(pending_at__lte=now)),
            *_ranked(plans, "paid_plan", holds & (is_over | Q(paid_end__gt=now))),
        ]
    )


def _is_paid_at_stripe(plans: Sequence[Plan], now: datetime) -> Q:
    within_grace = reduce(
        or_,
        (
            Q(paid_plan=plan) & (Q(oldest_unpaid_at__gt=since) | Q(oldest_unpaid_at=None, paid_start__gt=since))
            for plan in plans
            for since in [now - timedelta(days=plan.grace_days)]
        ),
        Q(grace_until__gt=now),
    )
    return (
        Q(stripe_status="active", is_collection_paused=False)
        | Q(stripe_status="trialing")
        | Q(stripe_status="past_due") & within_grace
    )


def _ranked(plans: Sequence[Plan], column: str, is_live: Q) -> list[When]:
    return [When(is_live & Q(**{column: plan}), then=Value(plan.rank)) for plan in plans]


def _first(cases: Sequence[When]) -> Case:
    """The rank of the plan that is live; below all ranks where none is."""
    return Case(*cases, default=Value(-1), output_field=IntegerField())
