"""Invariants 3 and 15 over real processes: PostgreSQL stops at once, without a checkpoint, in the middle of a burst."""

import threading
from collections import Counter

from django.db import connection

from billing.models import Plan
from deploy.postgres import Cluster
from sessions_app.models import Run, Session
from tests.processes.books import books, jobs_without_a_run
from tests.processes.bursts import CLIENTS, Burst
from tests.processes.conftest import Somebody
from tests.processes.service import POLL_SECONDS, Service, until
from tests.processes.test_kills import open_until_answered

EACH = 4


def test_when_postgresql_is_killed_in_a_burst_the_web_recovers_and_nothing_is_charged_that_did_not_run(
    own_cluster: Cluster, crashing_service: Service, somebody: Somebody
) -> None:
    service = crashing_service
    service.settings |= {"WORKER_SILENT_SECONDS": "3", "AGENT_STEP_SECONDS": "0.02"}
    service.start_web()
    worker = service.start_worker("--concurrency=4")
    alice, bob = somebody(service, plan=Plan.PRO), somebody(service, plan=Plan.PRO)
    opened: list[str] = []
    seen: list[tuple[int, str]] = []
    is_over = threading.Event()

    def post(number: int) -> None:
        for _ in range(EACH):
            open_until_answered(alice, opened)

    def watch(number: int) -> None:
        """Bob's requests, without a key: what each was answered."""
        while not is_over.is_set():
            answer = bob.try_post("/sessions", {"prompt": "Write a haiku"})
            assert answer is not None, "A web process did not answer."
            body = answer.json()
            seen.append((answer.status_code, body["id"] if answer.status_code == 201 else body["code"]))
            is_over.wait(POLL_SECONDS)

    with Burst(2, watch), Burst(CLIENTS, post):
        try:
            until(lambda: len(opened) >= CLIENTS // 2, "the burst is under way")
            own_cluster.stop("immediate")
            until(lambda: (503, "database_unavailable") in seen, "the web says that the database is away")
            own_cluster.start()
            connection.close()
            granted = sum(status == 201 for status, _ in seen)
            until(lambda: sum(status == 201 for status, _ in seen) > granted, "the web recovers by itself")
        finally:
            is_over.set()
    assert {entry for entry in seen if entry[0] != 201} == {(503, "database_unavailable")}
    kept = {str(id) for id in Session.objects.values_list("pk", flat=True)}
    assert {id for status, id in seen if status == 201} <= kept
    assert set(opened) <= kept
    assert len(set(opened)) == len(opened) == CLIENTS * EACH == books(alice.person.workspace).runs

    def every_run_has_ended() -> bool:
        # What compose and the demo do with a worker that has ended.
        if worker.exit_code is not None and "another" not in service.children:
            service.start_worker("--concurrency=4", name="another")
        return set(runs_by_status()) <= {"succeeded", "failed"}

    until(every_run_has_ended, "every run ends", seconds=90)
    lost = Run.objects.filter(status=Run.Status.FAILED)
    assert set(lost.values_list("failure_kind", "is_charged")) <= {("worker_lost", False)}
    assert lost.count() <= 8
    for caller in (alice, bob):
        found = books(caller.person.workspace)
        assert found.sessions == found.runs == found.consumed
        assert found.used == found.consumed - found.returned
    assert jobs_without_a_run() == 0
    service.check_billing()


def test_a_worker_whose_connections_were_cut_carries_out_what_is_queued_next(
    own_service: Service, somebody: Somebody
) -> None:
    own_service.web_workers = 1
    own_service.start_web()
    worker = own_service.start_worker("--concurrency=2")
    bob = somebody(own_service)
    for _ in range(2):
        bob.open_session()
    until(lambda: runs_by_status() == {"succeeded": 2}, "the worker has its connections")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    for _ in range(4):
        bob.open_session()

    def every_run_has_succeeded() -> bool:
        if worker.exit_code is not None and "another" not in own_service.children:
            own_service.start_worker(name="another")
        return runs_by_status() == {"succeeded": 6}

    until(every_run_has_succeeded, "what was queued after the cut is carried out")
    assert books(bob.person.workspace).used == 6
    own_service.check_billing()


def runs_by_status() -> Counter[str]:
    return Counter(Run.objects.values_list("status", flat=True))
