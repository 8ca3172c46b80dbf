"""Starting, continuing, stopping and deleting a session: each in one transaction, or not at all."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.access import Access
from accounts.errors import Problem
from accounts.roles import Act, RoleRequired, may
from billing import quotas
from sessions_app import jobs, runs
from sessions_app.models import Run, Session

UNUSED_FOR = timedelta(hours=24)
UNTITLED = "New session"


class SessionBusy(Problem):
    def __init__(self) -> None:
        super().__init__(_("The agent is at work in this session. Wait for it, or stop it first."), "session_busy")


def find(access: Access, session_id: uuid.UUID) -> Session:
    """A session of this workspace. Raises Http404 for a missing, a deleted and a foreign one alike (invariant 13)."""
    session = Session.objects.filter(workspace=access.workspace, pk=session_id, deleted_at=None).first()
    if session is None:
        raise Http404
    return session


def find_own(access: Access, session_id: uuid.UUID) -> Session:
    """A session that may be acted on: one's own, or anybody's for admins and owners. Raises RoleRequired."""
    session = find(access, session_id)
    if not is_own(access, session):
        raise RoleRequired(_("Only its owner, or an admin of the workspace, may do this to a session."))
    return session


def is_own(access: Access, session: Session) -> bool:
    """Whether a session of this workspace may be acted on."""
    return session.created_by_id == access.user.pk or may(access, Act.TOUCH_OTHERS)


def open_session(access: Access, *, title: str, prompt: str) -> tuple[Session, Run, quotas.Quota]:
    """Make a session with its run, which costs one unit; with a prompt the run is handed to a worker.

    Raises QuotaExceeded or Refused for concurrency, and then nothing was made.
    """
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
    if quotas.quota_for(access.workspace.subscription, now=now).entitlement.plan.concurrency_limit is None:
        # The one statement of `_charge` is a transaction by itself, and the shortest that there can be.
        run, quota = _charge(access, session, prompt)
    else:
        with transaction.atomic(savepoint=False):
            run, quota = _charge(access, session, prompt)
    return session, run, quota


def execute(access: Access, session: Session, *, prompt: str) -> tuple[Run, quotas.Quota]:
    """Go on in a session: start the run that was paid for when it was opened, or charge a new one.

    Raises SessionBusy while the agent is at work there, QuotaExceeded, Refused for concurrency.
    """
    now, subscription = access.now, access.workspace.subscription
    # Inside the transaction of an Idempotency-Key this needs no savepoint: whatever fails, all of it goes.
    with transaction.atomic(savepoint=False):
        # Two at once in one session: the second waits here, and then finds the first one's run.
        session = Session.objects.select_for_update().get(pk=session.pk)
        if session.deleted_at is not None:
            raise Http404
        run = session.runs.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).first()
        if run is not None and run.handed_at is not None:
            raise SessionBusy
        if run is not None and runs.give_back_unused(run.pk, now=now):
            quotas.forget_counters(subscription)
            run = None
        if run is None:
            run, quota = _charge(access, session, prompt)
        else:
            quota = quotas.quota_for(subscription, now=now)
            run.prompt, run.handed_at, run.start_by = prompt, now, now + settings.RUN_START_TIMEOUT
            run.save(update_fields=["prompt", "handed_at", "start_by"])
            jobs.hand_to_worker(run, quota.entitlement.plan)
            _refuse_over_concurrency(run, quota)
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


_INSERT_SESSION = """
session AS (
    INSERT INTO sessions_app_session (workspace_id, created_by_id, title, status,
        latest_message, latest_message_at, last_activity_at, created_at)
    SELECT %(workspace)s, %(user)s, %(title)s, %(status)s,
        %(message)s, %(message_at)s, %(now)s, %(now)s FROM counter
    RETURNING id
)
"""
_FIND_SESSION = "session AS (SELECT %(session)s::uuid AS id FROM counter)"
_INSERT_RUN = """
made AS (
    INSERT INTO sessions_app_run (workspace_id, session_id, prompt, status,
        failure_kind, error, is_charged, created_at, handed_at, start_by)
    SELECT %(workspace)s, session.id, %(prompt)s, 'queued',
        '', '', true, %(now)s, %(handed_at)s, CASE WHEN %(handed_at)s::timestamptz IS NULL
            THEN least(%(start_by)s::timestamptz, counter.ends_at) ELSE %(start_by)s::timestamptz END
    FROM counter, session
    RETURNING id, session_id, start_by
)
"""
_NOT_HANDED_OVER = "run AS (SELECT * FROM made)"


def _charge(access: Access, session: Session, prompt: str) -> tuple[Run, quotas.Quota]:
    """Counter, ledger line, run, where it is new session, and with a prompt the job: all in one statement.

    It is the transaction's last, so that the counter's row, which the requests of one workspace
    pass one by one, is locked for no longer than the commit takes.
    """
    now, is_new, subscription = access.now, session._state.adding, access.workspace.subscription
    run = Run(
        workspace=access.workspace,
        prompt=prompt,
        status=Run.Status.QUEUED,
        created_at=now,
        handed_at=now if prompt else None,
    )
    parameters: dict[str, Any] = {
        "prompt": prompt,
        "handed_at": run.handed_at,
        "start_by": now + (settings.RUN_START_TIMEOUT if prompt else UNUSED_FOR),
    }
    if is_new:
        parameters |= {
            "user": access.user.pk,
            "title": session.title,
            "status": session.status,
            "message": session.latest_message,
            "message_at": session.latest_message_at,
        }
    else:
        parameters["session"] = session.pk
    if prompt:
        parameters |= jobs.enqueue_parameters(quotas.quota_for(subscription, now=now).entitlement.plan)
    making = ", ".join(
        (
            _INSERT_SESSION if is_new else _FIND_SESSION,
            _INSERT_RUN,
            jobs.ENQUEUE if prompt else _NOT_HANDED_OVER,
        )
    )
    consumed = quotas.consume(subscription, quotas.Making(making, parameters), now=now)
    run.id, session.id, run.start_by = consumed.run[:3]
    run.session = session
    run._state.adding = session._state.adding = False
    if prompt:
        _refuse_over_concurrency(run, consumed.quota)
    return run, consumed.quota


def _refuse_over_concurrency(run: Run, quota: quotas.Quota) -> None:
    plan = quota.entitlement.plan
    if plan.concurrency_limit is None:
        return
    # After the counter, whose row is ours until the end: of a workspace's requests one counts at a time.
    active = Run.objects.filter(
        session__workspace=run.workspace_id,
        status__in=[Run.Status.QUEUED, Run.Status.RUNNING],
        handed_at__isnull=False,
    )
    if active.count() > plan.concurrency_limit:
        raise quotas.Refused(
            ngettext(
                "The %(plan)s plan carries out %(limit)s run at once, and so many are under way.",
                "The %(plan)s plan carries out %(limit)s runs at once, and so many are under way.",
                plan.concurrency_limit,
            )
            % {"plan": quotas.short_name(plan), "limit": plan.concurrency_limit},
            "concurrency_exceeded",
            quota,
        )
