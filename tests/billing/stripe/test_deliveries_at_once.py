"""Deliveries that come at one instant, or in one moment: each is stored once, and one look serves them."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts import clock
from billing import deliveries, webhooks
from billing.models import StripeEvent
from tests.billing.stripe.payer import Payer
from tests.billing.stripe.test_deliveries import deliver, paid_and_not_come_back, recorded, secrets
from tests.threads import at_once

__all__ = ["secrets"]

pytestmark = pytest.mark.django_db(transaction=True)
# Each in a thread, with a connection of its own.
AT_ONCE = 8


def statuses(*acts: Callable[[], str]) -> Counter[str]:
    """Of what each act came to; an error that one raised is one of them."""
    return Counter(map(str, at_once(acts)))


def told_of(event: dict[str, Any]) -> str:
    status: str = deliver(event).json()["status"]
    return status


def read_in_the_list(event: dict[str, Any]) -> str:
    return webhooks.receive(event, json.dumps(event), is_caught_up=True)


def test_one_event_many_times_at_once_is_stored_and_rung_once(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    assert statuses(*[partial(told_of, event)] * AT_ONCE) == {"accepted": 1, "duplicate": AT_ONCE - 1}
    assert StripeEvent.objects.get().stripe_id == event["id"]
    assert [job.args["event"] for job in ProcrastinateJob.objects.filter(queue_name="billing")] == [event["id"]]


def test_an_event_that_is_delivered_while_it_is_read_is_stored_once_and_counts_as_delivered(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    acts = [partial(told_of, event), partial(read_in_the_list, event)] * (AT_ONCE // 2)
    assert statuses(*acts) == {"accepted": 1, "duplicate": AT_ONCE - 1}
    assert not StripeEvent.objects.get().is_caught_up
    assert ProcrastinateJob.objects.filter(queue_name="billing").count() == 1


def test_events_of_one_customer_at_once_are_all_stored_and_looked_at(payer: Payer, work: Callable[[], None]) -> None:
    paid_and_not_come_back(payer)
    events = [one for one in recorded(payer) if one["type"] in webhooks.EFFECTS and "customer" in one["data"]["object"]]
    assert len(events) > 4
    assert statuses(*(partial(told_of, one) for one in events)) == {"accepted": len(events)}
    work()
    assert set(StripeEvent.objects.values_list("stripe_id", "state")) == {(one["id"], "done") for one in events}
    assert payer.sees()["plan"] == "pro"


@pytest.fixture
def events(payer: Payer) -> list[str]:
    """The ids of three that came in one moment, of a purchase; no job has been carried out."""
    event = paid_and_not_come_back(payer) | {"type": "invoice.paid"}
    for number in range(3):
        assert told_of(event | {"id": f"evt_{number}"}) == "accepted"
    return [f"evt_{number}" for number in range(3)]


@pytest.fixture
def look(payer: Payer, calls: Callable[[], list[str]]) -> Callable[[str], bool]:
    """What the job of an event does; whether Stripe was asked."""

    def carry_out(event: str) -> bool:
        calls()
        deliveries.look_at_customer(payer.customer, now=clock.now(), event=event)
        return bool(calls())

    return carry_out


def test_of_a_moments_events_the_last_ones_job_looks(
    payer: Payer, events: list[str], look: Callable[[str], bool]
) -> None:
    assert [look(event) for event in events] == [False, False, True]
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    assert payer.sees()["plan"] == "pro"


def test_a_first_purchase_waits_for_no_other(payer: Payer, events: list[str], look: Callable[[str], bool]) -> None:
    StripeEvent.objects.filter(stripe_id=events[0]).update(type="customer.subscription.created")
    assert [look(event) for event in events] == [True, False, False]
    assert payer.sees()["plan"] == "pro"


def test_a_stream_of_events_keeps_nothing_waiting(events: list[str], look: Callable[[str], bool]) -> None:
    """The second has come just now, and would leave it to the third; but the first waits since a moment ago."""
    StripeEvent.objects.filter(stripe_id=events[0]).update(received_at=datetime.now(UTC) - deliveries.MOMENT)
    assert [look(event) for event in events[1:]] == [True, False]


def test_what_was_tried_before_is_left_to_no_job(events: list[str], look: Callable[[str], bool]) -> None:
    StripeEvent.objects.filter(stripe_id=events[2]).update(attempts=1)
    assert [look(event) for event in events[:2]] == [False, True]
