"""How fast a delivery of Stripe's is acknowledged: by us, by a bare view, and by dj-stripe's own view."""

import json
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

from django.db import connection
from django.urls import reverse
from djstripe.models import Event, WebhookEndpoint

from billing.models import StripeEvent
from billing.webhooks import EFFECTS
from deploy.files import LaunchError
from tests.bench.acts import act
from tests.bench.figures import Figure, Pace, in_turn
from tests.bench.load import EVENT_ID, Deliveries
from tests.bench.models import Row
from tests.bench.till import Till
from tests.fake_stripe.webhooks import signature

CUSTOMERS, ACTS = 50, 4


def acknowledgements(till: Till, pace: Pace) -> list[Figure]:
    """No worker runs meanwhile: what is acknowledged piles up."""
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    secret = till.account.webhook_secret
    endpoint = WebhookEndpoint.objects.create(
        id="we_bench", url=till.api, enabled_events=["*"], status="enabled", secret=secret, livemode=False
    )
    events = _events(till)
    of_mirror = reverse("djstripe:djstripe_webhook_by_uuid", args=[endpoint.djstripe_uuid])
    ours, bare, theirs = targets = [
        Deliveries(name, f"{till.host}{path}", secret, events)
        for name, path in (
            ("webhook", "/api/v1/billing/webhook"),
            ("bare-webhook", "/api/v1/bare-webhook"),
            ("mirror-webhook", of_mirror),
        )
    ]
    # dj-stripe makes the rows of an object when it first hears of it, and not two at once.
    for event in events:
        _send(theirs, event.replace(EVENT_ID, f"evt_{uuid.uuid4().hex}", 1))
    counts: list[Callable[[], int]] = [StripeEvent.objects.count, Row.objects.count, Event.objects.count]
    before = [count() for count in counts]
    seen = in_turn(targets, pace)
    for target, count, were in zip(targets, counts, before, strict=True):
        # An answer that stored nothing is fast, and says nothing.
        if count() - were < seen[target.name].rate * pace.seconds * pace.rounds * 0.9:
            raise LaunchError(f"{target.name} stored {count() - were} events only.")
    rates = {target.name: f"{seen[target.name].rate:,.0f}/s" for target in targets}
    return [
        Figure(
            "Stripe's deliveries acknowledged a second, against a bare view that verifies and inserts one row",
            seen[ours.name].rate / seen[bare.name].rate,
            0.7,
            seen=f"{rates[ours.name]}, {rates[bare.name]}",
        ),
        Figure(
            "Stripe's deliveries acknowledged a second, against dj-stripe's own view",
            seen[ours.name].rate / seen[theirs.name].rate,
            10,
            seen=f"{rates[ours.name]}, {rates[theirs.name]}",
        ),
    ]


def _events(till: Till) -> list[str]:
    """As the stand-in would send them, of customers that it has."""
    for subscriber in till.subscribe(CUSTOMERS):
        for number in range(ACTS):
            act(till, subscriber, number)
    return [json.dumps(event | {"id": EVENT_ID}) for event in till.pages("/v1/events") if event["type"] in EFFECTS]


def _send(target: Deliveries, event: str) -> None:
    headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": signature(event.encode(), target.secret, int(time.time())),
    }
    host, path = target.url.removeprefix("http://").split("/", 1)
    with closing(HTTPConnection(host, timeout=60)) as connection:
        connection.request("POST", f"/{path}", event.encode(), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise LaunchError(f"{target.name} answered {answer.status}: {answer.read()[:1000]!r}")
