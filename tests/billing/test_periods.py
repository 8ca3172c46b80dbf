"""Every instant lies in exactly one month, of the calendar and of any anchor."""

import calendar
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.periods import Period, calendar_month, month_of, months_after, months_since
from tests.billing.facts import at, instants

TICK = timedelta(microseconds=1)
# Far enough from the ends of the calendar that a neighbouring month exists.
moments = instants(at(2), at(9998))


@given(moments)
@example(at(2023, 12, 31, 23, 59, 59))
@example(at(2024))
@example(at(2024, 2, 29))
def test_an_instant_lies_in_its_calendar_month(now: datetime) -> None:
    month = calendar_month(now)
    assert now in month
    assert (month.start.year, month.start.month, month.start.day) == (now.year, now.month, 1)
    assert month.start.time() == month.end.time() == datetime.min.time()
    assert (month.end - month.start).days == calendar.monthrange(now.year, now.month)[1]


@given(moments)
def test_calendar_months_meet_without_gap_or_overlap(now: datetime) -> None:
    month = calendar_month(now)
    assert calendar_month(month.end - TICK) == month
    assert calendar_month(month.end).start == month.end
    assert calendar_month(month.start - TICK).end == month.start


@given(moments, moments)
@example(at(2024, 1, 31), at(2024, 2, 29))
@example(at(2024, 1, 31), at(2024, 2, 28, 23, 59, 59))
@example(at(2024, 2, 29), at(2025, 2, 28))
@example(at(2024, 12, 31, 23, 59, 59), at(2025))
def test_an_instant_lies_in_exactly_one_month_of_an_anchor(anchor: datetime, now: datetime) -> None:
    month = month_of(anchor, now)
    assert now in month
    assert now not in month_of(anchor, month.start - TICK)
    assert now not in month_of(anchor, month.end)


@given(moments, moments)
def test_months_of_an_anchor_meet_without_gap_or_overlap(anchor: datetime, now: datetime) -> None:
    month = month_of(anchor, now)
    assert month_of(anchor, month.start) == month_of(anchor, month.end - TICK) == month
    assert month_of(anchor, month.end).start == month.end
    assert month_of(anchor, month.start - TICK).end == month.start


@given(moments, moments)
def test_boundaries_keep_the_anchors_day_as_far_as_the_month_has_it_and_its_time_to_the_microsecond(
    anchor: datetime, now: datetime
) -> None:
    month = month_of(anchor, now)
    for boundary in (month.start, month.end):
        assert boundary.day == min(anchor.day, calendar.monthrange(boundary.year, boundary.month)[1])
        assert boundary.timetz() == anchor.timetz()


@given(moments, st.integers(-400, 400).filter(bool))
def test_an_anchor_begins_the_month_after_which_it_is_named(anchor: datetime, count: int) -> None:
    assert month_of(anchor, anchor).start == anchor
    if 3 < anchor.year + count // 12 < 9997:
        boundary = months_after(anchor, count)
        assert months_since(anchor, boundary) == count
        assert months_since(anchor, boundary - TICK) == count - 1


@given(moments, st.lists(st.integers(-60, 60), min_size=2, max_size=8))
def test_a_month_does_not_depend_on_which_were_asked_for_before(anchor: datetime, counts: list[int]) -> None:
    asked = [months_after(anchor, count) for count in counts if 3 < anchor.year + count // 12 < 9997]
    alone = [month_of(anchor, now) for now in asked]
    assert [month_of(anchor, now) for now in reversed(asked)] == alone[::-1]
    assert [month_of(anchor, now) for now in sorted(asked)] == sorted(alone)


@pytest.mark.parametrize(
    ("day", "boundaries"),
    [
        (29, [(2023, 1, 29), (2023, 2, 28), (2023, 3, 29), (2023, 4, 29)]),
        (30, [(2023, 1, 30), (2023, 2, 28), (2023, 3, 30), (2023, 4, 30)]),
        (31, [(2023, 1, 31), (2023, 2, 28), (2023, 3, 31), (2023, 4, 30), (2023, 5, 31)]),
        (31, [(2024, 1, 31), (2024, 2, 29), (2024, 3, 31), (2024, 4, 30), (2024, 5, 31)]),
    ],
)
def test_a_short_month_does_not_shorten_those_after_it(day: int, boundaries: list[tuple[int, int, int]]) -> None:
    anchor, expected = at(2022, 12, day, 9, 30), [at(*boundary, 9, 30) for boundary in boundaries]
    walked = [expected[0]]
    while len(walked) < len(expected):
        walked.append(month_of(anchor, walked[-1]).end)
    assert walked == expected


def test_a_leap_days_anniversary_is_28_february_until_the_next_leap_year() -> None:
    leap_day = at(2024, 2, 29)
    anniversaries = [months_after(leap_day, 12 * years) for years in (1, 2, 3, 4)]
    assert anniversaries == [at(2025, 2, 28), at(2026, 2, 28), at(2027, 2, 28), at(2028, 2, 29)]
    assert months_after(at(1896, 2, 29), 48) == at(1900, 2, 28)


def test_a_month_runs_over_the_turn_of_the_year() -> None:
    anchor = at(2024, 3, 31, 12)
    assert month_of(anchor, at(2025)) == Period(at(2024, 12, 31, 12), at(2025, 1, 31, 12))


def test_months_are_counted_centuries_from_their_anchor() -> None:
    anchor = at(2024, 1, 31)
    assert month_of(anchor, at(1500, 2, 14)) == Period(at(1500, 1, 31), at(1500, 2, 28))
    assert month_of(anchor, at(3000, 2, 28)) == Period(at(3000, 2, 28), at(3000, 3, 31))


def test_a_period_holds_its_start_and_not_its_end() -> None:
    period = Period(at(2024), at(2025))
    assert at(2024) in period
    assert at(2025) - TICK in period
    assert at(2025) not in period
    assert at(2024) - TICK not in period


@pytest.mark.parametrize("end", [at(2024), at(2023)])
def test_an_empty_period_cannot_be_made(end: datetime) -> None:
    with pytest.raises(ValueError, match="begin before it ends"):
        Period(at(2024), end)
