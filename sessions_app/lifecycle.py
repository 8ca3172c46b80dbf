"""Starting, continuing, stopping and deleting a session: each in one transaction, or not at all."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.http import Http404

from accounts.access import Access
from accounts.errors import Problem
from accounts.roles import Act, RoleRequired, may
from billing import quotas
from billing.models import Subscription
from sessions_app import jobs, runs
from sessions_app.models import Run, Session

UNUSED_FOR = timedelta(hours=24)
UNTITLED = "New session"


class SessionBusy(Problem):
    def __init__(self) -> None:
        super().__init__("The agent is at work in this session. Wait for it, or stop it first.", "session_busy")


def find(access: Access, session_id: uuid.UUID) -> Session:
    """A session of this workspace. Raises Http404 for a missing, a deleted and a foreign one alike."""
    session = Session.objects.filter(workspace=access.workspace, pk=session_id, deleted_at=None).first()
    if session is None:
        raise Http404
    return session


def find_own(access: Access, session_id: uuid.UUID) -> Session:
    """A session that may be acted on: one's own, or anybody's for admins and owners. Raises RoleRequired."""
    session = find(access, session_id)
    if session.created_by_id != access.user.pk and not may(access, Act.TOUCH_OTHERS):
        raise RoleRequired("Only its owner, or an admin of the workspace, may do this to a session.")
    return session


def open_session(access: Access, *, title: str, prompt: str) -> tuple[Session, Run, quotas.Quota]:
    """Make a session with its run, which costs one unit; with a prompt the run is handed to a worker.

    Raises QuotaExceeded or ConcurrencyExceeded, and then nothing was made.
    """
    now, subscription = access.now, access.workspace.subscription
    # Inside the transaction of an Idempotency-Key this needs no savepoint: whatever fails, all of it goes.
    with transaction.atomic(savepoint=False):
        session, run = _insert_session(access, title, prompt, _start_by(subscription, is_handed=bool(prompt), now=now))
        if prompt:
            jobs.hand_to_worker(run, subscription, now=now)
        # Last, so that the counter's row is locked for as short a time as can be.
        quota = _charge(run, subscription, now=now)
    return session, run, quota


def execute(access: Access, session: Session, *, prompt: str) -> tuple[Run, quotas.Quota]:
    """Go on in a session: start the run that was paid for when it was opened, or charge a new one.

    Raises SessionBusy while the agent is at work there, QuotaExceeded, ConcurrencyExceeded.
    """
    now, subscription = access.now, access.workspace.subscription
    with transaction.atomic(savepoint=False):
        # Two at once in one session: the second waits here, and then finds the first one's run.
        session = Session.objects.select_for_update().get(pk=session.pk)
        run = session.runs.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).first()
        if run is not None and run.handed_at is not None:
            raise SessionBusy
        if run is not None and runs.give_back_unused(run.pk, now=now):
            quotas.forget_counters(subscription)
            run = None
        if run is not None:
            run.prompt, run.handed_at, run.start_by = prompt, now, now + settings.RUN_START_TIMEOUT
            run.save(update_fields=["prompt", "handed_at", "start_by"])
            _refuse_over_concurrency(subscription, now)
            quota = quotas.quota_for(subscription, now=now)
        else:
            run = Run.objects.create(
                workspace=access.workspace,
                session=session,
                prompt=prompt,
                status=Run.Status.QUEUED,
                created_at=now,
                handed_at=now,
                start_by=_start_by(subscription, is_handed=True, now=now),
            )
            quota = _charge(run, subscription, now=now)
        jobs.hand_to_worker(run, subscription, now=now)
        session.status, session.latest_message, session.latest_message_at = Session.Status.RUNNING, prompt[:500], now
        session.last_activity_at = now
        session.save(update_fields=["status", "latest_message", "latest_message_at", "last_activity_at"])
    return run, quota


def stop(session: Session, *, now: datetime) -> Session:
    """End what is queued or running; a session in which nothing is stays as it is."""
    runs.stop(session.pk, now=now)
    session.refresh_from_db()
    return session


@transaction.atomic
def delete(session: Session, *, now: datetime) -> None:
    """Stop the session's runs and hide it."""
    Session.objects.filter(pk=session.pk).update(deleted_at=now)
    runs.stop(session.pk, now=now)


def _charge(run: Run, subscription: Subscription, *, now: datetime) -> quotas.Quota:
    consumed = quotas.consume(subscription, run_id=run.pk, now=now)
    if consumed.bucket_ends_at is not None and run.handed_at is None and consumed.bucket_ends_at < run.start_by:
        run.start_by = consumed.bucket_ends_at
        run.save(update_fields=["start_by"])
    if run.handed_at is not None:
        # After the counter, whose row is ours until the end: of the workspace's requests one counts at a time.
        _refuse_over_concurrency(subscription, now)
    return consumed.quota


def _refuse_over_concurrency(subscription: Subscription, now: datetime) -> None:
    plan = quotas.quota_for(subscription, now=now).entitlement.plan
    if plan.concurrency_limit is None:
        return
    active = Run.objects.filter(
        session__workspace=subscription.workspace_id,
        status__in=[Run.Status.QUEUED, Run.Status.RUNNING],
        handed_at__isnull=False,
    ).count()
    if active > plan.concurrency_limit:
        raise quotas.Refused(
            f"The {plan.name} plan carries out {plan.concurrency_limit} runs at once, and so many are under way.",
            "concurrency_exceeded",
            quotas.quota_for(subscription, now=now),
        )


def _start_by(subscription: Subscription, *, is_handed: bool, now: datetime) -> datetime:
    if is_handed:
        return now + settings.RUN_START_TIMEOUT
    return min(now + UNUSED_FOR, quotas.quota_for(subscription, now=now).entitlement.period.end)


def _insert_session(access: Access, title: str, prompt: str, start_by: datetime) -> tuple[Session, Run]:
    """Session and run in one statement; the two INSERTs of the ORM would be a round trip more on the hottest path."""
    now = access.now
    session = Session(
        workspace=access.workspace,
        created_by=access.user,
        title=title or (prompt.strip().splitlines() or [UNTITLED])[0][:80],
        status=Session.Status.RUNNING if prompt else Session.Status.PENDING,
        latest_message=prompt[:500],
        latest_message_at=now if prompt else None,
        last_activity_at=now,
        created_at=now,
    )
    run = Run(
        workspace=access.workspace,
        session=session,
        prompt=prompt,
        status=Run.Status.QUEUED,
        created_at=now,
        handed_at=now if prompt else None,
        start_by=start_by,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH session AS (
                INSERT INTO sessions_app_session (workspace_id, created_by_id, title, status,
                    latest_message, latest_message_at, last_activity_at, created_at)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
            )
            INSERT INTO sessions_app_run (workspace_id, session_id, prompt, status,
                failure_kind, error, is_charged, created_at, handed_at, start_by)
            SELECT %s, id, %s, %s, '', '', true, %s, %s, %s FROM session RETURNING session_id, id
            """,
            [
                session.workspace_id,
                session.created_by_id,
                session.title,
                session.status,
                session.latest_message,
                session.latest_message_at,
                now,
                now,
                run.workspace_id,
                prompt,
                run.status,
                now,
                run.handed_at,
                start_by,
            ],
        )
        session.id, run.id = cursor.fetchone()
    run.session = session
    return session, run
