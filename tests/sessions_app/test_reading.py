"""Lists and events: cursor pages, filters, a constant number of statements."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test.utils import CaptureQueriesContext

from sessions_app.models import Event, Session
from tests.people import Person

type Statements = Callable[[], CaptureQueriesContext]


def opened(person: Person, count: int) -> list[str]:
    return [person.post("/sessions", {"title": f"Session {n}"}).json()["id"] for n in range(count)]


def test_the_list_has_the_newest_activity_first(alice: Person) -> None:
    first, second, third = opened(alice, 3)
    alice.post("/agent/execute", {"session_id": first, "prompt": "Go"})
    page = alice.get("/sessions").json()
    assert [session["id"] for session in page["results"]] == [first, third, second]
    assert (page["next"], page["previous"]) == (None, None)
    assert page["results"][0]["runs"][0]["status"] == "queued"


def test_pages_neither_repeat_nor_leave_out(alice: Person) -> None:
    ids = opened(alice, 7)
    # All at one instant, which is where cursors go wrong.
    Session.objects.update(last_activity_at=datetime.now(UTC))
    seen, path = [], "/sessions?limit=3"
    while path:
        page = alice.get(path).json()
        seen += [session["id"] for session in page["results"]]
        path = page["next"].partition("/api/v1")[2] if page["next"] else ""
    assert sorted(seen) == sorted(ids)


def test_the_list_can_be_filtered_by_status(alice: Person) -> None:
    pending, running = opened(alice, 2)
    alice.post("/agent/execute", {"session_id": running, "prompt": "Go"})
    assert [s["id"] for s in alice.get("/sessions?status=running").json()["results"]] == [running]
    assert [s["id"] for s in alice.get("/sessions?status=pending").json()["results"]] == [pending]
    answer = alice.get("/sessions?status=lost")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["status"])


def test_only_a_forged_cursor_is_refused(alice: Person) -> None:
    opened(alice, 2)
    assert alice.get("/sessions?limit=1").status_code == 200
    for cursor in ("x", "cD1mb3JnZWQ="):
        answer = alice.get(f"/sessions?cursor={cursor}")
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cursor"])


@pytest.mark.parametrize("count", [1, 15])
def test_the_list_costs_three_statements_whatever_its_length(alice: Person, statements: Statements, count: int) -> None:
    opened(alice, count)
    with statements() as seen:
        assert len(alice.get("/sessions").json()["results"]) == count
    assert len(seen) == 3, [query["sql"] for query in seen]


def test_events_come_in_order_and_after_the_one_that_is_named(alice: Person) -> None:
    session = alice.post("/sessions", {"prompt": "Go"}).json()
    run = session["runs"][0]["id"]
    for number in range(5):
        Event.objects.create(
            session_id=session["id"], run_id=run, type="step", data={"number": number}, created_at=datetime.now(UTC)
        )
    everything = alice.get(f"/sessions/{session['id']}/events").json()
    assert [event["data"]["number"] for event in everything["events"]] == [0, 1, 2, 3, 4]
    assert everything["events"][0].keys() == {"id", "run_id", "type", "data", "created_at"}
    third = everything["events"][2]["id"]
    rest = alice.get(f"/sessions/{session['id']}/events?after={third}").json()
    assert [event["data"]["number"] for event in rest["events"]] == [3, 4]
    last = everything["last_event_id"]
    assert rest["last_event_id"] == last == everything["events"][-1]["id"]
    assert alice.get(f"/sessions/{session['id']}/events?after={last}").json() == {"events": [], "last_event_id": last}
    answer = alice.get(f"/sessions/{session['id']}/events?after=yesterday")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["after"])


def test_a_missing_session_has_no_events(alice: Person) -> None:
    assert alice.get(f"/sessions/{uuid.uuid4()}/events").status_code == 404


def test_reading_is_free_also_with_the_quota_spent(bob: Person) -> None:
    ids = opened(bob, 10)
    assert bob.post("/sessions").status_code == 402
    assert bob.get("/sessions").status_code == 200
    assert bob.get(f"/sessions/{ids[0]}").status_code == 200
    assert bob.post(f"/sessions/{ids[0]}/stop").status_code == 200
    assert bob.delete(f"/sessions/{ids[1]}").status_code == 204
    assert bob.get("/billing/subscription").json()["monthly_agent_runs"] == 8
