"""The command that proves the books, and sets counters to what the ledger says when it is told to."""

import logging
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import clock
from billing import jobs
from billing.models import AuditEntry, CreditGrant, LedgerEntry, UsagePeriod
from billing.proofs import PROOFS
from tests.billing.meter import give
from tests.people import Person

pytestmark = pytest.mark.django_db(transaction=True)


def check(*options: str) -> list[str]:
    out = StringIO()
    call_command("check_billing", *options, stdout=out)
    return out.getvalue().splitlines()


def check_fails(*options: str) -> tuple[list[str], str]:
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("check_billing", *options, stdout=out)
    assert failed.value.returncode == 1
    return out.getvalue().splitlines(), str(failed.value)


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def off(bob: Person, charlie: Person) -> tuple[UsagePeriod, CreditGrant]:
    """One period counter and one grant counter that are not what the ledger says."""
    for _ in range(3):
        assert bob.post("/sessions").status_code == 201
    give(charlie.workspace, 5, clock.now())
    UsagePeriod.objects.update(used=7)
    CreditGrant.objects.update(used=2)
    return UsagePeriod.objects.get(), CreditGrant.objects.get()


def test_while_the_books_are_right_it_says_so(bob: Person) -> None:
    bob.post("/sessions", {"prompt": "Write a haiku"})
    assert check() == [f"All {len(PROOFS)} proofs hold."]
    assert check("--repair") == ["0 counters set to what the ledger says.", f"All {len(PROOFS)} proofs hold."]
    assert not AuditEntry.objects.exists()


def test_what_is_off_is_named_with_its_id_and_fails_and_stays(off: tuple[UsagePeriod, CreditGrant]) -> None:
    period, grant = off
    lines, error = check_fails()
    assert lines == [
        f"period counter equals its ledger lines: {period.pk}: used is 7, the ledger says 3",
        f"grant counter equals its ledger lines: {grant.pk}: 3 of 5 are left, the ledger says 5",
    ]
    assert error == "2 things are off."
    assert (UsagePeriod.objects.get().used, CreditGrant.objects.get().used) == (7, 2)
    assert not AuditEntry.objects.exists()


def test_repair_sets_counters_to_the_ledger_and_leaves_an_audit_entry_for_each(
    off: tuple[UsagePeriod, CreditGrant],
) -> None:
    period, grant = off
    ledger = list(LedgerEntry.objects.order_by("id").values())
    said = check("--repair", "--reason=Restored from a copy")
    assert said == ["2 counters set to what the ledger says.", f"All {len(PROOFS)} proofs hold."]
    assert (UsagePeriod.objects.get().used, CreditGrant.objects.get().used) == (3, 0)
    assert list(LedgerEntry.objects.order_by("id").values()) == ledger
    entries = {entry.target: entry for entry in AuditEntry.objects.all()}
    assert set(entries) == {f"usageperiod:{period.pk}", f"creditgrant:{grant.pk}"}
    entry = entries[f"usageperiod:{period.pk}"]
    assert (entry.action, entry.reason, entry.actor_id) == ("repair counter", "Restored from a copy", None)
    assert (entry.before, entry.after, entry.workspace_id) == ({"used": 7}, {"used": 3}, period.workspace_id)


def test_what_no_counter_can_mend_is_left_and_named(off: tuple[UsagePeriod, CreditGrant]) -> None:
    period, grant = off
    lines = [("adjust", 9, period.pk, None), ("adjust", 9, None, grant.pk)]
    for kind, quantity, period_id, grant_id in lines:
        LedgerEntry.objects.create(
            workspace_id=period.workspace_id if period_id else grant.workspace_id,
            kind=kind,
            quantity=quantity,
            period_id=period_id,
            grant_id=grant_id,
            created_at=clock.now(),
        )
    lines_said, error = check_fails("--repair")
    assert lines_said[0] == "0 counters set to what the ledger says."
    assert len(lines_said) == 3
    assert error == "2 things are off."
    assert (UsagePeriod.objects.get().used, CreditGrant.objects.get().used) == (7, 2)
    assert not AuditEntry.objects.exists()


def test_it_takes_as_many_statements_whatever_the_size(
    bob: Person, charlie: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    counted = set()
    for someone in (bob, charlie):
        for _ in range(9):
            someone.post("/sessions", {"prompt": "Write a haiku"})
        with statements() as seen:
            check("--repair")
        counted.add(len(seen))
    # The proofs, what makes their snapshot, and of the repair its lock and its two updates.
    assert counted == {len(PROOFS) + 3 + 5}


def test_every_night_what_is_off_is_logged_as_an_error(
    off: tuple[UsagePeriod, CreditGrant], caplog: pytest.LogCaptureFixture
) -> None:
    jobs.check_billing(timestamp=0)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 2
    assert messages[0].startswith("check_billing: period counter equals its ledger lines: ")
    assert UsagePeriod.objects.get().used == 7
