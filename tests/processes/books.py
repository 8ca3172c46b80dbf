"""What the database says of one workspace: read after a burst, to be counted."""

import uuid
from dataclasses import dataclass

from django.db import connection

from accounts.models import Workspace
from billing.models import CreditGrant, LedgerEntry, UsagePeriod
from sessions_app.models import Run, Session


@dataclass(frozen=True)
class Books:
    sessions: int
    runs: int
    consumed: int
    returned: int
    jobs: int
    used: int


def books(workspace: Workspace) -> Books:
    """`used` is that of all buckets and grants together."""
    lines = LedgerEntry.objects.filter(workspace=workspace)
    buckets = UsagePeriod.objects.filter(workspace=workspace).values_list("used", flat=True)
    grants = CreditGrant.objects.filter(workspace=workspace).values_list("used", flat=True)
    return Books(
        sessions=Session.objects.filter(workspace=workspace).count(),
        runs=Run.objects.filter(workspace=workspace).count(),
        consumed=lines.filter(kind=LedgerEntry.Kind.CONSUME).count(),
        returned=lines.filter(kind=LedgerEntry.Kind.REFUND).count(),
        jobs=_count(
            "SELECT count(*) FROM procrastinate_jobs j JOIN sessions_app_run r ON r.id::text = j.args ->> 'run_id' "
            "WHERE r.workspace_id = %s",
            workspace.pk,
        ),
        used=sum(buckets) + sum(grants),
    )


def jobs_without_a_run() -> int:
    return _count(
        "SELECT count(*) FROM procrastinate_jobs j WHERE j.task_name = 'sessions_app.jobs.carry_out' "
        "AND NOT EXISTS (SELECT FROM sessions_app_run r WHERE r.id::text = j.args ->> 'run_id')"
    )


def runs_without_a_job() -> int:
    """Of those that wait for a worker."""
    return _count(
        "SELECT count(*) FROM sessions_app_run r WHERE r.status = 'queued' AND r.handed_at IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.args ->> 'run_id' = r.id::text)"
    )


def _count(sql: str, *parameters: uuid.UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.fetchone()[0])
