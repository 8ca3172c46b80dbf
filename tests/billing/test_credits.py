"""Credits come after the period's own runs: the earliest to expire first, given before bought, expired never."""

from datetime import timedelta

import pytest

from billing.models import CreditGrant, LedgerEntry, Plan
from billing.quotas import QuotaExceeded
from tests.billing.facts import at
from tests.billing.meter import assert_books_are_right, consume, consume_all, give, line, plan, quota, rows
from tests.people import Person

NOW = at(2026, 3, 20, 12)
DAY = timedelta(days=1)
BOUGHT, GIVEN = CreditGrant.Kind.BOUGHT, CreditGrant.Kind.GIVEN


@pytest.fixture(autouse=True)
def no_runs_of_their_own(db: None) -> None:
    plan(Plan.FREE, runs_limit=1)


def test_the_periods_runs_go_before_credits(bob: Person) -> None:
    grant = give(bob.workspace, 2, NOW)
    assert quota(bob.workspace, NOW).remaining == 3
    lines = [line(run) for run in consume_all(bob.workspace, NOW)]
    assert [entry.grant_id for entry in lines] == [None, grant.pk, grant.pk]
    assert [entry.balance for entry in lines] == [0, 1, 0]
    assert_books_are_right(bob.workspace)


def test_the_earliest_to_expire_goes_first_and_given_before_bought(bob: Person) -> None:
    last = give(bob.workspace, 1, NOW, kind=BOUGHT)
    fourth = give(bob.workspace, 1, NOW)
    third = give(bob.workspace, 2, NOW, expires_at=NOW + 9 * DAY, kind=BOUGHT)
    second = give(bob.workspace, 1, NOW, expires_at=NOW + 9 * DAY)
    first = give(bob.workspace, 2, NOW, expires_at=NOW + DAY, kind=BOUGHT)
    runs = consume_all(bob.workspace, NOW)[1:]
    expected = [first, first, second, third, third, fourth, last]
    assert [line(run).grant_id for run in runs] == [grant.pk for grant in expected]
    assert_books_are_right(bob.workspace)


def test_of_two_alike_the_older_goes_first(bob: Person) -> None:
    older, younger = give(bob.workspace, 1, NOW), give(bob.workspace, 1, NOW)
    runs = consume_all(bob.workspace, NOW)[1:]
    assert [line(run).grant_id for run in runs] == [older.pk, younger.pk]


def test_a_credit_that_has_expired_pays_for_nothing(bob: Person) -> None:
    give(bob.workspace, 5, NOW, expires_at=NOW + DAY)
    consume(bob.workspace, NOW)
    assert quota(bob.workspace, NOW + DAY - timedelta(microseconds=1)).credits == 5
    assert quota(bob.workspace, NOW + DAY).credits == 0
    before = rows(bob.workspace)
    with pytest.raises(QuotaExceeded):
        consume(bob.workspace, NOW + DAY)
    assert rows(bob.workspace) == before


def test_a_new_period_is_spent_before_what_was_left_of_credits(bob: Person) -> None:
    give(bob.workspace, 3, NOW)
    consume(bob.workspace, NOW)
    consume(bob.workspace, NOW)
    april = at(2026, 4, 2)
    assert quota(bob.workspace, april).remaining == 3
    assert line(consume(bob.workspace, april)).grant_id is None
    assert quota(bob.workspace, april).remaining == 2


def test_strangers_credits_are_out_of_reach(bob: Person, charlie: Person) -> None:
    give(charlie.workspace, 5, NOW)
    consume(bob.workspace, NOW)
    with pytest.raises(QuotaExceeded):
        consume(bob.workspace, NOW)
    assert quota(charlie.workspace, NOW).credits == 5


def test_a_grant_is_a_line_in_the_ledger(bob: Person, staff: Person) -> None:
    grant = give(bob.workspace, 7, NOW, kind=BOUGHT)
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.quantity, entry.grant_id, entry.balance, entry.run_id) == ("grant", 7, grant.pk, 7, None)
    assert entry.workspace_id == bob.workspace.pk
    assert_books_are_right(bob.workspace)
