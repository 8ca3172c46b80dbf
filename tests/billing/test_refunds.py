"""A unit goes back to the very bucket that it came from, once; from an ended one it becomes a credit."""

import uuid
from datetime import timedelta

import pytest

from billing import quotas
from billing.models import CreditGrant, LedgerEntry, Plan, UsagePeriod
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import (
    assert_books_are_right,
    change,
    consume,
    consume_all,
    give,
    line,
    plan,
    quota,
    rows,
)
from tests.people import Person

NOW = at(2026, 3, 20, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def refund(run_id: uuid.UUID, now: object = NOW) -> bool:
    return quotas.refund(run_id=run_id, now=now)  # type: ignore[arg-type]


def test_a_unit_goes_back_to_its_period_and_can_be_used_again(bob: Person) -> None:
    runs = consume_all(bob.workspace, NOW)
    assert refund(runs[0])
    back = line(runs[0], "refund")
    assert (back.quantity, back.balance, back.period_id) == (1, 1, line(runs[0]).period_id)
    assert quota(bob.workspace, NOW).remaining == 1
    assert len(consume_all(bob.workspace, NOW)) == 1
    assert_books_are_right(bob.workspace)


def test_a_unit_goes_back_to_its_grant(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=0)
    other = give(bob.workspace, 1, NOW)
    grant = give(bob.workspace, 3, NOW, expires_at=NOW + DAY)
    runs = [consume(bob.workspace, NOW), consume(bob.workspace, NOW)]
    assert refund(runs[0])
    back = line(runs[0], "refund")
    assert (back.grant_id, back.quantity, back.balance) == (grant.pk, 1, 2)
    other.refresh_from_db()
    assert other.used == 0
    assert_books_are_right(bob.workspace)


def test_a_second_refund_gives_nothing_and_writes_nothing(bob: Person) -> None:
    run = consume(bob.workspace, NOW)
    assert refund(run)
    before = rows(bob.workspace)
    assert not refund(run)
    assert not refund(run, at(2026, 5))
    assert rows(bob.workspace) == before


def test_a_run_that_was_never_charged_has_nothing_to_give_back(bob: Person) -> None:
    consume(bob.workspace, NOW)
    before = rows(bob.workspace)
    assert not refund(uuid.uuid4())
    assert rows(bob.workspace) == before


def test_from_a_period_that_has_ended_a_unit_comes_back_as_a_credit_of_one_run_for_30_days(bob: Person) -> None:
    run, later = consume(bob.workspace, NOW), at(2026, 4)
    assert refund(run, later)
    grant = CreditGrant.objects.get()
    assert (grant.kind, grant.quantity, grant.used, grant.expires_at) == ("returned", 1, 0, later + 30 * DAY)
    back = line(run, "refund")
    assert (back.grant_id, back.period_id, back.quantity, back.balance) == (grant.pk, None, 1, 1)
    assert UsagePeriod.objects.get().used == 1
    assert quota(bob.workspace, later).remaining == 11
    assert quota(bob.workspace, later + 30 * DAY).credits == 0
    assert_books_are_right(bob.workspace)


def test_until_its_last_instant_a_period_takes_its_unit_back(bob: Person) -> None:
    run = consume(bob.workspace, NOW)
    assert refund(run, at(2026, 4) - timedelta(microseconds=1))
    assert (UsagePeriod.objects.get().used, CreditGrant.objects.count()) == (0, 0)


def test_from_a_grant_that_has_expired_a_unit_comes_back_as_a_credit(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=0)
    expired = give(bob.workspace, 3, NOW, expires_at=NOW + DAY)
    run = consume(bob.workspace, NOW)
    assert refund(run, NOW + DAY)
    returned = CreditGrant.objects.get(kind="returned")
    expired.refresh_from_db()
    assert (expired.used, returned.expires_at) == (1, NOW + 31 * DAY)
    assert quota(bob.workspace, NOW + DAY).credits == 1
    assert_books_are_right(bob.workspace)


def test_a_returned_credit_that_is_used_and_returned_again_goes_back_to_itself(bob: Person) -> None:
    first, later = consume(bob.workspace, NOW), at(2026, 4)
    refund(first, later)
    plan(Plan.FREE, runs_limit=0)
    second = consume(bob.workspace, later)
    assert refund(second, later)
    assert line(second, "refund").grant_id == CreditGrant.objects.get().pk
    assert_books_are_right(bob.workspace)


@pytest.mark.parametrize(("override", "balance"), [(20, 10), (5, 0), (0, 0)])
def test_the_balance_goes_by_the_limit_that_holds_at_the_refund_and_is_never_below_zero(
    bob: Person, override: int, balance: int
) -> None:
    change(bob.workspace, runs_override=11, runs_override_end=NOW)
    runs = consume_all(bob.workspace, NOW - HOUR)
    change(bob.workspace, runs_override=override, runs_override_end=NOW + HOUR)
    assert refund(runs[0])
    assert line(runs[0], "refund").balance == balance
    assert_books_are_right(bob.workspace)


def test_an_unlimited_bucket_has_no_balance(bob: Person) -> None:
    change(bob.workspace, **facts.comp(plan(Plan.ENTERPRISE), at(2026, 3), at(2027)))
    run = consume(bob.workspace, NOW)
    assert refund(run)
    assert line(run, "refund").balance is None
    assert UsagePeriod.objects.get().used == 0


def test_a_unit_of_another_source_goes_back_there_and_not_to_the_present_bucket(bob: Person) -> None:
    free_run = consume(bob.workspace, NOW)
    change(bob.workspace, **facts.comp(plan(Plan.PRO), NOW, at(2027)))
    consume(bob.workspace, NOW)
    assert refund(free_run)
    back = line(free_run, "refund")
    assert (back.period_id, back.balance) == (line(free_run).period_id, 10)
    assert dict(UsagePeriod.objects.values_list("source", "used")) == {"free": 0, "comp": 1}
    assert LedgerEntry.objects.count() == 3
