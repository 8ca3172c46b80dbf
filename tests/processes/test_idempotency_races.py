"""Invariant 4 over real processes: one key is one unit, however many requests carry it at once."""

import uuid

import pytest

from tests.processes.books import books
from tests.processes.bursts import at_once
from tests.processes.clients import statuses
from tests.processes.conftest import Somebody
from tests.processes.service import Service


@pytest.mark.parametrize("left", [10, 1])
def test_sixteen_requests_with_one_key_are_one_run_and_one_answer(
    service: Service, somebody: Somebody, left: int
) -> None:
    bob, key = somebody(service), uuid.uuid4().hex
    for _ in range(10 - left):
        bob.open_session()
    body = {"prompt": "Write a haiku"}
    answers = at_once(16, lambda _: bob.post("/sessions", body, **{"Idempotency-Key": key}))
    assert statuses(answers) == {201: 16}
    assert len({answer.content for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == [""] + ["true"] * 15
    assert {answer.headers["X-Quota-Remaining"] for answer in answers} == {str(left - 1)}
    found = books(bob.person.workspace)
    assert (found.sessions, found.runs, found.consumed, found.jobs, found.used) == (11 - left,) * 5
    service.check_billing()


def test_sixteen_requests_with_one_key_and_nothing_left_leave_the_key_free(
    service: Service, somebody: Somebody
) -> None:
    bob, key = somebody(service), uuid.uuid4().hex
    sessions = [bob.open_session() for _ in range(10)]
    answers = at_once(16, lambda _: bob.post("/sessions", **{"Idempotency-Key": key}))
    assert statuses(answers) == {402: 16}
    bob.post(f"/sessions/{sessions[0]}/stop")
    answers = at_once(16, lambda _: bob.post("/sessions", **{"Idempotency-Key": key}))
    assert statuses(answers) == {201: 16}
    found = books(bob.person.workspace)
    assert (found.runs, found.used) == (11, 10)
    service.check_billing()
