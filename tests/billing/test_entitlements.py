"""What a paid subscription allows while it is paid, late, paused, cancelled or overridden."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.entitlements import SKEW, entitlement, grace_end
from billing.models import Plan, Source
from billing.periods import Period
from tests.billing.facts import BASIC, ENTERPRISE, FREE, PRO, at, comp, facts, paid, trial

START, END = at(2026, 3, 10), at(2026, 4, 10)
NOW = at(2026, 3, 20)
TICK = timedelta(microseconds=1)


def source_at(now: datetime, **given: Any) -> str:
    return entitlement(facts(**paid(PRO, START, END, **given)), now).source


@pytest.mark.parametrize(
    ("status", "source"),
    [
        ("active", "paid"),
        ("trialing", "paid"),
        ("past_due", "paid"),
        ("incomplete", "free"),
        ("incomplete_expired", "free"),
        ("canceled", "free"),
        ("unpaid", "free"),
        ("paused", "free"),
        ("a_word_of_tomorrow", "free"),
        ("", "free"),
    ],
)
def test_each_of_stripes_words_is_paid_or_is_not(status: str, source: str) -> None:
    assert source_at(NOW, stripe_status=status, oldest_unpaid_at=NOW) == source


def test_paused_collection_is_not_paid_until_it_is_resumed() -> None:
    assert source_at(NOW, is_collection_paused=True) == Source.FREE
    assert source_at(NOW, is_collection_paused=False) == Source.PAID


def test_a_period_that_has_not_begun_is_not_paid() -> None:
    assert source_at(START - SKEW - TICK) == Source.FREE
    assert source_at(START) == Source.PAID


@pytest.mark.parametrize("interval", ["month", "year"])
def test_a_clock_that_is_behind_stripes_takes_nothing_away(interval: str) -> None:
    end = START + timedelta(days=365) if interval == "year" else END
    held = entitlement(facts(**paid(PRO, START, end, paid_interval=interval)), START - timedelta(seconds=1))
    assert (held.source, held.period.start) == (Source.PAID, START)


def test_grace_counts_from_the_oldest_unpaid_invoice_and_not_from_when_it_was_noticed() -> None:
    oldest = START + timedelta(days=2, hours=5)
    late = {"stripe_status": "past_due", "oldest_unpaid_at": oldest}
    end = oldest + timedelta(days=PRO.grace_days)
    assert grace_end(facts(**paid(PRO, START, END, **late))) == end
    assert source_at(end - TICK, **late) == Source.PAID
    assert source_at(end, **late) == Source.FREE


def test_without_an_invoice_at_hand_grace_counts_from_the_periods_start() -> None:
    end = START + timedelta(days=PRO.grace_days)
    assert source_at(end - TICK, stripe_status="past_due") == Source.PAID
    assert source_at(end, stripe_status="past_due") == Source.FREE


def test_grace_lasts_as_long_as_the_plan_says() -> None:
    patient = Plan(pk=PRO.pk, slug="pro", rank=30, runs_limit=5000, grace_days=14)
    late = paid(patient, START, END, stripe_status="past_due", oldest_unpaid_at=START)
    assert grace_end(facts(**late)) == START + timedelta(days=14)
    assert entitlement(facts(**late), START + timedelta(days=13)).source == Source.PAID


@pytest.mark.parametrize("status", ["active", "unpaid", "canceled", ""])
def test_grace_is_for_the_past_due_alone(status: str) -> None:
    assert grace_end(facts(**paid(PRO, START, END, stripe_status=status, oldest_unpaid_at=START))) is None


def test_a_scheduled_cancel_keeps_the_plan_until_its_instant() -> None:
    assert source_at(END - TICK, cancel_at=END) == Source.PAID
    assert source_at(END, cancel_at=END) == Source.FREE
    assert source_at(NOW, cancel_at=NOW) == Source.FREE


def test_the_first_paid_period_ends_a_trial_for_good() -> None:
    running = trial(at(2026, 3, 1), at(2026, 5, 1))
    assert entitlement(facts(**running, first_paid_at=START), START - TICK).source == Source.TRIAL
    for status, source in (("active", Source.PAID), ("canceled", Source.FREE), ("unpaid", Source.FREE)):
        held = entitlement(facts(**running, **paid(PRO, START, END, stripe_status=status)), NOW)
        assert held.source == source


def test_a_paid_period_is_stripes_own() -> None:
    held = entitlement(facts(**paid(PRO, START, END)), NOW)
    assert (held.period, held.bucket_source) == (Period(START, END), Source.PAID)


def test_a_comp_runs_in_months_from_its_start() -> None:
    held = entitlement(facts(**comp(PRO, at(2026, 1, 31, 8), at(2027, 1, 31, 8))), NOW)
    assert held.period == Period(at(2026, 2, 28, 8), at(2026, 3, 31, 8))
    assert held.bucket_source == Source.COMP


def test_a_comp_beside_a_paid_period_is_counted_in_its_bucket() -> None:
    held = entitlement(facts(**comp(ENTERPRISE, START, at(2027)), **paid(BASIC, START, END)), NOW)
    assert (held.source, held.plan, held.limit()) == (Source.COMP, ENTERPRISE, None)
    assert (held.bucket_source, held.period) == (Source.PAID, Period(START, END))


def test_free_runs_on_the_calendar_month() -> None:
    held = entitlement(facts(), NOW)
    assert (held.period, held.bucket_source) == (Period(at(2026, 3), at(2026, 4)), Source.FREE)


@pytest.mark.parametrize("number", [0, 3, 100_000])
def test_an_override_replaces_the_limit_until_its_end(number: int) -> None:
    overridden = {"runs_override": number, "runs_override_end": NOW}
    for rows in ({}, paid(PRO, START, END), comp(ENTERPRISE, START, END), trial(START, END)):
        without = entitlement(facts(**rows), NOW)
        before = entitlement(facts(**rows, **overridden), NOW - TICK)
        after = entitlement(facts(**rows, **overridden), NOW)
        assert before.limit(before.plan.pk, 77) == number
        assert after == without
        assert after.limit(after.plan.pk, 77) == 77


def test_an_unpaid_period_grants_a_tenth_rounded_up_until_it_is_paid() -> None:
    odd = Plan(pk=PRO.pk, slug="pro", rank=30, runs_limit=5001)
    unpaid = entitlement(facts(**paid(odd, START, END, is_period_paid=False)), NOW)
    assert unpaid.limit(odd.pk, 5001) == 501
    settled = entitlement(facts(**paid(odd, START, END)), NOW)
    assert settled.limit(odd.pk, 5001) == 5001
    assert (settled.period, settled.bucket_source) == (unpaid.period, unpaid.bucket_source)


@pytest.mark.parametrize(
    ("runs_limit", "grace_runs", "free_limit", "granted"),
    [
        (5000, 42, 10, 42),
        (5000, 3, 10, 10),
        (5000, 0, 10, 10),
        (60, None, 10, 10),
        (7, None, 10, 7),
        (5000, 9000, 10, 5000),
        (None, 1000, 10, 1000),
        (None, None, 10, None),
        (5000, 42, None, 5000),
    ],
)
def test_an_unpaid_period_grants_the_plans_grace_runs_and_never_less_than_free(
    runs_limit: int | None, grace_runs: int | None, free_limit: int | None, granted: int | None
) -> None:
    plan = Plan(pk=PRO.pk, slug="pro", rank=30, runs_limit=runs_limit, grace_runs=grace_runs)
    subscription = facts(**paid(plan, START, END, is_period_paid=False))
    subscription.base_plan = Plan(pk=FREE.pk, slug="free", rank=0, runs_limit=free_limit)
    assert entitlement(subscription, NOW).limit() == granted


def test_a_bucket_keeps_the_limit_it_was_opened_with_and_another_plan_brings_its_own() -> None:
    held = entitlement(facts(**paid(PRO, START, END)), NOW)
    assert held.limit(PRO.pk, 4000) == 4000
    assert held.limit(BASIC.pk, 1000) == 5000
    assert held.limit(PRO.pk, None) is None
