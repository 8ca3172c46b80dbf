"""POST /agent/execute: goes on in a session, or opens one."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from billing.models import LedgerEntry, UsagePeriod
from billing.proofs import find
from sessions_app import runs
from sessions_app.models import Run
from tests.people import Person
from tests.sessions_app.test_open_session import difference, rows

# What is rolled back here is a transaction and no savepoint, so the tests must not stand in one.
pytestmark = pytest.mark.django_db(transaction=True)

type Travel = Callable[[timedelta], datetime]


def finish(person: Person, session_id: str) -> None:
    """Have the session's run carried out, without a worker."""
    run = Run.objects.get(session_id=session_id, status="queued")
    started = runs.start(run.pk, now=run.created_at)
    assert started is not None
    assert runs.succeed(started, now=run.created_at)


def test_without_a_session_one_is_made_at_no_further_cost(bob: Person) -> None:
    before = rows()
    answer = bob.post("/agent/execute", {"prompt": "Go"})
    assert answer.status_code == 202
    assert answer.json().keys() == {"run", "session_id"}
    assert answer.headers["X-Quota-Remaining"] == "9"
    assert difference(before) == {"Session": 1, "Run": 1, "LedgerEntry": 1, "ProcrastinateJob": 1, "used": 1}


def test_the_first_execute_starts_the_run_that_was_paid_for(bob: Person) -> None:
    session = bob.post("/sessions").json()
    before = rows()
    answer = bob.post("/agent/execute", {"session_id": session["id"], "prompt": "Go"})
    assert answer.status_code == 202
    assert answer.json()["run"]["id"] == session["runs"][0]["id"]
    assert difference(before) == {"ProcrastinateJob": 1}
    assert bob.get(f"/sessions/{session['id']}").json()["status"] == "running"


def test_a_run_that_was_paid_for_starts_although_the_quota_is_spent(bob: Person) -> None:
    sessions = [bob.post("/sessions").json() for _ in range(10)]
    assert bob.post("/agent/execute", {"prompt": "Go"}).status_code == 402
    assert bob.post("/agent/execute", {"session_id": sessions[3]["id"], "prompt": "Go"}).status_code == 202


def test_a_further_execute_costs_one(bob: Person) -> None:
    session = bob.post("/agent/execute", {"prompt": "Go"}).json()["session_id"]
    finish(bob, session)
    before = rows()
    assert bob.post("/agent/execute", {"session_id": session, "prompt": "On"}).status_code == 202
    assert difference(before) == {"Run": 1, "LedgerEntry": 1, "ProcrastinateJob": 1, "used": 1}
    shown = bob.get(f"/sessions/{session}").json()
    assert (shown["latest_message"], len(shown["runs"])) == ("On", 2)
    assert find() == []


def test_a_further_execute_over_quota_is_refused_and_not_counted(bob: Person) -> None:
    session = bob.post("/agent/execute", {"prompt": "Go"}).json()["session_id"]
    finish(bob, session)
    for _ in range(9):
        bob.post("/sessions")
    before = rows()
    answer = bob.post("/agent/execute", {"session_id": session, "prompt": "On"})
    assert (answer.status_code, answer.json()["code"]) == (402, "quota_exceeded")
    assert difference(before) == {}
    assert bob.get(f"/sessions/{session}").json()["status"] == "completed"


def test_a_session_in_which_the_agent_is_at_work_is_busy(bob: Person) -> None:
    session = bob.post("/agent/execute", {"prompt": "Go"}).json()["session_id"]
    before = rows()
    answer = bob.post("/agent/execute", {"session_id": session, "prompt": "On"})
    assert (answer.status_code, answer.json()["code"]) == (409, "session_busy")
    assert difference(before) == {}


def test_a_missing_session_is_not_found_and_costs_nothing(bob: Person) -> None:
    before = rows()
    assert bob.post("/agent/execute", {"session_id": str(uuid.uuid4()), "prompt": "Go"}).status_code == 404
    assert difference(before) == {}


def test_a_prompt_is_required(bob: Person) -> None:
    session = bob.post("/sessions").json()
    before = rows()
    for body in ({}, {"prompt": ""}, {"session_id": session["id"]}, {"session_id": "x", "prompt": "Go"}):
        assert bob.post("/agent/execute", body).status_code == 400
    assert difference(before) == {}


def test_an_unused_unit_goes_back_after_a_day_and_the_first_execute_costs_one(
    bob: Person, travel: Travel, settings: Settings
) -> None:
    # In the middle of a month, so that only the day counts.
    travel(next_month(day=10))
    session = bob.post("/sessions").json()
    now = travel(next_month(day=11) + timedelta(seconds=1))
    assert runs.sweep(now=now) == {"unused": 1, "not_started": 0, "worker_lost": 0}
    shown = bob.get(f"/sessions/{session['id']}").json()
    assert shown["status"] == "pending"
    assert [(run["status"], run["charged"]) for run in shown["runs"]] == [("stopped", False)]
    assert bob.get("/billing/subscription").json()["monthly_agent_runs"] == 0
    before = rows()
    assert bob.post("/agent/execute", {"session_id": session["id"], "prompt": "Go"}).status_code == 202
    assert difference(before) == {"Run": 1, "LedgerEntry": 1, "ProcrastinateJob": 1, "used": 1}
    assert find() == []


def test_an_unused_unit_goes_back_also_before_the_sweeper_comes(bob: Person, travel: Travel) -> None:
    travel(next_month(day=10))
    session = bob.post("/sessions").json()
    travel(next_month(day=11) + timedelta(seconds=1))
    answer = bob.post("/agent/execute", {"session_id": session["id"], "prompt": "Go"}).json()
    assert answer["run"]["id"] != session["runs"][0]["id"]
    assert [line.kind for line in LedgerEntry.objects.order_by("id")] == ["consume", "refund", "consume"]
    assert UsagePeriod.objects.get().used == 1


def test_an_unused_unit_of_a_period_that_ended_becomes_a_credit(bob: Person, travel: Travel) -> None:
    travel(next_month(day=1) - timedelta(hours=1))
    bob.post("/sessions")
    now = travel(next_month(day=1) + timedelta(seconds=1))
    assert runs.sweep(now=now)["unused"] == 1
    shown = bob.get("/billing/subscription").json()
    assert (shown["monthly_agent_runs"], shown["credits"], shown["runs_remaining"]) == (0, 1, 11)
    assert find() == []


def test_an_agent_that_asks_leaves_the_session_waiting(
    bob: Person, work: Callable[[], None], settings: Settings
) -> None:
    settings.AGENT = "tests.agents.ScriptedAgent"
    session = bob.post("/agent/execute", {"prompt": "ask me"}).json()["session_id"]
    work()
    shown = bob.get(f"/sessions/{session}").json()
    assert (shown["status"], shown["latest_message"], shown["runs"][0]["status"]) == (
        "waiting",
        "Which one?",
        "succeeded",
    )
    assert bob.post("/agent/execute", {"session_id": session, "prompt": "This one"}).status_code == 202


def next_month(*, day: int) -> timedelta:
    """From now to noon of a day of the next month; to its first instant for the first day."""
    now = datetime.now(UTC)
    first = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first + timedelta(days=day - 1, hours=0 if day == 1 else 12) - now
