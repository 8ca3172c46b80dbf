"""Of the live sources the highest rank wins, and something is always live: held against an oracle over hours."""

import string
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.entitlements import entitlement
from billing.models import Interval, Plan, Source, Subscription
from tests.billing.facts import BASIC, FREE, PLANS, PRO, TRIAL, at, comp, facts, instants, paid, trial

NOON = at(2026, 3, 15, 12)
EDGE_HOURS = 72
STRIPE_STATUSES = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)


def hours(count: int) -> datetime:
    return NOON + timedelta(hours=count)


windows = st.tuples(st.integers(-9, 9), st.integers(1, 9)).map(lambda w: (w[0], w[0] + w[1]))
sources = st.none() | st.tuples(st.sampled_from(list(PLANS.values())), windows)
type Given = tuple[Plan, tuple[int, int]] | None


def oracle(given: dict[Source, Given], now: int) -> tuple[Source, Plan]:
    """Walks the sources in the order in which ties go, and takes another only where it ranks strictly higher."""
    winner: tuple[Source, Plan] | None = None
    for source in (Source.COMP, Source.PAID, Source.TRIAL, Source.FREE):
        if source is Source.FREE:
            plan, (begins, ends) = FREE, (-1000, 1000)
        else:
            found = given[source]
            if found is None:
                continue
            plan, (begins, ends) = found
        paying = given[Source.PAID]
        if source is Source.PAID:
            ends += EDGE_HOURS
        if source is Source.TRIAL and paying is not None and paying[1][0] <= now:
            continue
        if begins <= now < ends and (winner is None or plan.rank > winner[1].rank):
            winner = source, plan
    assert winner is not None
    return winner


@given(sources, sources, sources, st.integers(-10, 100))
def test_the_highest_rank_of_the_live_sources_wins(of_comp: Given, of_paid: Given, of_trial: Given, now: int) -> None:
    rows: dict[str, Any] = {}
    if of_comp:
        rows |= comp(of_comp[0], *map(hours, of_comp[1]))
    if of_paid:
        rows |= paid(of_paid[0], *map(hours, of_paid[1]))
    if of_trial:
        rows |= trial(*map(hours, of_trial[1])) | {"trial_plan": of_trial[0]}
    held = entitlement(facts(**rows), hours(now))
    expected = oracle({Source.COMP: of_comp, Source.PAID: of_paid, Source.TRIAL: of_trial}, now)
    assert (held.source, held.plan) == expected


def test_a_tie_goes_to_comp_then_paid_then_trial_then_free() -> None:
    start, end = hours(-1), hours(1)
    rows = comp(PRO, start, end) | paid(PRO, start, end) | trial(start, end) | {"trial_plan": PRO, "base_plan": PRO}
    rows["first_paid_at"] = None
    found = []
    for gone in ({}, {"comp_plan": None}, {"paid_plan": None}, {"trial_plan": None}):
        rows |= gone
        found.append(entitlement(Subscription(**rows), NOON).source)
    assert found == [Source.COMP, Source.PAID, Source.TRIAL, Source.FREE]


def test_a_comp_below_the_paid_plan_takes_nothing_away() -> None:
    held = entitlement(facts(**comp(BASIC, hours(-1), hours(1)), **paid(PRO, hours(-1), hours(1))), NOON)
    assert (held.source, held.plan, held.limit()) == (Source.PAID, PRO, 5000)


@pytest.mark.parametrize("source", ["comp", "trial"])
def test_a_source_begins_with_its_first_instant_and_ends_before_its_last(source: str) -> None:
    rows = comp(PRO, hours(-1), hours(1)) if source == "comp" else trial(hours(-1), hours(1))
    tick = timedelta(microseconds=1)
    moments = [hours(-1) - tick, hours(-1), hours(1) - tick, hours(1)]
    found = [entitlement(facts(**rows), moment).source for moment in moments]
    assert found == ["free", source, source, "free"]


moments = instants(at(2020), at(2030))
plans = st.builds(
    Plan,
    id=st.uuids(),
    rank=st.integers(0, 99),
    runs_limit=st.none() | st.integers(0, 9999),
    grace_days=st.integers(0, 60),
    grace_runs=st.none() | st.integers(0, 999),
)
subscriptions = st.builds(
    Subscription,
    base_plan=plans,
    **{f"{name}_plan": st.none() | plans for name in ("trial", "comp", "paid", "pending")},
    **{
        name: st.none() | moments
        for name in (
            *("trial_start", "trial_end", "comp_start", "comp_end", "runs_override_end"),
            *("paid_anchor", "paid_start", "paid_end", "oldest_unpaid_at", "first_paid_at"),
            *("cancel_at", "canceled_at", "pending_at"),
        )
    },
    runs_override=st.none() | st.integers(0, 9999),
    stripe_status=st.sampled_from(STRIPE_STATUSES) | st.text(string.ascii_lowercase, max_size=9),
    paid_interval=st.sampled_from(["", *Interval]),
    pending_interval=st.sampled_from(["", *Interval]),
    is_period_paid=st.booleans(),
    is_collection_paused=st.booleans(),
)


@given(subscriptions, moments, st.none() | st.integers(0, 9999))
def test_whatever_the_facts_there_is_a_plan_with_a_period_that_holds_now(
    subscription: Subscription, now: datetime, bucket_limit: int | None
) -> None:
    held = entitlement(subscription, now)
    assert held.plan is not None
    assert now in held.period
    for limit in (held.limit(), held.limit(held.plan.pk, bucket_limit)):
        assert limit is None or limit >= 0


@given(subscriptions, moments, moments)
def test_the_same_facts_give_the_same_answer_in_whatever_order_they_are_asked(
    subscription: Subscription, now: datetime, other: datetime
) -> None:
    first = entitlement(subscription, now)
    entitlement(subscription, other)
    assert entitlement(subscription, now) == first


def test_what_never_began_leaves_free() -> None:
    held = entitlement(facts(**trial(hours(1), hours(2)), **comp(PRO, hours(1), hours(2))), NOON)
    assert (held.source, held.plan, held.limit()) == (Source.FREE, FREE, 10)


def test_a_trial_outranks_free_alone() -> None:
    held = entitlement(facts(**trial(hours(-1), hours(1))), NOON)
    assert (held.source, held.plan, held.limit()) == (Source.TRIAL, TRIAL, 50)
    assert (held.period.start, held.period.end) == (hours(-1), hours(1))
