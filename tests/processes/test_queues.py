"""Stopping, and who goes first: over HTTP, with real workers and an agent that waits for a file."""

import uuid
from collections.abc import Generator

import pytest

from billing.models import Plan
from sessions_app.models import Event, Run
from tests.processes.books import books
from tests.processes.conftest import Somebody
from tests.processes.service import Service, until


@pytest.fixture
def gated(own_service: Service) -> Generator[Service, None, None]:
    """A run goes on when `open_gate` was called with its prompt."""
    own_service.settings["AGENT"] = "tests.processes.agents.GatedAgent"
    own_service.web_workers = 1
    own_service.start_web()
    yield own_service
    own_service.open_gate("all")


def status_of(session: uuid.UUID) -> str:
    """Of the session's one run."""
    return Run.objects.get(session=session).status


def test_a_run_that_is_stopped_while_queued_costs_nothing_and_never_starts(gated: Service, somebody: Somebody) -> None:
    bob = somebody(gated)
    session = bob.open_session("held")
    stopped = bob.post(f"/sessions/{session}/stop").json()
    assert (stopped["status"], stopped["runs"][0]["charged"]) == ("stopped", False)
    gated.open_gate("held")
    gated.start_worker()
    until(lambda: books(bob.person.workspace).jobs == 0, "the worker takes the job")
    run = Run.objects.get(session=session)
    assert (run.status, run.started_at) == ("stopped", None)
    assert books(bob.person.workspace).used == 0
    gated.check_billing()


def test_a_run_that_is_stopped_while_running_stays_charged_and_reports_nothing_more(
    gated: Service, somebody: Somebody
) -> None:
    bob = somebody(gated)
    gated.start_worker()
    session = bob.open_session("held")
    until(lambda: Event.objects.filter(session=session, type=Event.Type.STEP).exists(), "the agent is at work")
    stopped = bob.post(f"/sessions/{session}/stop").json()
    assert (stopped["status"], stopped["runs"][0]["charged"]) == ("stopped", True)
    gated.open_gate("held")
    until(lambda: books(bob.person.workspace).jobs == 0, "the worker is done with it")
    events = bob.get(f"/sessions/{session}/events").json()["events"]
    assert [event["type"] for event in events] == ["message", "step", "done"]
    assert events[-1]["data"] == {"status": "stopped"}
    assert status_of(session) == "stopped"
    assert books(bob.person.workspace).used == 1
    # The worker is free, and the session can go on.
    assert bob.post("/agent/execute", {"session_id": str(session), "prompt": "held"}).status_code == 202
    until(lambda: bob.get(f"/sessions/{session}").json()["status"] == "completed", "the next run is carried out")
    gated.check_billing()


def test_queued_runs_of_plans_with_priority_go_first(gated: Service, somebody: Somebody) -> None:
    alice, bob = somebody(gated, plan=Plan.PRO), somebody(gated)
    gated.start_worker()
    busy = bob.open_session("busy")
    until(lambda: status_of(busy) == "running", "the worker is busy")
    free = [bob.open_session("free") for _ in range(3)]
    pro = [alice.open_session("pro") for _ in range(3)]
    gated.open_gate("all")
    until(lambda: not Run.objects.exclude(status="succeeded").exists(), "every run is carried out")
    order = Run.objects.order_by("started_at").values_list("session_id", flat=True)
    assert list(order) == [busy, *pro, *free]


def test_a_worker_for_the_others_takes_their_runs_while_priority_floods(gated: Service, somebody: Somebody) -> None:
    alice, bob = somebody(gated, plan=Plan.PRO), somebody(gated)
    gated.start_worker()
    pro = [alice.open_session("pro") for _ in range(8)]
    until(lambda: status_of(pro[0]) == "running", "the worker is busy")
    free = bob.open_session("free")
    gated.open_gate("free")
    gated.start_worker("--queues=runs", name="standard")
    until(lambda: status_of(free) == "succeeded", "the run of the plan without priority is carried out")
    assert [status_of(session) for session in pro] == ["running"] + ["queued"] * 7
