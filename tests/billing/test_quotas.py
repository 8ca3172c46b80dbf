"""A run is granted exactly as often as the entitlement of that instant allows."""

from datetime import datetime, timedelta

import pytest

from billing.models import LedgerEntry, Plan, Source, UsagePeriod
from billing.quotas import QuotaExceeded
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import (
    assert_books_are_right,
    change,
    consume,
    consume_all,
    line,
    plan,
    quota,
    rows,
)
from tests.people import Person

NOW = at(2026, 3, 20, 12)
START, END = at(2026, 3, 10), at(2026, 4, 10)
HOUR = timedelta(hours=1)


def used(source: str, starts_at: datetime) -> int:
    return UsagePeriod.objects.get(source=source, starts_at=starts_at).used


def test_runs_are_granted_to_the_limit_and_the_next_is_refused_and_leaves_no_trace(bob: Person) -> None:
    assert len(consume_all(bob.workspace, NOW, at_most=10)) == 10
    before = rows(bob.workspace)
    with pytest.raises(QuotaExceeded):
        consume(bob.workspace, NOW)
    assert rows(bob.workspace) == before
    assert used("free", at(2026, 3)) == 10
    assert_books_are_right(bob.workspace)


def test_each_line_says_what_the_bucket_has_left(bob: Person) -> None:
    runs = consume_all(bob.workspace, NOW)
    assert [line(run).balance for run in runs] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert {line(run).quantity for run in runs} == {-1}


def test_a_limit_of_none_at_all_grants_nothing(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=0)
    with pytest.raises(QuotaExceeded):
        consume(bob.workspace, NOW)
    assert rows(bob.workspace) == [[], [], []]


def test_without_a_limit_runs_are_counted_and_none_is_refused(bob: Person) -> None:
    change(bob.workspace, **facts.comp(plan(Plan.ENTERPRISE), START, at(2027)))
    runs = consume_all(bob.workspace, NOW, at_most=25)
    assert [line(run).balance for run in runs] == [None] * 25
    now = quota(bob.workspace, NOW)
    assert (now.used, now.limit, now.left, now.remaining) == (25, None, None, None)
    assert now.headers()["X-Quota-Limit"] == now.headers()["X-Quota-Remaining"] == "unlimited"
    assert_books_are_right(bob.workspace)


@pytest.mark.parametrize("number", [0, 4, 13])
def test_an_override_replaces_the_limit_and_its_end_brings_it_back(bob: Person, number: int) -> None:
    change(bob.workspace, runs_override=number, runs_override_end=NOW)
    assert len(consume_all(bob.workspace, NOW - HOUR)) == number
    assert len(consume_all(bob.workspace, NOW)) == max(0, 10 - number)
    assert used("free", at(2026, 3)) == max(10, number)
    assert_books_are_right(bob.workspace)


def test_more_used_than_the_limit_now_is_leaves_nothing_and_not_less(bob: Person) -> None:
    change(bob.workspace, runs_override=13, runs_override_end=NOW)
    consume_all(bob.workspace, NOW - HOUR)
    after = quota(bob.workspace, NOW)
    assert (after.used, after.limit, after.left, after.remaining) == (13, 10, 0, 0)


def test_a_comp_that_starts_and_ends_between_two_runs_is_counted_apart(bob: Person) -> None:
    consume_all(bob.workspace, NOW, at_most=9)
    change(bob.workspace, **facts.comp(plan(Plan.PRO), NOW + HOUR, NOW + 2 * HOUR))
    consume(bob.workspace, NOW + HOUR)
    assert (used("free", at(2026, 3)), used("comp", NOW + HOUR)) == (9, 1)
    assert len(consume_all(bob.workspace, NOW + 2 * HOUR)) == 1
    assert (used("free", at(2026, 3)), used("comp", NOW + HOUR)) == (10, 1)


def test_a_new_month_grants_anew_without_a_job_and_leaves_the_old_bucket_alone(bob: Person) -> None:
    last, first = at(2026, 3, 31, 23, 59, 59), at(2026, 4)
    assert len(consume_all(bob.workspace, last)) == 10
    assert quota(bob.workspace, first).remaining == 10
    assert len(consume_all(bob.workspace, first)) == 10
    assert (used("free", at(2026, 3)), used("free", at(2026, 4))) == (10, 10)


