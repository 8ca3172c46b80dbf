"""POST /sessions: session, run, ledger line, counter and job in one transaction, or nothing."""

from typing import Any

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import IdempotentRequest
from billing.models import LedgerEntry, Plan, UsagePeriod
from billing.proofs import find
from sessions_app.models import Run, Session
from tests.people import Person, put_on

# What is rolled back here is a transaction and no savepoint, so the tests must not stand in one.
pytestmark = pytest.mark.django_db(transaction=True)


def rows() -> dict[str, int]:
    """How many rows there are of everything that opening a session makes."""
    tables: list[Any] = [Session, Run, LedgerEntry, ProcrastinateJob, IdempotentRequest]
    return {table.__name__: table.objects.count() for table in tables} | {
        "used": sum(UsagePeriod.objects.values_list("used", flat=True))
    }


def difference(before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in rows().items() if count != before[name]}


def test_a_session_with_a_prompt_costs_one_run_and_is_handed_to_a_worker(bob: Person) -> None:
    before = rows()
    answer = bob.post("/sessions", {"prompt": "Write a haiku\nabout ledgers"})
    assert answer.status_code == 201
    assert difference(before) == {"Session": 1, "Run": 1, "LedgerEntry": 1, "ProcrastinateJob": 1, "used": 1}
    session = answer.json()
    assert session.keys() == {"id", "title", "status", "latest_message", "latest_message_at", "created_at", "runs"}
    assert (session["title"], session["status"]) == ("Write a haiku", "running")
    assert session["latest_message"] == "Write a haiku\nabout ledgers"
    (run,) = session["runs"]
    assert (run["status"], run["charged"], run["started_at"]) == ("queued", True, None)
    job = ProcrastinateJob.objects.get(task_name="sessions_app.jobs.carry_out")
    assert job.args == {"run_id": run["id"]}
    line = LedgerEntry.objects.get()
    assert (str(line.run_id), line.kind, line.quantity, line.balance) == (run["id"], "consume", -1, 9)
    assert find() == []


def test_a_session_without_a_prompt_is_pending_and_paid_for(bob: Person) -> None:
    before = rows()
    session = bob.post("/sessions", {"title": "For later"}).json()
    assert difference(before) == {"Session": 1, "Run": 1, "LedgerEntry": 1, "used": 1}
    assert (session["title"], session["status"], session["latest_message_at"]) == ("For later", "pending", None)
    assert [(run["status"], run["charged"]) for run in session["runs"]] == [("queued", True)]


def test_a_session_may_have_neither_title_nor_prompt(bob: Person) -> None:
    assert bob.post("/sessions").json()["title"] == "New session"
    assert bob.post("/sessions", {"title": "", "prompt": "  "}).json()["title"] == "New session"


def test_the_headers_say_what_is_left(bob: Person) -> None:
    first, second = bob.post("/sessions"), bob.post("/sessions")
    assert [a.headers["X-Quota-Remaining"] for a in (first, second)] == ["9", "8"]
    assert first.headers["X-Quota-Limit"] == "10"
    end = UsagePeriod.objects.get().ends_at
    assert first.headers["X-Quota-Reset"] == str(int(end.timestamp()))


def test_an_unlimited_plan_says_so(bob: Person) -> None:
    put_on(bob.workspace, Plan.ENTERPRISE)
    answer = bob.post("/sessions")
    assert (answer.headers["X-Quota-Limit"], answer.headers["X-Quota-Remaining"]) == ("unlimited", "unlimited")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_the_eleventh_run_is_refused_and_not_counted(bob: Person, headers: dict[str, str]) -> None:
    for _ in range(10):
        assert bob.post("/sessions", {"prompt": "Go"}).status_code == 201
    before = rows()
    answer = bob.post("/sessions", {"prompt": "Go"}, **headers)
    assert answer.status_code == 402
    assert difference(before) == {}
    body = answer.json()
    assert body["code"] == "quota_exceeded"
    assert body["detail"].startswith("You have used all 10 runs of the Free plan for ")
    period = UsagePeriod.objects.get()
    assert body["subscription"] == {
        "plan": "free",
        "status": "active",
        "monthly_runs": 10,
        "monthly_runs_limit": 10,
        "resets_at": period.ends_at.isoformat().replace("+00:00", "Z"),
    }
    assert body["upgrade_url"] == "http://127.0.0.1:8000/billing/"
    assert answer.headers["X-Quota-Remaining"] == "0"


