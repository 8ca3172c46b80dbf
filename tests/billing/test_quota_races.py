"""With k units left exactly k of many at once succeed, each with a connection and a transaction of its own."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from billing import quotas
from billing.models import CreditGrant, LedgerEntry, Plan, UsagePeriod
from billing.quotas import QuotaExceeded
from tests.billing.facts import at
from tests.billing.meter import assert_books_are_right, consume, consume_all, give, plan
from tests.people import Person
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

NOW = at(2026, 3, 20, 12)
MANY = 16


@pytest.mark.parametrize("left", [0, 1, 10])
def test_of_many_at_once_exactly_as_many_as_are_left_are_granted(bob: Person, left: int) -> None:
    consume_all(bob.workspace, NOW, at_most=10 - left)
    results = at_once([lambda: consume(bob.workspace, NOW)] * MANY)
    assert [type(result) for result in results].count(QuotaExceeded) == MANY - left
    assert LedgerEntry.objects.filter(kind="consume").count() == 10
    assert UsagePeriod.objects.get().used == 10
    assert_books_are_right(bob.workspace)


def test_the_last_of_the_period_and_of_several_credits_are_shared_out_exactly(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=2)
    for quantity in (1, 3, 2):
        give(bob.workspace, quantity, NOW, expires_at=NOW + timedelta(days=quantity))
    give(bob.workspace, 5, NOW, expires_at=NOW)
    results = at_once([lambda: consume(bob.workspace, NOW)] * MANY)
    assert [type(result) for result in results].count(QuotaExceeded) == MANY - 8
    assert UsagePeriod.objects.get().used == 2
    assert sorted(CreditGrant.objects.values_list("quantity", "used")) == [(1, 1), (2, 2), (3, 3), (5, 0)]
    assert_books_are_right(bob.workspace)


def test_a_bucket_that_many_open_at_once_is_one(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=MANY)
    results = at_once([lambda: consume(bob.workspace, NOW)] * MANY)
    assert not [result for result in results if isinstance(result, Exception)]
    assert UsagePeriod.objects.get().used == MANY
    assert set(LedgerEntry.objects.values_list("balance", flat=True)) == set(range(MANY))


@pytest.mark.parametrize(("now", "credits"), [(NOW, 0), (at(2026, 4), 1)])
def test_of_many_refunds_of_one_run_at_once_one_gives_back(bob: Person, now: datetime, credits: int) -> None:
    run = consume(bob.workspace, NOW)
    results = at_once([lambda: quotas.refund(run_id=run, now=now)] * MANY)
    assert sorted(results) == [False] * (MANY - 1) + [True]
    assert LedgerEntry.objects.filter(kind="refund", run_id=run).count() == 1
    assert (UsagePeriod.objects.get().used, CreditGrant.objects.count()) == (credits, credits)
    assert_books_are_right(bob.workspace)


def test_refunds_and_runs_at_once_leave_nothing_lost_and_nothing_twice(bob: Person) -> None:
    spent = consume_all(bob.workspace, NOW)
    refunds = [partial(quotas.refund, run_id=run, now=NOW) for run in spent[:8]]
    results = at_once([*refunds, *[lambda: consume(bob.workspace, NOW)] * 8])
    assert results[:8] == [True] * 8
    granted = [result for result in results[8:] if not isinstance(result, Exception)]
    assert all(isinstance(result, QuotaExceeded) for result in results[8:] if result not in granted)
    assert UsagePeriod.objects.get().used == 2 + len(granted)
    assert_books_are_right(bob.workspace)
