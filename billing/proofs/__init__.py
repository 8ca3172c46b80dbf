"""Statements that find nothing while the books are right: what `check_billing` runs over the whole database."""

from dataclasses import dataclass

from django.db import connection, transaction

from billing.proofs.books import BOOK_PROOFS
from billing.proofs.counters import repair
from billing.proofs.money import CHARGED_IN_VAIN, MONEY_PROOFS, OWED
from billing.proofs.proof import Proof

__all__ = ["CHARGED_IN_VAIN", "OWED", "PROOFS", "Finding", "Proof", "find", "repair"]

#: Sessions add what concerns their runs.
PROOFS: list[Proof] = [*BOOK_PROOFS, *MONEY_PROOFS]


@dataclass(frozen=True)
class Finding:
    proof: str
    id: str
    sentence: str


@transaction.atomic
def find() -> list[Finding]:
    """Run every proof on one snapshot, a statement each."""
    findings = []
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for proof in PROOFS:
            cursor.execute(proof.sql)
            findings += [Finding(proof.name, str(id), sentence) for id, sentence in cursor.fetchall()]
    return findings
