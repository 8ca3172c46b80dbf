"""What was scheduled is put back when an act that took it away is cut short."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from accounts import clock
from billing import jobs, lifecycle
from billing.models import StripeOperation
from tests.billing.stripe.payer import Payer

UPDATE = r"POST /v1/subscriptions/sub_\w+$"


def scheduled(payer: Payer) -> tuple[str, bool, str | None]:
    payer.sync()
    seen = payer.sees()
    return seen["plan"], seen["cancel_at_period_end"], seen["pending_plan"]


def settled() -> bool:
    return not StripeOperation.objects.filter(kind="restore", finished_at=None).exists()


@pytest.fixture
def cancelled(subscriber: Payer) -> Payer:
    assert subscriber.post("cancel").status_code == 200
    return subscriber


@pytest.fixture
def downgraded(pro: Payer) -> Payer:
    assert pro.post("change-plan", {"plan": "basic"}).status_code == 200
    return pro


def cut_short(payer: Payer, path: str, body: dict[str, str]) -> None:
    """The first step is done, the second is never answered."""
    payer.stand_in.control("POST", "faults", path=UPDATE, status=500, times=100)
    assert payer.post(path, body).status_code == 503
    payer.stand_in.control("DELETE", "faults")


def test_a_cancel_that_took_a_change_away_and_did_not_come_through(downgraded: Payer) -> None:
    assert scheduled(downgraded) == ("pro", False, "basic")
    cut_short(downgraded, "cancel", {})
    assert scheduled(downgraded) == ("pro", False, None)
    lifecycle.settle(downgraded.row, now=clock.now())
    assert scheduled(downgraded) == ("pro", False, "basic")
    assert settled()
    # Once put back it is not touched again.
    lifecycle.settle(downgraded.row, now=clock.now())
    assert downgraded.post("resume").status_code == 200
    lifecycle.settle(downgraded.row, now=clock.now())
    assert scheduled(downgraded) == ("pro", False, None)


def test_who_asks_again_gets_what_they_asked_for(downgraded: Payer) -> None:
    cut_short(downgraded, "cancel", {})
    assert downgraded.post("cancel").status_code == 200
    assert settled()
    lifecycle.settle(downgraded.row, now=clock.now())
    assert scheduled(downgraded) == ("pro", True, None)


def test_an_upgrade_that_took_a_cancel_away_and_died(cancelled: Payer) -> None:
    # As it is left by a process that is killed between its two calls.
    live = lifecycle.look(cancelled.row, now=clock.now())
    assert live is not None
    assert live.live is not None
    lifecycle.remember(cancelled.row, live.live)
    cancelled.client.v1.subscriptions.update(cancelled.one.id, {"cancel_at_period_end": False})
    assert scheduled(cancelled) == ("basic", False, None)
    assert lifecycle.unsettled() == []
    StripeOperation.objects.filter(kind="restore").update(look_at=datetime.now(UTC))
    assert lifecycle.unsettled() == [str(cancelled.person.workspace.pk)]
    assert lifecycle.unsettled() == []
    lifecycle.settle(cancelled.row, now=clock.now())
    assert scheduled(cancelled) == ("basic", True, None)
    assert settled()


def test_an_ordinary_act_leaves_nothing_to_settle(downgraded: Payer) -> None:
    for path, body in (
        ("cancel", {}),
        ("resume", {}),
        ("change-plan", {"plan": "basic"}),
        ("change-plan", {"plan": "pro", "interval": "year"}),
    ):
        assert downgraded.post(path, body).status_code == 200, path
        assert settled(), path


@pytest.mark.django_db(transaction=True)
def test_the_worker_sees_to_it(downgraded: Payer, work: Callable[[], None]) -> None:
    cut_short(downgraded, "cancel", {})
    StripeOperation.objects.filter(kind="restore").update(look_at=datetime.now(UTC))
    jobs.ring_what_is_due(timestamp=0)
    work()
    assert scheduled(downgraded) == ("pro", False, "basic")
    assert settled()
