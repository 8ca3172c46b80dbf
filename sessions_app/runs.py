"""A run from the queue to its end. Every step is one conditional UPDATE, so that each happens once.

Stop, worker and sweeper may reach for a run at the same instant: the one whose UPDATE finds the
status it expects goes on, the others find no row and leave it alone.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from billing import quotas
from sessions_app.agents import Emission
from sessions_app.models import Event, FailureKind, Run, Session

SESSION_STATUS = {
    Run.Status.SUCCEEDED: Session.Status.COMPLETED,
    Run.Status.FAILED: Session.Status.FAILED,
    Run.Status.STOPPED: Session.Status.STOPPED,
}
NOT_STARTED = "No worker could take this run in time. Its unit was given back; please try again."
WORKER_LOST = "The worker that carried out this run was lost. Its unit was given back; please try again."


@contextmanager
def held(run_id: uuid.UUID) -> Iterator[bool]:
    """Hold a run while it is carried out; False when another worker holds it.

    The lock is the database connection's: it falls with the process, the machine or the server,
    and needs no heartbeat to be missed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [str(run_id)])
        (is_mine,) = cursor.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [str(run_id)])


@transaction.atomic
def start(run_id: uuid.UUID, *, now: datetime) -> Run | None:
    """Take a queued run; None when it was stopped, taken or given back meanwhile."""
    taken = Run.objects.filter(pk=run_id, status=Run.Status.QUEUED, handed_at__isnull=False)
    if not taken.update(status=Run.Status.RUNNING, started_at=now):
        return None
    run = Run.objects.select_related("session").get(pk=run_id)
    Event.objects.create(
        session_id=run.session_id,
        run=run,
        type=Event.Type.MESSAGE,
        data={"role": "user", "text": run.prompt},
        created_at=now,
    )
    return run


@transaction.atomic
def report(run: Run, emission: Emission, *, now: datetime) -> bool:
    """Write an event of a running run; False when the run has been ended meanwhile."""
    # Locked, so that nothing is reported after a stop was answered.
    if not Run.objects.select_for_update().filter(pk=run.pk, status=Run.Status.RUNNING).exists():
        return False
    Event.objects.create(session_id=run.session_id, run=run, type=emission.type, data=emission.data, created_at=now)
    if emission.type == Event.Type.MESSAGE:
        Session.objects.filter(pk=run.session_id).update(
            latest_message=str(emission.data.get("text", ""))[:500], latest_message_at=now, last_activity_at=now
        )
    return True


def succeed(run: Run, *, now: datetime, is_waiting: bool = False) -> bool:
    return _end([run.pk], Run.Status.SUCCEEDED, now=now, expected=[Run.Status.RUNNING], is_waiting=is_waiting) == 1


def fail(run_id: uuid.UUID, kind: FailureKind, message: str, *, now: datetime) -> bool:
    """End a run that is queued or running; it is charged or given back as the kind says."""
    expected = [Run.Status.QUEUED] if kind == FailureKind.NOT_STARTED else [Run.Status.RUNNING]
    return _end([run_id], Run.Status.FAILED, now=now, expected=expected, kind=kind, error=message) == 1


def stop(session_id: uuid.UUID, *, now: datetime) -> bool:
    """End whatever is queued or running in a session: given back when queued, charged when running."""
    active = Run.objects.filter(session_id=session_id, status__in=[Run.Status.QUEUED, Run.Status.RUNNING])
    return (
        _end(
            active.values_list("pk", flat=True),
            Run.Status.STOPPED,
            now=now,
            expected=[Run.Status.QUEUED, Run.Status.RUNNING],
        )
        > 0
    )


def stop_all(workspace_id: uuid.UUID, *, now: datetime) -> int:
    """The same of a whole workspace; the number of runs. A session that was deleted has none."""
    active = Run.objects.filter(
        session__workspace=workspace_id,
        session__deleted_at=None,
        session__status__in=[Session.Status.PENDING, Session.Status.RUNNING],
        status__in=[Run.Status.QUEUED, Run.Status.RUNNING],
    )
    return _end(
        active.values_list("pk", flat=True),
        Run.Status.STOPPED,
        now=now,
        expected=[Run.Status.QUEUED, Run.Status.RUNNING],
    )


@transaction.atomic
def give_back_unused(run_id: uuid.UUID, *, now: datetime) -> bool:
    """Return the unit of a pending session's run that nobody started in time; the session stays pending."""
    unused = Run.objects.filter(pk=run_id, status=Run.Status.QUEUED, handed_at=None, start_by__lte=now)
    if not unused.update(status=Run.Status.STOPPED, failure_kind=FailureKind.UNUSED, is_charged=False, finished_at=now):
        return False
    quotas.refund(run_id=run_id, now=now)
    return True


def sweep(*, now: datetime) -> dict[str, int]:
    """Give back what was never started, and end the runs whose worker is gone; how many of each."""
    late = Run.objects.filter(status=Run.Status.QUEUED, start_by__lte=now).values_list("pk", "handed_at")
    swept = {"unused": 0, "not_started": 0, "worker_lost": 0}
    for run_id, handed_at in late:
        if handed_at is None:
            swept["unused"] += give_back_unused(run_id, now=now)
        else:
            swept["not_started"] += fail(run_id, FailureKind.NOT_STARTED, NOT_STARTED, now=now)
    for run_id in Run.objects.filter(status=Run.Status.RUNNING).values_list("pk", flat=True):
        with transaction.atomic():
            if _is_abandoned(run_id):
                swept["worker_lost"] += fail(run_id, FailureKind.WORKER_LOST, WORKER_LOST, now=now)
    return swept


def _is_abandoned(run_id: uuid.UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [str(run_id)])
        return bool(cursor.fetchone()[0])


@transaction.atomic
def _end(
    run_ids: Iterable[uuid.UUID],
    status: Run.Status,
    *,
    now: datetime,
    expected: list[Run.Status],
    kind: FailureKind | None = None,
    error: str = "",
    is_waiting: bool = False,
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sessions_app_run SET status = %(status)s, failure_kind = %(kind)s, error = %(error)s,
                finished_at = %(now)s, is_charged = NOT (%(free)s OR (%(stops)s AND status = 'queued'))
            WHERE id = ANY(%(ids)s) AND status = ANY(%(expected)s)
            RETURNING id, session_id, is_charged
            """,
            {
                "ids": list(run_ids),
                "status": status.value,
                "expected": [s.value for s in expected],
                "kind": kind.value if kind else "",
                "error": error[:500],
                "free": bool(kind and kind.is_given_back),
                "stops": status == Run.Status.STOPPED,
                "now": now,
            },
        )
        ended = cursor.fetchall()
    for run_id, session_id, is_charged in ended:
        # In the transaction that ends the run, so that no crash comes between the two (invariant 3).
        if not is_charged:
            quotas.refund(run_id=run_id, now=now)
        Event.objects.bulk_create(_closing_events(run_id, session_id, status, kind, error, now))
        Session.objects.filter(pk=session_id).update(
            status=Session.Status.WAITING if is_waiting else SESSION_STATUS[status], last_activity_at=now
        )
    return len(ended)


def _closing_events(
    run_id: uuid.UUID, session_id: uuid.UUID, status: Run.Status, kind: FailureKind | None, error: str, now: datetime
) -> list[Event]:
    def event(type: Event.Type, data: dict[str, Any]) -> Event:
        return Event(session_id=session_id, run_id=run_id, type=type, data=data, created_at=now)

    done = event(Event.Type.DONE, {"status": status.value})
    if kind is None:
        return [done]
    return [event(Event.Type.ERROR, {"kind": kind.value, "message": error}), done]