def test_a_key_that_was_refused_succeeds_after_an_upgrade(bob: Person) -> None:
    for _ in range(10):
        bob.post("/sessions")
    assert bob.post("/sessions", {"prompt": "Go"}, **{"Idempotency-Key": "k"}).status_code == 402
    put_on(bob.workspace, Plan.PRO)
    answer = bob.post("/sessions", {"prompt": "Go"}, **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, None)


def test_a_repeated_key_gives_the_same_answer_and_costs_nothing(bob: Person) -> None:
    first = bob.post("/sessions", {"prompt": "Go"}, **{"Idempotency-Key": "k"})
    before = rows()
    again = bob.post("/sessions", {"prompt": "Go"}, **{"Idempotency-Key": "k"})
    assert difference(before) == {}
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Quota-Remaining"] == first.headers["X-Quota-Remaining"] == "9"


def test_a_repeated_key_is_answered_with_the_quota_spent(bob: Person) -> None:
    first = bob.post("/sessions", **{"Idempotency-Key": "k"})
    for _ in range(9):
        bob.post("/sessions")
    again = bob.post("/sessions", **{"Idempotency-Key": "k"})
    assert (again.status_code, again.content) == (201, first.content)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"title": {"a": 1}}, "title"),
        ({"prompt": "null\x00byte"}, "prompt"),
    ],
)
def test_a_malformed_body_is_named_and_costs_nothing(bob: Person, body: Any, field: str) -> None:
    before = rows()
    answer = bob.post("/sessions", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["errors"]) == [field]
    assert difference(before) == {}


def test_a_run_at_once_more_than_the_plan_allows_is_refused_and_not_counted(bob: Person) -> None:
    Plan.objects.filter(slug=Plan.FREE).update(concurrency_limit=1)
    assert bob.post("/sessions", {"prompt": "Go"}).status_code == 201
    before = rows()
    answer = bob.post("/sessions", {"prompt": "Go"})
    assert (answer.status_code, answer.json()["code"]) == (402, "concurrency_exceeded")
    assert difference(before) == {}
    # A session that only waits to be started is not under way.
    assert bob.post("/sessions").status_code == 201


def test_a_spent_quota_is_named_before_concurrency(bob: Person) -> None:
    Plan.objects.filter(slug=Plan.FREE).update(concurrency_limit=1, runs_limit=1)
    assert bob.post("/sessions", {"prompt": "Go"}).status_code == 201
    for headers in ({}, {"Idempotency-Key": "k"}):
        assert bob.post("/sessions", {"prompt": "Go"}, **headers).json()["code"] == "quota_exceeded"


@pytest.mark.parametrize(("plan", "queue", "priority"), [("free", "runs", 0), ("pro", "runs_priority", 20)])
def test_plans_with_priority_have_a_queue_of_their_own(bob: Person, plan: str, queue: str, priority: int) -> None:
    if plan != Plan.FREE:
        put_on(bob.workspace, plan)
    bob.post("/sessions", {"prompt": "Go"})
    job = ProcrastinateJob.objects.get(task_name="sessions_app.jobs.carry_out")
    assert (job.queue_name, job.priority) == (queue, priority)


def test_both_ways_of_handing_a_run_to_a_worker_write_the_same_job(bob: Person) -> None:
    bob.post("/sessions", {"prompt": "In the statement that makes the run"})
    session = bob.post("/sessions").json()
    bob.post("/agent/execute", {"session_id": session["id"], "prompt": "Made before"})
    first, second = ProcrastinateJob.objects.filter(task_name="sessions_app.jobs.carry_out").order_by("id").values()
    own = {"id", "args"}
    assert {name: value for name, value in first.items() if name not in own} == {
        name: value for name, value in second.items() if name not in own
    }
    assert first["args"].keys() == second["args"].keys() == {"run_id"}
