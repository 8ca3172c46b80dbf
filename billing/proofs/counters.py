"""Counters set right by what their ledger lines add up to."""

from datetime import datetime

from django.db import connection, transaction

from billing.models import AuditEntry


@transaction.atomic
def repair(*, reason: str, now: datetime) -> int:
    """Set every counter to what its ledger lines add up to, with an audit entry each; the number of counters mended.

    Lines that add up to less than nothing, or to more than a grant holds, are no counter's fault and stay as findings.
    """
    with connection.cursor() as cursor:
        # Nobody consumes or returns meanwhile, so that no line comes between the sum and the counter.
        cursor.execute("LOCK TABLE billing_usageperiod, billing_creditgrant IN SHARE ROW EXCLUSIVE MODE")
        mended = []
        for sql in (_REPAIR_PERIODS, _REPAIR_GRANTS):
            cursor.execute(sql)
            mended += cursor.fetchall()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now,
            action="repair counter",
            workspace_id=workspace,
            workspace_name=name,
            target=f"{model}:{id}",
            reason=reason,
            before={"used": before},
            after={"used": after},
        )
        for model, id, workspace, name, before, after in mended
    )
    return len(mended)


_REPAIR_PERIODS = """
WITH truth AS (
    SELECT b.id, b.used AS before, coalesce(-sum(l.quantity), 0) AS after
    FROM billing_usageperiod b LEFT JOIN billing_ledgerentry l ON l.period_id = b.id GROUP BY b.id
)
UPDATE billing_usageperiod b SET used = truth.after FROM truth
WHERE b.id = truth.id AND truth.before <> truth.after AND truth.after >= 0
RETURNING 'usageperiod', b.id, b.workspace_id,
    (SELECT name FROM accounts_workspace w WHERE w.id = b.workspace_id), truth.before, b.used
"""
_REPAIR_GRANTS = """
WITH truth AS (
    SELECT g.id, g.used AS before, g.quantity - coalesce(sum(l.quantity), 0) AS after
    FROM billing_creditgrant g LEFT JOIN billing_ledgerentry l ON l.grant_id = g.id GROUP BY g.id
)
UPDATE billing_creditgrant g SET used = truth.after FROM truth
WHERE g.id = truth.id AND truth.before <> truth.after AND truth.after BETWEEN 0 AND g.quantity
RETURNING 'creditgrant', g.id, g.workspace_id,
    (SELECT name FROM accounts_workspace w WHERE w.id = g.workspace_id), truth.before, g.used
"""
