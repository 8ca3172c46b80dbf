"""What the worker does for sessions: carry out runs, and sweep up after workers that died."""

import logging
import uuid
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import InterfaceError, OperationalError
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app

from accounts import clock
from accounts.jobs import HOUSEKEEPING_QUEUE
from billing.models import Plan
from sessions_app import agents, runs
from sessions_app.models import FailureKind, Run

log = logging.getLogger(__name__)

# Plans with priority have a queue of their own: the worker that takes only the other one
# is never busy with them, so nobody starves.
PRIORITY_QUEUE, STANDARD_QUEUE = "runs_priority", "runs"
PLATFORM_FAILED = "Something failed on our side. The unit was given back; please try again."

# The first statement after PostgreSQL was restarted finds a dead connection: the job is tried again
# on a new one. A run that had begun by then is not queued any more, and is left to the sweeper.
DATABASE_AWAY = RetryStrategy(max_attempts=10, wait=1, retry_exceptions=[OperationalError, InterfaceError])


def hand_to_worker(run: Run, plan: Plan) -> None:
    """Enqueue the run in the caller's transaction, before those of plans with a smaller priority."""
    carry_out.configure(queue=queue_of(plan), priority=plan.job_priority).defer(run_id=str(run.pk))


#: The same for a run that is being `made` in the same statement: one round trip less where it counts most.
ENQUEUE = """
run AS MATERIALIZED (
    SELECT made.*, procrastinate_defer_jobs_v1(ARRAY[ROW(
        %(queue)s, %(task)s, %(priority)s, NULL, NULL, jsonb_build_object('run_id', made.id), NULL
    )]::procrastinate_job_to_defer_v1[]) AS jobs
    FROM made
)
"""


def enqueue_parameters(plan: Plan) -> dict[str, Any]:
    return {"queue": queue_of(plan), "task": carry_out.name, "priority": plan.job_priority}


def queue_of(plan: Plan) -> str:
    return PRIORITY_QUEUE if plan.job_priority else STANDARD_QUEUE


@app.task(queue=STANDARD_QUEUE, retry=DATABASE_AWAY)
def carry_out(*, run_id: str) -> None:
    """Safe to run twice: only the one that finds the run queued, and holds it, carries it out."""
    with runs.held(uuid.UUID(run_id)) as is_mine:
        run = runs.start(uuid.UUID(run_id), now=clock.now()) if is_mine else None
        if run is not None:
            _carry_out(run)


def _carry_out(run: Run) -> None:
    task = agents.Task(session_id=str(run.session_id), run_id=str(run.pk), prompt=run.prompt)
    is_waiting = False
    try:
        for emission in agents.agent().run(task):
            if not runs.report(run, emission, now=clock.now()):
                log.info("Run %s was stopped while running.", run.pk)
                return
            is_waiting = emission.asks
    except agents.AgentFailure as failure:
        runs.fail(run.pk, failure.kind, str(failure), now=clock.now())
    except (OperationalError, InterfaceError):
        # Without the database nothing can be written of this run; the sweeper will find it abandoned.
        raise
    except Exception:
        # An agent is foreign code: whatever it trips over, its run must end and its unit go back.
        log.exception("Run %s failed on our side.", run.pk)
        runs.fail(run.pk, FailureKind.PLATFORM, PLATFORM_FAILED, now=clock.now())
    else:
        runs.succeed(run, now=clock.now(), is_waiting=is_waiting)


@app.periodic(cron=settings.SWEEP_CRON)
@app.task(queue=HOUSEKEEPING_QUEUE, priority=100, pass_context=True)
async def sweep(context: JobContext, timestamp: int) -> None:
    """Every few seconds: end abandoned runs, give back what was not started, free what a dead worker left."""
    swept = await sync_to_async(runs.sweep)(now=clock.now())
    if any(swept.values()):
        log.warning("Swept runs: %s", ", ".join(f"{count} {kind}" for kind, count in swept.items() if count))
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=settings.WORKER_SILENT_SECONDS):
        # Every job here is safe to run twice; a run that had begun is not queued any more and stays ended.
        log.warning("Job %s (%s) was left by a dead worker and is taken up again.", job.id, job.task_name)
        await manager.retry_job(job)
