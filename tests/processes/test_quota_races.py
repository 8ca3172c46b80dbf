"""Invariants 1 and 2 over real processes: of k units left exactly k are granted, and none is lost."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing import quotas
from billing.models import CreditGrant, LedgerEntry, UsagePeriod
from billing.periods import calendar_month
from sessions_app.models import Run
from tests.processes.books import books, jobs_without_a_run, runs_without_a_job
from tests.processes.bursts import CLIENTS, Burst, at_once
from tests.processes.clients import Caller, statuses
from tests.processes.conftest import Somebody
from tests.processes.service import Service, until

FREE_RUNS = 10


def spend(caller: Caller, runs: int) -> None:
    """Without a prompt, so that no job is made."""
    for _ in range(runs):
        assert caller.post("/sessions").status_code == 201


@pytest.mark.parametrize("left", [0, 1, 10])
def test_of_k_units_left_exactly_k_runs_are_granted(service: Service, somebody: Somebody, left: int) -> None:
    bob = somebody(service)
    spend(bob, FREE_RUNS - left)
    answers = at_once(CLIENTS, lambda _: bob.post("/sessions", {"prompt": "Write a haiku"}))
    assert statuses(answers) == Counter({201: left, 402: CLIENTS - left})
    refused = [answer for answer in answers if answer.status_code == 402]
    assert {answer.json()["code"] for answer in refused} == {"quota_exceeded"}
    assert {answer.headers["X-Quota-Remaining"] for answer in refused} == {"0"}
    found = books(bob.person.workspace)
    assert (found.sessions, found.runs, found.consumed, found.used) == (FREE_RUNS,) * 4
    assert found.jobs == left
    assert jobs_without_a_run() == runs_without_a_job() == 0
    service.check_billing()


def test_of_the_units_left_in_several_grants_exactly_so_many_runs_are_granted(
    service: Service, somebody: Somebody
) -> None:
    bob, now = somebody(service), datetime.now(UTC)
    spend(bob, FREE_RUNS)
    grants = [
        quotas.give(
            bob.person.subscription,
            quantity=quantity,
            kind=kind,
            reason="Test",
            now=now,
            expires_at=now + timedelta(days=days) if days else None,
        )
        for quantity, kind, days in (
            (3, CreditGrant.Kind.GIVEN, 5),
            (2, CreditGrant.Kind.BOUGHT, 5),
            (4, CreditGrant.Kind.BOUGHT, 0),
            (1, CreditGrant.Kind.GIVEN, 2),
        )
    ]
    answers = at_once(CLIENTS, lambda _: bob.post("/sessions", {"prompt": "Write a haiku"}))
    assert statuses(answers) == {201: 10, 402: CLIENTS - 10}
    for grant in grants:
        grant.refresh_from_db()
        assert grant.used == grant.quantity
        assert LedgerEntry.objects.filter(grant=grant, kind=LedgerEntry.Kind.CONSUME).count() == grant.quantity
    found = books(bob.person.workspace)
    assert (found.runs, found.consumed, found.jobs, found.used) == (20, 20, 10, 20)
    assert jobs_without_a_run() == runs_without_a_job() == 0
    service.check_billing()


def test_units_that_come_back_while_others_are_taken_are_neither_lost_nor_doubled(
    service: Service, somebody: Somebody
) -> None:
    bob = somebody(service)
    kept: list[str] = []

    def start_and_stop(number: int) -> None:
        for _ in range(4):
            opened = bob.post("/sessions", {"prompt": "Write a haiku"})
            assert opened.status_code in (201, 402), opened.text
            if opened.status_code == 201:
                stopped = bob.post(f"/sessions/{opened.json()['id']}/stop")
                assert stopped.status_code == 200, stopped.text
                (run,) = stopped.json()["runs"]
                assert (run["status"], run["charged"]) == ("stopped", False)
                kept.append(run["id"])

    with Burst(CLIENTS, start_and_stop):
        pass
    assert len(kept) > FREE_RUNS
    found = books(bob.person.workspace)
    assert (found.runs, found.consumed, found.returned, found.used) == (len(kept), len(kept), len(kept), 0)
    # Every line says what was left after it: the limit was kept at every instant, not at the end alone.
    balances = LedgerEntry.objects.filter(workspace=bob.person.workspace).values_list("balance", flat=True)
    assert set(balances) <= set(range(FREE_RUNS + 1))
    assert statuses(at_once(CLIENTS, lambda _: bob.post("/sessions"))) == {201: FREE_RUNS, 402: CLIENTS - FREE_RUNS}
    service.check_billing()


def test_when_the_period_turns_in_a_burst_each_run_is_in_the_bucket_of_its_instant(
    service: Service, somebody: Somebody
) -> None:
    most, bob = 40, somebody(service)
    subscription, now = bob.person.subscription, datetime.now(UTC)
    subscription.change(cause="override", now=now, runs_override=most, runs_override_end=now + timedelta(days=90))
    turn = calendar_month(now).end
    granted: list[str] = []

    def post_four_times(number: int) -> None:
        for _ in range(4):
            answer = bob.post("/sessions", {"prompt": "Write a haiku"})
            assert answer.status_code in (201, 402), answer.text
            if answer.status_code == 201:
                granted.append(answer.json()["id"])

    clock = Path(service.settings["CLOCK_OFFSET_FILE"])
    # A minute before the end, lest a slow machine should reach it by itself.
    set_clock(clock, turn - timedelta(minutes=1))
    try:
        with Burst(CLIENTS, post_four_times):
            until(lambda: len(granted) >= most // 2, "half of the old bucket is taken")
            set_clock(clock, turn)
    finally:
        clock.unlink()
    old, new = UsagePeriod.objects.filter(workspace=bob.person.workspace).order_by("starts_at")
    assert (old.ends_at, new.starts_at) == (turn, turn)
    assert most // 2 <= old.used <= most
    assert new.used == most
    assert old.used + new.used == len(granted)
    lines = LedgerEntry.objects.filter(workspace=bob.person.workspace)
    for bucket in (old, new):
        made = Run.objects.filter(pk__in=lines.filter(period=bucket).values("run_id"))
        assert made.count() == bucket.used
        assert not made.exclude(created_at__gte=bucket.starts_at, created_at__lt=bucket.ends_at).exists()
    service.check_billing()


def set_clock(file: Path, instant: datetime) -> None:
    """At once: a process that reads meanwhile finds the old offset or the new one."""
    written = file.with_suffix(".new")
    written.write_text(str((instant - datetime.now(UTC)).total_seconds()), encoding="ascii")
    written.replace(file)
