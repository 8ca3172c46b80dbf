"""When at this pace the runs will be spent."""

import uuid
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.entitlements import entitlement
from billing.quotas import Bucket, Quota
from billing.reports import exhausted_on
from tests.billing.facts import ENTERPRISE, at, comp, facts, instants, trial

NOW = at(2026, 11, 10, 15)


def forecast(used: int, now: datetime = NOW, *, credits: int = 0, limit: int | None = 10, **rows: Any) -> date | None:
    held = entitlement(facts(**rows), now)
    bucket = Bucket(uuid.uuid4(), held.plan.pk, limit, used)
    return exhausted_on(Quota(facts(**rows), held, bucket, credits), now=now)


@pytest.mark.parametrize(
    ("used", "now", "expected"),
    [
        (5, NOW, date(2026, 11, 20)),  # half in 10 days: the rest takes 10 more
        (9, NOW, date(2026, 11, 12)),  # one run is left, and one takes a little over a day
        (4, NOW, date(2026, 11, 25)),
        (3, NOW, None),  # would take until December
        (5, at(2026, 11, 1, 0, 30), date(2026, 11, 2)),
        (5, at(2026, 11, 15), date(2026, 11, 30)),
        (5, at(2026, 11, 16), None),  # on 1 December there are new ones
        (9, at(2026, 11, 30), None),
    ],
)
def test_it_goes_on_as_in_the_period_so_far(used: int, now: datetime, expected: date | None) -> None:
    assert forecast(used, now) == expected


@pytest.mark.parametrize("used", [10, 11])
def test_what_is_spent_is_spent_today(used: int) -> None:
    assert forecast(used) == NOW.date()


def test_a_limit_of_nothing_is_spent_today() -> None:
    assert forecast(0, limit=0) == NOW.date()


def test_credits_put_it_off() -> None:
    assert forecast(5, credits=5) == date(2026, 11, 30)
    assert forecast(5, credits=6) is None
    assert forecast(10, credits=1) == date(2026, 11, 11)


def test_who_uses_nothing_runs_out_of_nothing() -> None:
    assert forecast(0) is None


def test_without_a_limit_nothing_runs_out() -> None:
    rows = comp(ENTERPRISE, at(2026, 11), at(2027))
    assert forecast(10_000, limit=None, **rows) is None


def test_a_period_that_ends_within_a_day_counts_that_day() -> None:
    rows = trial(at(2026, 11, 10, 9), at(2026, 11, 24, 9))
    assert forecast(25, at(2026, 11, 16, 12), limit=50, **rows) == date(2026, 11, 23)
    assert forecast(24, at(2026, 11, 16, 12), limit=50, **rows) == date(2026, 11, 24)
    assert forecast(23, at(2026, 11, 16, 12), limit=50, **rows) is None


numbers = st.integers(0, 2_000_000_000)


@given(numbers, numbers, instants(at(2026, 11), at(2026, 11, 30)))
def test_it_is_a_day_of_the_rest_of_the_period_or_none(used: int, limit: int, now: datetime) -> None:
    day = forecast(used, now, limit=limit)
    assert day is None or now.date() <= day <= date(2026, 11, 30)
    assert (day == now.date()) == (used >= limit)
