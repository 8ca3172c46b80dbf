"""How runs end, and which ends are charged."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from procrastinate.contrib.django.models import ProcrastinateJob
from pytest_django import Settings

from billing.models import LedgerEntry
from billing.proofs import find
from sessions_app import jobs, runs
from sessions_app.agents import Emission
from sessions_app.models import GIVEN_BACK, Event, FailureKind, Run
from tests.people import Person

pytestmark = pytest.mark.django_db(transaction=True)

type Work = Callable[[], None]


def now() -> datetime:
    return datetime.now(UTC)


def started(person: Person) -> Run:
    """A run that a worker has begun."""
    session = person.post("/sessions", {"prompt": "Go"}).json()
    run = runs.start(session["runs"][0]["id"], now=now())
    assert run is not None
    return run


def used(person: Person) -> int:
    count: int = person.get("/billing/subscription").json()["monthly_agent_runs"]
    return count


def test_the_built_in_agent_carries_a_run_to_its_end(bob: Person, work: Work) -> None:
    session = bob.post("/sessions", {"prompt": "Write a haiku"}).json()
    work()
    shown = bob.get(f"/sessions/{session['id']}").json()
    assert (shown["status"], shown["runs"][0]["status"], shown["runs"][0]["charged"]) == (
        "completed",
        "succeeded",
        True,
    )
    events = bob.get(f"/sessions/{session['id']}/events").json()["events"]
    assert [event["type"] for event in events] == ["message", "message", "step", "step", "step", "message", "done"]
    assert events[0]["data"] == {"role": "user", "text": "Write a haiku"}
    assert events[-1]["data"] == {"status": "succeeded"}
    assert shown["latest_message"] == events[-2]["data"]["text"]
    assert (used(bob), find()) == (1, [])


@pytest.mark.parametrize("kind", ["sandbox_lost", "model_lost", "input", "command", "memory", "time", "refused"])
def test_what_the_platform_failed_at_is_given_back_and_the_rest_is_charged(
    bob: Person, work: Work, settings: Settings, kind: str
) -> None:
    settings.AGENT = "tests.agents.ScriptedAgent"
    session = bob.post("/sessions", {"prompt": f"fail {kind}"}).json()
    work()
    shown = bob.get(f"/sessions/{session['id']}").json()
    (run,) = shown["runs"]
    is_charged = kind in ("input", "command", "memory", "time", "refused")
    assert (shown["status"], run["status"], run["failure_kind"]) == ("failed", "failed", kind)
    assert (run["charged"], used(bob)) == (is_charged, int(is_charged))
    events = bob.get(f"/sessions/{session['id']}/events").json()["events"]
    assert [event["type"] for event in events[-2:]] == ["error", "done"]
    assert find() == []


def test_an_agent_that_trips_costs_nothing_and_tells_no_trace(bob: Person, work: Work, settings: Settings) -> None:
    settings.AGENT = "tests.agents.ScriptedAgent"
    session = bob.post("/sessions", {"prompt": "crash"}).json()
    work()
    (run,) = bob.get(f"/sessions/{session['id']}").json()["runs"]
    assert (run["failure_kind"], run["charged"], used(bob)) == ("platform", False, 0)
    assert "ZeroDivisionError" not in str(bob.get(f"/sessions/{session['id']}/events").json())


def test_a_run_is_carried_out_once_however_often_its_job_is(bob: Person, work: Work) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    job = ProcrastinateJob.objects.get(task_name="sessions_app.jobs.carry_out")
    jobs.carry_out.configure(queue=job.queue_name).defer(**job.args)
    work()
    events = bob.get(f"/sessions/{session['id']}/events").json()["events"]
    assert [event["type"] for event in events].count("done") == 1


def test_stopping_a_queued_run_gives_its_unit_back(bob: Person, work: Work) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    answer = bob.post(f"/sessions/{session['id']}/stop")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["runs"][0]["charged"]) == ("stopped", False)
    work()
    assert bob.get(f"/sessions/{session['id']}").json()["status"] == "stopped"
    assert (used(bob), find()) == (0, [])


def test_stopping_a_running_run_stays_charged_and_nothing_is_reported_after(bob: Person) -> None:
    run = started(bob)
    answer = bob.post(f"/sessions/{run.session_id}/stop").json()
    assert (answer["status"], answer["runs"][0]["status"], answer["runs"][0]["charged"]) == ("stopped", "stopped", True)
    assert not runs.report(run, Emission(Event.Type.STEP), now=now())
    assert not runs.succeed(run, now=now())
    assert not runs.fail(run.pk, FailureKind.WORKER_LOST, "", now=now())
    assert (used(bob), find()) == (1, [])


def test_stopping_a_session_in_which_nothing_runs_changes_nothing(bob: Person, work: Work) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    work()
    before = bob.get(f"/sessions/{session['id']}").json()
    assert bob.post(f"/sessions/{session['id']}/stop").json() == before


def test_deleting_stops_gives_back_hides_and_keeps_the_books(bob: Person) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    assert bob.delete(f"/sessions/{session['id']}").status_code == 204
    assert bob.get(f"/sessions/{session['id']}").status_code == 404
    assert bob.delete(f"/sessions/{session['id']}").status_code == 404
    assert bob.get("/sessions").json()["results"] == []
    assert Run.objects.get().status == "stopped"
    assert [line.kind for line in LedgerEntry.objects.order_by("id")] == ["consume", "refund"]
    assert (used(bob), find()) == (0, [])


def test_the_sweeper_leaves_a_run_alone_whose_worker_holds_it(bob: Person) -> None:
    run = started(bob)
    swept: list[dict[str, int]] = []

    def sweep() -> None:
        swept.append(runs.sweep(now=now()))
        connection.close()

    with runs.held(run.pk) as is_mine:
        assert is_mine
        thread = threading.Thread(target=sweep)
        thread.start()
        thread.join()
    assert swept == [{"unused": 0, "not_started": 0, "worker_lost": 0}]
    run.refresh_from_db()
    assert run.status == "running"


def test_the_sweeper_gives_back_the_run_of_a_worker_that_died(bob: Person) -> None:
    run = started(bob)
    assert runs.sweep(now=now())["worker_lost"] == 1
    run.refresh_from_db()
    assert (run.status, run.failure_kind, run.is_charged) == ("failed", "worker_lost", False)
    assert runs.sweep(now=now())["worker_lost"] == 0
    assert (used(bob), find()) == (0, [])


def test_a_run_that_is_held_elsewhere_is_not_begun_twice(bob: Person) -> None:
    run = started(bob)
    others: list[bool] = []

    def take() -> None:
        with runs.held(run.pk) as is_mine:
            others.append(is_mine)
        connection.close()

    with runs.held(run.pk):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert others == [False]


def test_a_run_that_no_worker_takes_in_time_is_given_back(bob: Person, settings: Settings) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    assert runs.sweep(now=now())["not_started"] == 0
    assert runs.sweep(now=now() + settings.RUN_START_TIMEOUT)["not_started"] == 1
    (run,) = bob.get(f"/sessions/{session['id']}").json()["runs"]
    assert (run["status"], run["failure_kind"], run["charged"]) == ("failed", "not_started", False)
    assert used(bob) == 0


def test_a_session_has_one_active_run_at_a_time(bob: Person) -> None:
    run = started(bob)
    values = {"workspace": bob.workspace, "session": run.session, "created_at": now(), "start_by": now()}
    with pytest.raises(IntegrityError, match="run_one_at_a_time"), transaction.atomic():
        Run.objects.create(status="queued", **values)
    assert Run.objects.count() == 1


@pytest.mark.parametrize("kind", sorted(GIVEN_BACK))
def test_the_database_refuses_to_charge_what_the_platform_failed_at(bob: Person, kind: str) -> None:
    run = started(bob)
    with pytest.raises(IntegrityError, match="run_failed_by_us_is_free"), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(status="failed", failure_kind=kind)
    run.refresh_from_db()
    assert run.status == "running"


def test_the_periodic_sweep_takes_up_the_job_of_a_dead_worker(bob: Person, work: Work) -> None:
    session = bob.post("/sessions", {"prompt": "Go"}).json()
    # As a worker leaves it that was killed after it had fetched the job.
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE task_name = 'sessions_app.jobs.carry_out'")
    jobs.sweep.configure().defer(timestamp=int(now().timestamp()))
    work()
    work()
    assert bob.get(f"/sessions/{session['id']}").json()["status"] == "completed"
