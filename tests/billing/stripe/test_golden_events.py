"""Events as they were recorded, posted again: each type that Stripe must send has the effect that is stated for it."""

import json
import re
import time
from typing import Any

import pytest
import stripe
from django.test import Client
from djstripe import models as djstripe
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from pytest_django import Settings as SettingsWrapper

from billing.models import StripeEvent, Subscription
from billing.webhooks import EFFECTS, REFLECTS, RINGS
from tests.billing.stripe import golden
from tests.billing.stripe.payer import Payer
from tests.environment import ROOT
from tests.fake_stripe.running import StandIn

PATH = "/api/v1/billing/webhook"
SECRET = "whsec_of_the_golden_events"

pytestmark = pytest.mark.django_db


@pytest.fixture
def events(settings: SettingsWrapper) -> dict[str, golden.Event]:
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    return golden.recorded()


def deliver(event: golden.Event) -> str:
    """Signed anew, because a signature is good for five minutes."""
    payload = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(payload, SECRET, timestamp=int(time.time()))
    answer = Client().post(PATH, payload, content_type="application/json", headers={"Stripe-Signature": header})
    assert answer.status_code == 200, answer.content
    status: str = answer.json()["status"]
    return status


def work() -> None:
    while job := ProcrastinateJob.objects.filter(queue_name="billing").order_by("id").first():
        app.tasks[job.task_name](**job.args)
        ProcrastinateJob.objects.filter(pk=job.pk).delete()


def named(payer: Payer) -> dict[str, str]:
    """What an event of this payer's may name."""
    (charge,) = payer.client.v1.charges.list({"customer": payer.customer}).data
    price = payer.one["items"].data[0].price
    return {
        "customer": payer.customer,
        "charge": charge.id,
        "payment_intent": str(charge.payment_intent),
        "price": price.id,
        "product": str(price.product),
    }


def of(ours: dict[str, str], event: golden.Event) -> golden.Event:
    """The same event, had it been about these: other ids, and nothing else."""
    about = event["data"]["object"]
    if about.get("customer", "") is None:
        about = about | event["data"].get("previous_attributes", {})
    text = json.dumps(event)
    for kind, id in ours.items():
        theirs = about["id"] if about["object"] == kind else about.get(kind)
        if isinstance(theirs, str):
            text = text.replace(f'"{theirs}"', f'"{id}"')
    found: golden.Event = json.loads(text)
    return found


def test_every_type_was_recorded(events: dict[str, golden.Event]) -> None:
    assert events.keys() == EFFECTS.keys()
    assert set(EFFECTS.values()) == {RINGS, REFLECTS}


def test_the_readme_names_the_same_types() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"```text\n(checkout\.session\.completed [^`]+)```", readme)
    assert listed.split() == list(EFFECTS)


def test_each_that_rings_makes_our_row_follow(pro: Payer, events: dict[str, golden.Event]) -> None:
    ProcrastinateJob.objects.all().delete()
    row, ours = Subscription.objects.filter(pk=pro.row.pk), named(pro)
    for type in sorted(type for type, effect in EFFECTS.items() if effect == RINGS):
        # What our row says wrong is seen by nobody but who looks.
        row.update(stripe_status="unpaid")
        event = of(ours, events[type])
        assert deliver(event) == "accepted", type
        work()
        assert row.get().stripe_status == "active", type
        stored = StripeEvent.objects.get(stripe_id=event["id"])
        assert (stored.type, stored.state, stored.customer) == (type, "done", pro.customer)


def test_each_that_is_reflected_is_in_the_mirror_and_rings_nobody(pro: Payer, events: dict[str, golden.Event]) -> None:
    ProcrastinateJob.objects.all().delete()
    ours, before = named(pro), pro.row.sync_number
    pro.client.v1.prices.update(ours["price"], {"nickname": "Renamed"})
    pro.client.v1.products.update(ours["product"], {"description": "Described"})
    for type in sorted(type for type, effect in EFFECTS.items() if effect == REFLECTS):
        assert deliver(of(ours, events[type])) == "accepted"
    work()
    assert djstripe.Price.objects.get(id=ours["price"]).stripe_data["nickname"] == "Renamed"
    assert djstripe.Product.objects.get(id=ours["product"]).stripe_data["description"] == "Described"
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    assert pro.row.sync_number == before


def shape(value: Any) -> Any:
    """The keys, however deep; of a list those that any of its members has."""
    if isinstance(value, list):
        found: dict[str, Any] = {}
        for each in map(shape, value):
            found |= each if isinstance(each, dict) else {}
        return found
    return {key: shape(part) for key, part in value.items()} if isinstance(value, dict) else None


def test_a_new_recording_looks_the_same(stripe_stand_in: StandIn) -> None:
    anew, kept = golden.record(stripe_stand_in), golden.recorded()
    assert anew.keys() == kept.keys()
    for type, event in anew.items():
        assert shape(event) == shape(kept[type]), type
        assert event["api_version"] == kept[type]["api_version"]
