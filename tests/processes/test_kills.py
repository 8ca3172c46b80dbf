"""Invariant 3 over real processes: kill -9 in the middle of a burst, and the books are right afterwards."""

import threading
import uuid
from collections import Counter

import pytest

from billing.models import LedgerEntry, Plan
from sessions_app.models import FailureKind, Run
from tests.processes.books import books, jobs_without_a_run, runs_without_a_job
from tests.processes.bursts import CLIENTS, Burst, at_once
from tests.processes.clients import Caller
from tests.processes.conftest import Somebody
from tests.processes.service import POLL_SECONDS, Service, until

EACH = 3
MOST_TRIES = 600


def runs_by_status() -> Counter[str]:
    return Counter(Run.objects.values_list("status", flat=True))


def open_until_answered(caller: Caller, opened: list[str]) -> None:
    """As a client with an Idempotency-Key may: the same request again and again, until it is answered by a 201."""
    key = uuid.uuid4().hex
    for _ in range(MOST_TRIES):
        answer = caller.try_post("/sessions", {"prompt": "Write a haiku"}, **{"Idempotency-Key": key})
        if answer is not None and answer.status_code == 201:
            opened.append(answer.json()["id"])
            return
        assert answer is None or answer.status_code == 503, answer.text
        threading.Event().wait(POLL_SECONDS)
    raise AssertionError("The service did not come back.")


@pytest.mark.parametrize("everything", [False, True], ids=["one-gunicorn-worker", "all-of-gunicorn"])
def test_when_the_web_is_killed_in_a_burst_nothing_is_charged_without_its_run_and_retries_are_free(
    own_service: Service, somebody: Somebody, everything: bool
) -> None:
    own_service.start_web()
    alice = somebody(own_service, plan=Plan.PRO)
    opened: list[str] = []
    unkeyed: list[int] = []

    def post(number: int) -> None:
        for _ in range(EACH):
            if number % 4:
                open_until_answered(alice, opened)
            else:
                answer = alice.try_post("/sessions", {"prompt": "Write a haiku"})
                unkeyed.append(0 if answer is None else answer.status_code)

    with Burst(CLIENTS, post):
        until(lambda: len(opened) >= CLIENTS // 2, "the burst is under way")
        if everything:
            own_service.kill("web")
            own_service.launch_web()
        else:
            own_service.kill_web_worker()
    own_service.wait_until_ready()
    # A request without a key whose answer was cut off may have been granted or not, but never by half.
    with_key = CLIENTS * 3 // 4 * EACH
    assert len(set(opened)) == len(opened) == with_key
    assert set(unkeyed) <= {0, 201}
    found = books(alice.person.workspace)
    assert with_key + unkeyed.count(201) <= found.runs <= with_key + len(unkeyed)
    assert found.sessions == found.runs == found.consumed == found.jobs == found.used
    assert jobs_without_a_run() == runs_without_a_job() == 0
    own_service.check_billing()
    alice.open_session()


def test_when_the_worker_is_killed_in_a_burst_every_run_ends_and_the_lost_ones_cost_nothing(
    own_service: Service, somebody: Somebody
) -> None:
    own_service.settings |= {"AGENT": "tests.processes.agents.GatedAgent", "WORKER_SILENT_SECONDS": "3"}
    own_service.start_web()
    own_service.start_worker("--concurrency=4")
    alice = somebody(own_service, plan=Plan.PRO)
    at_once(24, lambda _: alice.open_session("held"))
    until(lambda: runs_by_status()["running"] == 4, "the worker carries out four runs")
    running = set(Run.objects.filter(status=Run.Status.RUNNING).values_list("pk", flat=True))
    own_service.kill("worker")
    own_service.open_gate("all")
    own_service.start_worker("--concurrency=4", name="another")
    until(lambda: set(runs_by_status()) <= {"succeeded", "failed"}, "every run ends")
    lost = Run.objects.filter(status=Run.Status.FAILED)
    assert set(lost.values_list("pk", flat=True)) == running
    assert set(lost.values_list("failure_kind", "is_charged")) == {(FailureKind.WORKER_LOST, False)}
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.REFUND).count() == 4
    found = books(alice.person.workspace)
    assert (found.runs, found.consumed, found.returned, found.used) == (24, 24, 4, 20)
    assert runs_by_status() == {"succeeded": 20, "failed": 4}
    own_service.check_billing()
    until(lambda: books(alice.person.workspace).jobs == 0, "the dead worker's jobs are freed")


def test_a_job_that_a_killed_worker_had_taken_but_not_begun_is_taken_up_by_another(
    own_service: Service, somebody: Somebody
) -> None:
    own_service.settings |= {"WORKER_SILENT_SECONDS": "3"}
    own_service.start_web()
    bob = somebody(own_service)
    session = bob.open_session()
    # As a worker leaves it that dies between taking the job and starting the run.
    own_service.take_jobs_as_a_worker_that_died()
    own_service.start_worker()
    until(lambda: bob.get(f"/sessions/{session}").json()["status"] == "completed", "the run is carried out")
    assert books(bob.person.workspace).used == 1
    own_service.check_billing()
