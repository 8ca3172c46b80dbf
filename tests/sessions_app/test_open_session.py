"""POST /sessions: session, run, ledger line, counter and job in one transaction, or nothing."""

import pytest

from tests.people import Person


def test_a_session_with_a_prompt_costs_one_run(bob: Person) -> None:
    answer = bob.post("/sessions", {"prompt": "Write a haiku"})
    assert answer.status_code == 201, answer.content
    assert answer.json()["status"] == "running"


@pytest.mark.django_db(transaction=True)
def test_work(bob: Person, work) -> None:
    s = bob.post("/sessions", {"prompt": "Write a haiku"}).json()
    work()
    got = bob.get(f"/sessions/{s['id']}").json()
    assert got["status"] == "completed", got
    e = bob.get(f"/sessions/{s['id']}/events").json()
    assert len(e["events"]) == 7, e