def test_a_bucket_keeps_its_limit_when_staff_edit_the_plan_and_the_next_period_takes_the_new_one(bob: Person) -> None:
    consume(bob.workspace, NOW)
    plan(Plan.FREE, runs_limit=3)
    assert quota(bob.workspace, NOW).limit == 10
    assert len(consume_all(bob.workspace, NOW)) == 9
    assert quota(bob.workspace, at(2026, 4)).limit == 3
    assert len(consume_all(bob.workspace, at(2026, 4))) == 3


def test_another_plan_within_the_period_brings_its_own_limit_and_refills_nothing(bob: Person) -> None:
    basic, pro = plan(Plan.BASIC, runs_limit=3), plan(Plan.PRO, runs_limit=5)
    change(bob.workspace, **facts.paid(basic, START, END))
    assert len(consume_all(bob.workspace, NOW)) == 3
    change(bob.workspace, paid_plan=pro)
    assert quota(bob.workspace, NOW).left == 2
    assert len(consume_all(bob.workspace, NOW)) == 2
    change(bob.workspace, paid_plan=basic)
    assert (quota(bob.workspace, NOW).left, consume_all(bob.workspace, NOW)) == (0, [])
    assert used("paid", START) == 5


def test_a_comp_beside_a_paid_period_refills_nothing_when_it_comes_and_when_it_goes(bob: Person) -> None:
    basic, pro = plan(Plan.BASIC, runs_limit=3), plan(Plan.PRO, runs_limit=5)
    change(bob.workspace, **facts.paid(basic, START, END))
    consume_all(bob.workspace, NOW)
    change(bob.workspace, **facts.comp(pro, NOW, NOW + HOUR))
    assert len(consume_all(bob.workspace, NOW)) == 2
    assert consume_all(bob.workspace, NOW + HOUR) == []
    assert list(UsagePeriod.objects.values_list("source", "used")) == [(Source.PAID, 5)]


def test_an_unpaid_period_is_capped_and_payment_lifts_the_same_bucket(bob: Person) -> None:
    pro = plan(Plan.PRO, runs_limit=30, grace_runs=12)
    change(bob.workspace, **facts.paid(pro, START, END, is_period_paid=False))
    assert len(consume_all(bob.workspace, NOW)) == 12
    assert quota(bob.workspace, NOW).limit == 12
    change(bob.workspace, is_period_paid=True)
    assert len(consume_all(bob.workspace, NOW)) == 18
    assert used("paid", START) == 30


def test_the_edge_and_the_renewal_count_in_one_bucket(bob: Person) -> None:
    pro = plan(Plan.PRO, runs_limit=30, grace_runs=12)
    change(bob.workspace, **facts.paid(pro, at(2026, 1, 31), at(2026, 2, 28)))
    edge = at(2026, 2, 28, 12)
    assert len(consume_all(bob.workspace, edge)) == 12
    change(bob.workspace, paid_start=at(2026, 2, 28), paid_end=at(2026, 3, 31))
    last_day = at(2026, 3, 30)
    assert (quota(bob.workspace, last_day).used, quota(bob.workspace, last_day).left) == (12, 18)
    assert list(UsagePeriod.objects.values_list("ends_at", flat=True)) == [at(2026, 3, 31)]


def test_a_bucket_that_begins_between_two_seconds_is_found_again(bob: Person) -> None:
    start = NOW.replace(microsecond=123457)
    change(bob.workspace, **facts.comp(plan(Plan.PRO), start, at(2027)))
    consume(bob.workspace, NOW + HOUR)
    consume(bob.workspace, NOW + HOUR)
    assert quota(bob.workspace, NOW + HOUR).used == 2
    assert used("comp", start) == 2


def test_reading_what_is_left_opens_nothing(bob: Person) -> None:
    found = quota(bob.workspace, NOW)
    assert (found.used, found.limit, found.remaining, found.bucket) == (0, 10, 10, None)
    assert rows(bob.workspace) == [[], [], []]


def test_a_stranger_pays_from_their_own_bucket(bob: Person, charlie: Person) -> None:
    consume_all(bob.workspace, NOW)
    assert len(consume_all(charlie.workspace, NOW)) == 10
    assert LedgerEntry.objects.filter(workspace=charlie.workspace).count() == 10
    assert quota(bob.workspace, NOW).used == 10
