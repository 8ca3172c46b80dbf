"""Stripe's deliveries: what is signed is stored once and looked at by the worker."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import stripe
from django.core.management import CommandError, call_command
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django.models import ProcrastinateJob
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import clock
from billing import catch_up, deliveries
from billing.models import EventCursor, StripeEvent
from billing.webhooks import EFFECTS
from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn

SECRET, FORMER = "whsec_present", "whsec_former"
PATH = "/api/v1/billing/webhook"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def secrets(settings: SettingsWrapper) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, FORMER]


def signed(payload: str, *, secret: str = SECRET, at: float | None = None) -> str:
    instant = int(time.time() if at is None else at)
    header: str = stripe.WebhookSignature.generate_signature_header(payload, secret, timestamp=instant)
    return header


def deliver(event: Any, **how: Any) -> Any:
    payload = event if isinstance(event, str) else json.dumps(event)
    return APIClient().generic(
        "POST", PATH, payload, content_type="application/json", headers={"Stripe-Signature": signed(payload, **how)}
    )


def recorded(payer: Payer, type: str | None = None) -> list[dict[str, Any]]:
    """Real events, oldest first, as the stand-in has them."""
    params: Any = {"limit": 100} | ({"type": type} if type else {})
    return [json.loads(str(event)) for event in reversed(payer.client.v1.events.list(params).data)]


def rows() -> tuple[int, int]:
    return StripeEvent.objects.count(), ProcrastinateJob.objects.filter(queue_name="billing").count()


def paid_and_not_come_back(payer: Payer) -> dict[str, Any]:
    payer.stand_in.pay(payer.checkout("pro"))
    ProcrastinateJob.objects.all().delete()
    return recorded(payer, "checkout.session.completed")[0]


def test_a_payment_is_pro_though_nobody_comes_back(payer: Payer, work: Callable[[], None]) -> None:
    event = paid_and_not_come_back(payer)
    answer = deliver(event)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert payer.sees()["plan"] == "free"
    work()
    assert payer.sees()["plan"] == "pro"
    (stored,) = StripeEvent.objects.all()
    assert (stored.state, stored.customer, stored.type) == ("done", payer.customer, "checkout.session.completed")


def test_the_answer_is_one_statement_and_no_call(
    payer: Payer, statements: Callable[[], CaptureQueriesContext], calls: Callable[[], list[str]]
) -> None:
    event = paid_and_not_come_back(payer)
    calls()
    with statements() as seen:
        assert deliver(event).status_code == 200
    assert len(seen) == 1
    assert calls() == []


def test_a_repetition_is_known_and_rings_nobody(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    assert deliver(event).json() == {"status": "accepted"}
    assert rows() == (1, 1)
    assert deliver(event).json() == {"status": "duplicate"}
    assert rows() == (1, 1)


@pytest.mark.parametrize(
    "change", [{"type": "customer.created"}, {"livemode": True}, {"account": "acct_of_somebody"}], ids=str
)
def test_what_is_not_for_us_is_ignored(payer: Payer, change: dict[str, Any]) -> None:
    event = paid_and_not_come_back(payer) | change
    assert deliver(event).json() == {"status": "ignored"}
    assert rows() == (0, 0)


def test_either_secret_proves_it(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    assert deliver(event, secret=FORMER).status_code == 200
    assert deliver(event, secret=SECRET).json() == {"status": "duplicate"}


def test_a_signature_that_is_missing_wrong_old_or_of_another_body_stores_nothing(payer: Payer) -> None:
    payload = json.dumps(paid_and_not_come_back(payer))
    headers: list[dict[str, str]] = [
        {},
        {"Stripe-Signature": ""},
        {"Stripe-Signature": "t=1,v1=00"},
        {"Stripe-Signature": "nonsense"},
        {"Stripe-Signature": signed(payload, secret="whsec_other")},
        {"Stripe-Signature": signed(payload, at=time.time() - 301)},
        {"Stripe-Signature": signed(payload + " ")},
    ]
    for header in headers:
        answer = APIClient().generic("POST", PATH, payload, content_type="application/json", headers=header)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature"), header
    assert rows() == (0, 0)
    # A doubled header of which one part fits is what Stripe sends while a secret is rotated.
    assert deliver(json.loads(payload)).status_code == 200


@pytest.mark.parametrize("payload", ["", "null", "[]", "{}", '{"id": "evt_1"}', "not json", '{"type": "invoice.paid"}'])
def test_what_is_signed_and_is_no_event_is_refused(payload: str) -> None:
    answer = deliver(payload)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert rows() == (0, 0)


def test_a_body_of_two_mebibytes_is_not_read() -> None:
    answer = deliver("x" * (2 * 1024 * 1024))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert rows() == (0, 0)


def test_a_thousand_bogus_posts_leave_no_row() -> None:
    client = APIClient()
    for number in range(1000):
        answer = client.post(PATH, {"id": f"evt_{number}"}, format="json", headers={"Stripe-Signature": "t=1,v1=a"})
        assert answer.status_code == 400
    assert rows() == (0, 0)


def test_without_a_secret_nothing_is_taken(settings: SettingsWrapper) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    answer = deliver({"id": "evt_1"})
    assert (answer.status_code, answer.json()["code"]) == (503, "billing_not_configured")
    assert (APIClient().get(PATH).status_code, rows()) == (405, (0, 0))


def test_many_events_of_a_customer_are_one_look(
    payer: Payer, work: Callable[[], None], calls: Callable[[], list[str]]
) -> None:
    payer.stand_in.pay(payer.checkout("pro"))
    for name in ("Robert", "Rob", "Bert"):
        payer.client.v1.customers.update(payer.customer, {"name": name})
    of_customer = [
        event
        for event in recorded(payer)
        if event["type"] in EFFECTS and not event["type"].startswith(("price.", "product."))
    ]
    ProcrastinateJob.objects.all().delete()
    for event in reversed(of_customer):
        assert deliver(event).status_code == 200
    assert len(of_customer) > 8
    calls()
    work()
    # The worker may read on in Stripe's list too, when five minutes are over.
    made = [call for call in calls() if call != "GET /v1/events"]
    assert len(made) <= 6, made
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    assert (payer.sees()["plan"], payer.sees()["monthly_agent_runs"]) == ("pro", 0)


def test_a_failure_pauses_and_a_fresh_event_takes_the_others_along(payer: Payer, work: Callable[[], None]) -> None:
    event = paid_and_not_come_back(payer)
    deliver(event)
    payer.stand_in.control("POST", "faults", path=".", status=500, times=100)
    work()
    (paused,) = StripeEvent.objects.all()
    assert (paused.state, paused.attempts) == ("waiting", 1)
    assert paused.error.startswith("stripe_unavailable")
    assert paused.next_attempt_at > datetime.now(UTC)
    StripeEvent.objects.update(next_attempt_at=datetime.now(UTC) + timedelta(hours=1))
    payer.stand_in.control("DELETE", "faults")
    assert deliveries.due() == ([], [])
    deliver(recorded(payer, "invoice.paid")[0])
    work()
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    assert payer.sees()["plan"] == "pro"


def test_when_the_pause_is_over_the_sweep_rings_once(payer: Payer) -> None:
    deliver(paid_and_not_come_back(payer))
    StripeEvent.objects.update(next_attempt_at=datetime.now(UTC))
    assert deliveries.due() == ([payer.customer], [])
    assert deliveries.due() == ([], [])


def test_after_a_day_of_failures_an_event_is_dead_and_can_be_replayed(payer: Payer) -> None:
    deliver(paid_and_not_come_back(payer))
    payer.stand_in.control("POST", "faults", path=".", status=500, times=100)
    StripeEvent.objects.update(received_at=datetime.now(UTC) - timedelta(days=1))
    deliveries.look_at_customer(payer.customer, now=clock.now())
    (event,) = StripeEvent.objects.all()
    assert event.state == "dead"
    payer.stand_in.control("DELETE", "faults")
    deliveries.look_at_customer(payer.customer, now=clock.now())
    assert payer.sees()["plan"] == "free"
    assert deliveries.replay([event.pk]) == 1
    deliveries.look_at_customer(payer.customer, now=clock.now())
    event.refresh_from_db()
    assert (event.state, payer.sees()["plan"]) == ("done", "pro")


def test_a_customer_of_nobody_is_waited_for_and_after_a_day_unmatched(shop: StandIn, payer: Payer) -> None:
    stranger = payer.client.v1.customers.create({"email": "mallory@example.com"})
    payer.client.v1.customers.update(stranger.id, {"name": "Mallory"})
    deliver(recorded(payer, "customer.updated")[-1])
    deliveries.look_at_customer(stranger.id, now=clock.now())
    (event,) = StripeEvent.objects.all()
    assert (event.state, event.attempts, event.error) == ("waiting", 1, "No workspace has this customer.")
    StripeEvent.objects.update(received_at=datetime.now(UTC) - timedelta(days=1))
    deliveries.look_at_customer(stranger.id, now=clock.now())
    event.refresh_from_db()
    assert event.state == "unmatched"


def test_what_names_a_charge_finds_its_customer_first(pro: Payer, work: Callable[[], None]) -> None:
    (invoice,) = pro.invoices
    payment = pro.client.v1.invoice_payments.list({"invoice": str(invoice.id)}).data[0]
    intent = payment.payment.payment_intent
    assert isinstance(intent, str)
    pro.client.v1.refunds.create({"payment_intent": intent, "amount": 500})
    (event,) = recorded(pro, "refund.created")
    assert event["data"]["object"].get("customer") is None
    ProcrastinateJob.objects.all().delete()
    deliver(event)
    work()
    (stored,) = StripeEvent.objects.all()
    assert (stored.state, stored.customer) == ("done", pro.customer)


def test_a_price_that_changed_is_mirrored(pro: Payer, work: Callable[[], None]) -> None:
    from djstripe.models import Price as Mirrored

    id = pro.row.paid_price.stripe_price_id if pro.row.paid_price else None
    assert id is not None
    pro.client.v1.prices.update(id, {"nickname": "Renamed"})
    ProcrastinateJob.objects.all().delete()
    deliver(recorded(pro, "price.updated")[-1])
    work()
    assert Mirrored.objects.get(id=id).stripe_data["nickname"] == "Renamed"
    assert StripeEvent.objects.get().state == "done"


def test_what_arrives_during_a_look_is_not_marked_done_by_it(pro: Payer) -> None:
    event = recorded(pro, "invoice.paid")[0]
    deliver(event)
    waiting = list(StripeEvent.objects.values_list("pk", flat=True))
    later = recorded(pro, "customer.subscription.created")[0]
    deliver(later)
    deliveries._finish(waiting)
    assert StripeEvent.objects.get(stripe_id=later["id"]).state == "waiting"
    deliveries.look_at_customer(pro.customer, now=clock.now())
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}


def test_first_purchases_overtake(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    deliver(recorded(payer, "customer.updated")[0] if recorded(payer, "customer.updated") else event | {"id": "evt_0"})
    deliver(event)
    priorities = dict(ProcrastinateJob.objects.values_list("args__customer", "priority"))
    assert priorities[payer.customer] == 50


def test_what_was_never_delivered_is_read_from_the_list(
    payer: Payer, work: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    payer.checkout("pro")
    assert catch_up.catch_up(now=clock.now()) == 0
    assert EventCursor.objects.exists()
    (session,) = payer.client.v1.checkout.sessions.list({"customer": payer.customer}).data
    payer.stand_in.pay(session.id)
    deliver(recorded(payer, "invoice.paid")[0])
    missed = catch_up.catch_up(now=clock.now())
    assert missed > 0
    assert StripeEvent.objects.filter(is_caught_up=True).count() == missed
    assert catch_up.catch_up(now=clock.now()) == 0
    work()
    assert payer.sees()["plan"] == "pro"
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    assert not caplog.records or all("never delivered" not in record.getMessage() for record in caplog.records)


def test_silence_of_deliveries_is_loud(payer: Payer, caplog: pytest.LogCaptureFixture) -> None:
    payer.checkout("pro")
    catch_up.catch_up(now=clock.now())
    (session,) = payer.client.v1.checkout.sessions.list({"customer": payer.customer}).data
    payer.stand_in.pay(session.id)
    payer.travel(hours=1)
    catch_up.catch_up(now=clock.now())
    assert any("never delivered" in record.getMessage() for record in caplog.records)


def test_a_list_that_is_longer_than_a_page_is_read_to_its_end(payer: Payer) -> None:
    payer.checkout("pro")
    catch_up.catch_up(now=clock.now())
    for number in range(120):
        payer.client.v1.customers.update(payer.customer, {"name": f"Bob {number}"})
    assert catch_up.catch_up(now=clock.now()) == 120
    newest = payer.client.v1.events.list({"limit": 1}).data[0].id
    assert EventCursor.objects.get().stripe_id == newest


def test_after_a_cursor_that_stripe_has_forgotten_the_whole_list_is_read(
    payer: Payer, work: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    payer.stand_in.pay(payer.checkout("pro"))
    for number in range(110):
        payer.client.v1.customers.update(payer.customer, {"name": f"Bob {number}"})
    EventCursor.objects.create(stripe_id="evt_forgotten", read_at=datetime.now(UTC))
    assert catch_up.catch_up(now=clock.now()) > 110
    assert any("reconcile" in record.getMessage() for record in caplog.records)
    assert EventCursor.objects.get().stripe_id == payer.client.v1.events.list({"limit": 1}).data[0].id
    assert catch_up.catch_up(now=clock.now()) == 0
    work()
    assert payer.sees()["plan"] == "pro"


def test_done_events_are_forgotten_after_a_month_and_no_others(pro: Payer) -> None:
    for event in recorded(pro)[-4:]:
        deliver(event)
    kept = StripeEvent.objects.count()
    long_ago = datetime.now(UTC) - timedelta(days=31)
    first = StripeEvent.objects.earliest("id")
    StripeEvent.objects.update(received_at=long_ago)
    StripeEvent.objects.filter(pk=first.pk).update(state="done", done_at=long_ago)
    assert deliveries.forget_old() == 1
    assert StripeEvent.objects.count() == kept - 1


def test_the_endpoint_at_stripe_is_compared(payer: Payer, settings: SettingsWrapper) -> None:
    def check() -> str:
        out = StringIO()
        call_command("check_webhook_endpoint", stdout=out)
        return out.getvalue()

    with pytest.raises(CommandError, match=r"no endpoint for http://127.*/api/v1/billing/webhook"):
        check()
    url = f"{settings.SITE_URL}{PATH}"
    some: Any = sorted(EFFECTS)[1:]
    endpoint = payer.client.v1.webhook_endpoints.create({"url": url, "enabled_events": some})
    with pytest.raises(CommandError, match="1 things"):
        check()
    every: Any = {"enabled_events": sorted(EFFECTS)}
    payer.client.v1.webhook_endpoints.update(endpoint.id, every)
    assert f"sends all {len(EFFECTS)} types" in check()


def test_given_up_events_are_listed_and_replayed_by_a_command(payer: Payer) -> None:
    def replay(*options: str) -> str:
        out = StringIO()
        call_command("replay_events", *options, stdout=out)
        return out.getvalue()

    event = paid_and_not_come_back(payer)
    deliver(event)
    assert replay() == "0 events are dead or unmatched.\n"
    with pytest.raises(CommandError, match=event["id"]):
        replay(event["id"])
    StripeEvent.objects.update(state="dead", error="Down")
    assert f"dead  {event['type']}  Down" in replay()
    assert "1 events wait again" in replay(event["id"])
    StripeEvent.objects.update(state="dead")
    assert "1 events wait again" in replay("--all-dead")
    assert deliveries.due() == ([payer.customer], [])
