"""What is done by the clock, and in which order of a night."""

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from procrastinate.contrib.django import app

from billing import jobs

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


def times(task: str, *, within: timedelta) -> list[timedelta]:
    """After midnight, by what the workers were told."""
    (cron,) = (one.cron for one in app.periodic_registry.periodic_tasks.values() if one.task.name == task)
    steps = croniter(cron, MIDNIGHT - timedelta(seconds=1))
    found: list[timedelta] = []
    while (at := steps.get_next(datetime) - MIDNIGHT) < within:
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("task", "seconds"), [(jobs.ring_what_is_due.name, 15), (jobs.catch_up.name, 300)], ids=["sweep", "catch_up"]
)
def test_what_nobody_rang_for_is_looked_for_again_and_again(task: str, seconds: int) -> None:
    found = times(task, within=timedelta(hours=1))
    assert found == [timedelta(seconds=at) for at in range(0, 3600, seconds)]


def test_each_night_is_reconciled_then_proved_and_then_forgotten() -> None:
    nightly = (jobs.reconcile, jobs.check_billing, jobs.forget_old_events)
    reconciled, proved, forgotten = (times(task.name, within=timedelta(days=1)) for task in nightly)
    assert [len(found) for found in (reconciled, proved, forgotten)] == [1, 1, 1]
    # The proofs read the reconciliation's report; an hour is left for it.
    assert reconciled[0] + timedelta(hours=1) <= proved[0] < forgotten[0] < timedelta(hours=6)
