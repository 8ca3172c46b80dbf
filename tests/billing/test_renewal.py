"""The edges of a paid period: 72 hours as if renewed, and a yearly price cut into months from its anchor."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.entitlements import EDGE, entitlement
from billing.models import Interval, Source
from billing.periods import Period, months_after
from tests.billing.facts import BASIC, FREE, PRO, at, facts, instants, paid

START, END = at(2026, 1, 31, 9), at(2026, 2, 28, 9)
TICK = timedelta(microseconds=1)
anchors = instants(at(2020), at(2030))
lengths = {Interval.MONTH: 1, Interval.YEAR: 12}


def test_past_its_end_a_period_goes_on_for_72_hours_and_then_falls_to_free() -> None:
    subscription = facts(**paid(PRO, START, END))
    assert timedelta(hours=72) == EDGE
    for moment in (END, END + timedelta(hours=72) - TICK):
        held = entitlement(subscription, moment)
        assert (held.source, held.plan) == (Source.PAID, PRO)
        assert held.period.start == END
    after = entitlement(subscription, END + timedelta(hours=72))
    assert (after.source, after.plan) == (Source.FREE, FREE)


def test_nobody_has_paid_for_the_edge_yet() -> None:
    subscription = facts(**paid(PRO, START, END))
    assert entitlement(subscription, END - TICK).limit() == 5000
    assert entitlement(subscription, END).limit() == 500


@given(anchors, st.integers(0, 60), st.integers(0, 999), st.sampled_from(list(Interval)))
def test_the_edge_counts_in_the_bucket_that_the_renewal_will_bring(
    anchor: datetime, count: int, thousandth: int, interval: Interval
) -> None:
    length = lengths[interval]
    first, second, third = (months_after(anchor, (count + n) * length) for n in (0, 1, 2))
    cycle = {"paid_anchor": anchor, "paid_interval": interval}
    now = second + EDGE * thousandth / 1000
    edge = entitlement(facts(**paid(PRO, first, second, **cycle)), now)
    renewed = entitlement(facts(**paid(PRO, second, third, **cycle)), now)
    assert edge.source == renewed.source == Source.PAID
    assert (edge.bucket_source, edge.period) == (renewed.bucket_source, renewed.period)


def test_the_month_after_28_february_ends_on_the_anchors_31_march() -> None:
    assert entitlement(facts(**paid(PRO, START, END)), END).period == Period(END, at(2026, 3, 31, 9))


def test_an_end_to_which_the_anchor_does_not_lead_begins_a_cycle_of_its_own() -> None:
    moved = paid(PRO, START, at(2026, 2, 12), paid_anchor=START)
    assert entitlement(facts(**moved), at(2026, 2, 12)).period == Period(at(2026, 2, 12), at(2026, 3, 12))


def test_a_pending_change_comes_with_the_edge() -> None:
    subscription = facts(**paid(PRO, START, END), pending_plan=BASIC, pending_at=END)
    assert entitlement(subscription, END - TICK).plan == PRO
    held = entitlement(subscription, END)
    assert (held.plan, held.source, held.limit()) == (BASIC, Source.PAID, 100)
    assert entitlement(subscription, END + EDGE).plan == FREE


def test_a_pending_change_of_interval_begins_a_year_at_the_edge() -> None:
    change = {"pending_plan": PRO, "pending_interval": Interval.YEAR, "pending_at": END}
    held = entitlement(facts(**paid(PRO, START, END), **change), END + timedelta(hours=1))
    assert held.period == Period(END, at(2026, 3, 28, 9))


def test_a_pending_change_that_is_not_due_changes_nothing() -> None:
    later = facts(**paid(PRO, START, END), pending_plan=BASIC, pending_at=at(2026, 6))
    assert entitlement(later, END).plan == PRO


def test_a_scheduled_cancel_leaves_no_edge() -> None:
    subscription = facts(**paid(PRO, START, END, cancel_at=END))
    assert entitlement(subscription, END - TICK).source == Source.PAID
    assert entitlement(subscription, END).source == Source.FREE


@pytest.mark.parametrize("given_up", [{"stripe_status": "canceled"}, {"is_collection_paused": True}])
def test_what_is_not_paid_at_stripe_has_no_edge(given_up: dict[str, object]) -> None:
    assert entitlement(facts(**paid(PRO, START, END, **given_up)), END).source == Source.FREE


def test_a_year_is_cut_into_months_from_its_anchor() -> None:
    start, end = at(2026, 1, 31, 9), at(2027, 1, 31, 9)
    subscription = facts(**paid(PRO, start, end, paid_interval=Interval.YEAR))
    months, now = [], start
    while now < end:
        months.append(entitlement(subscription, now).period)
        now = months[-1].end
    assert len(months) == 12
    assert [month.start for month in months[:4]] == [start, at(2026, 2, 28, 9), at(2026, 3, 31, 9), at(2026, 4, 30, 9)]
    assert months[-1].end == end


@given(anchors, anchors, st.timedeltas(timedelta(days=20), timedelta(days=800)), st.integers(0, 999))
def test_months_of_a_year_meet_and_never_leave_the_paid_period(
    anchor: datetime, start: datetime, length: timedelta, thousandth: int
) -> None:
    end, now = start + length, start + length * thousandth / 1000
    subscription = facts(**paid(PRO, start, end, paid_anchor=anchor, paid_interval=Interval.YEAR))
    month = entitlement(subscription, now).period
    assert start <= month.start <= now < month.end <= end
    assert entitlement(subscription, month.start).period == entitlement(subscription, month.end - TICK).period == month
    if month.end < end:
        assert entitlement(subscription, month.end).period.start == month.end
