"""History is append-only, and a ledger line that cannot be true is refused: by the database itself."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from billing.models import AuditEntry, LedgerEntry, SubscriptionChange
from tests.billing.facts import at
from tests.billing.meter import assert_books_are_right, consume, give, line, rows
from tests.people import Person

NOW = at(2026, 3, 20, 12)


@pytest.fixture
def history(bob: Person) -> list[Any]:
    """One row of each append-only table."""
    consume(bob.workspace, NOW)
    AuditEntry.objects.create(at=NOW, action="test", target="test:1", reason="Test")
    return [LedgerEntry.objects.get(), SubscriptionChange.objects.get(), AuditEntry.objects.get()]


def refuses(act: Callable[[], Any]) -> None:
    with pytest.raises(DatabaseError, match="is append-only: write a new line instead"), transaction.atomic():
        act()


def test_a_line_of_history_cannot_be_changed_or_deleted(history: list[Any]) -> None:
    for row in history:
        kept = type(row).objects.values().get()
        refuses(type(row).objects.filter(pk=row.pk).delete)
        refuses(row.delete)
        refuses(row.save)
        refuses(partial(type(row).objects.update, id=row.pk))
        assert type(row).objects.values().get() == kept


def test_a_run_is_charged_once(bob: Person) -> None:
    entry = line(consume(bob.workspace, NOW))
    before = rows(bob.workspace)
    entry.pk = None
    entry._state.adding = True
    with pytest.raises(IntegrityError, match="ledger_once_a_run_and_kind"), transaction.atomic():
        entry.save(force_insert=True)
    assert rows(bob.workspace) == before


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("ledger_is_not_overdrawn", {"balance": -1}),
        ("ledger_quantity_fits_kind", {"quantity": 1}),
        ("ledger_quantity_fits_kind", {"run_id": None}),
        ("ledger_quantity_fits_kind", {"kind": "adjust"}),
        ("ledger_names_one_bucket", {"period_id": None}),
    ],
)
def test_a_line_that_cannot_be_true_is_refused(bob: Person, constraint: str, values: dict[str, Any]) -> None:
    period_id = line(consume(bob.workspace, NOW)).period_id
    before = rows(bob.workspace)
    true = {"kind": "consume", "quantity": -1, "run_id": uuid.uuid4(), "period_id": period_id, "balance": 8}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        LedgerEntry.objects.create(workspace=bob.workspace, created_at=NOW, **true | values)
    assert rows(bob.workspace) == before


def test_a_line_names_one_bucket_and_not_two(bob: Person) -> None:
    entry, grant = line(consume(bob.workspace, NOW)), give(bob.workspace, 1, NOW)
    before = rows(bob.workspace)
    with pytest.raises(IntegrityError, match="ledger_names_one_bucket"), transaction.atomic():
        LedgerEntry.objects.create(
            workspace=bob.workspace, kind="adjust", quantity=1, period=entry.period, grant=grant, created_at=NOW
        )
    assert rows(bob.workspace) == before
    assert_books_are_right(bob.workspace)
