"""Stripe's deliveries, carried by the test: what the stand-in recorded is posted when, and as often as, it says."""

import json
import time
from collections.abc import Iterable
from typing import Any

import stripe
from django.test import Client
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from billing import deliveries, gateway, jobs, lifecycle
from billing.models import StripeEvent

PATH = "/api/v1/billing/webhook"
SECRET = "whsec_of_the_mailbag"
# After these a job is kept and tried again; see `jobs.UNTIL_STRIPE_ANSWERS`.
TRIED_AGAIN = (gateway.StripeUnavailable, lifecycle.NotShownYet, lifecycle.Busy)

type Event = dict[str, Any]


class Mailbag:
    """`waiting` was recorded and not yet delivered, oldest first. `accepted` are the ids that the inbox must have."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self.client = client
        self.waiting: list[Event] = []
        self.delivered: list[Event] = []
        self.accepted: set[str] = set()
        # What published the prices came before anybody listened.
        self._last: str = client.v1.events.list({"limit": 1}).data[0].id

    def collect(self) -> bool:
        """What was recorded since; whether there is anything. Stripe must still have the last that was seen."""
        is_any = has_more = False
        while not is_any or has_more:
            page = self.client.raw_request("get", "/v1/events", ending_before=self._last, limit=100).data
            if not page["data"]:
                break
            self.waiting += reversed(page["data"])
            self._last = page["data"][0]["id"]
            is_any, has_more = True, page["has_more"]
        return is_any

    def take(self, picks: Iterable[int]) -> list[Event]:
        """Out of what waits, in the order of the picks."""
        self.collect()
        return [self.waiting.pop(pick % len(self.waiting)) for pick in picks if self.waiting]

    def take_all(self) -> list[Event]:
        self.collect()
        taken, self.waiting = self.waiting, []
        return taken

    def deliver(self, events: Iterable[Event]) -> None:
        for event in events:
            payload = json.dumps(event)
            header = stripe.WebhookSignature.generate_signature_header(payload, SECRET, timestamp=int(time.time()))
            answer = Client().generic(
                "POST", PATH, payload, content_type="application/json", headers={"Stripe-Signature": header}
            )
            assert answer.status_code == 200, answer.content
            status = answer.json()["status"]
            assert (status == "duplicate") == (event["id"] in self.accepted), (status, event["type"])
            if status == "accepted":
                self.accepted.add(event["id"])
            self.delivered.append(event)

    def note_what_was_caught_up(self) -> None:
        self.accepted |= set(StripeEvent.objects.filter(is_caught_up=True).values_list("stripe_id", flat=True))


def work(picks: Iterable[int] | None = None) -> int:
    """Carry out billing's jobs as the worker would, in the order of the picks; without them all, oldest first.

    How many came to their end; what Stripe's silence stopped is tried again the next time.
    """
    waiting = list(ProcrastinateJob.objects.filter(queue_name=jobs.BILLING_QUEUE, status="todo").order_by("id"))
    ended = []
    for pick in range(len(waiting)) if picks is None else picks:
        if not waiting:
            break
        job = waiting.pop(0 if picks is None else pick % len(waiting))
        try:
            app.tasks[job.task_name](**job.args)
        except TRIED_AGAIN:
            continue
        ended.append(job.pk)
    if ended:
        ProcrastinateJob.objects.filter(pk__in=ended).delete()
    return len(ended)


def are_jobs_left() -> bool:
    return ProcrastinateJob.objects.filter(queue_name=jobs.BILLING_QUEUE, status="todo").exists()


def ring_what_paused() -> None:
    """As if every pause were over; each event that waits is rung, by the sweep's own statement."""
    if not StripeEvent.objects.filter(state="waiting").update(next_attempt_at="2000-01-01T00:00:00Z"):
        return
    customers, events = deliveries.due()
    for customer in customers:
        jobs.look_at_customer.configure(lock=customer).defer(customer=customer)
    for event in events:
        jobs.look_at_event.defer(event=event)
