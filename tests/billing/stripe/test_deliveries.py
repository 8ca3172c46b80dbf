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
from django.db import connection
from django.test.client import FakePayload
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django.models import ProcrastinateJob
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import clock
from billing import catch_up, deliveries, jobs
from billing.gateway import events
from billing.models import AuditEntry, EventCursor, StripeEvent
from billing.webhooks import EFFECTS
from tests.billing.stripe.digest import digest
from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn

SECRET, FORMER = "whsec_present", "whsec_former"
PATH = "/api/v1/billing/webhook"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def secrets(settings: SettingsWrapper) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, FORMER]
    # The worker tries again by itself.
    settings.STRIPE_RETRIES = 0


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


def test_either_secret_proves_it_until_the_former_is_taken_away(payer: Payer, settings: SettingsWrapper) -> None:
    event = paid_and_not_come_back(payer)
    assert deliver(event, secret=FORMER).status_code == 200
    assert deliver(event, secret=SECRET).json() == {"status": "duplicate"}
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    assert deliver(event, secret=FORMER).json()["code"] == "invalid_signature"


def post(payload: str, headers: dict[str, str]) -> Any:
    return APIClient().generic("POST", PATH, payload, content_type="application/json", headers=headers)


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
    before = digest()
    for header in headers:
        answer = post(payload, header)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature"), header
    assert digest() == before
    assert post(payload, {"Stripe-Signature": signed(payload, at=time.time() - 290)}).status_code == 200


def test_of_a_doubled_signature_one_must_fit(payer: Payer) -> None:
    """While a secret is rotated Stripe signs with both."""
    payload = json.dumps(paid_and_not_come_back(payer))
    at, right = signed(payload).split(",v1=")
    wrong = signed(payload, secret="whsec_other").partition(",v1=")[2]
    for header in (f"{at},v1={wrong},v1={wrong}", f"{at},v0={right},v1={wrong}", f"{at},v0={right}"):
        answer = post(payload, {"Stripe-Signature": header})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature"), header
    assert rows() == (0, 0)
    for header in (f"{at},v1={wrong},v1={right}", f"{at},v1={right},v1={wrong}", f"{at},v1={right},v1={right}"):
        assert post(payload, {"Stripe-Signature": header}).status_code == 200, header
    assert rows() == (1, 1)


@pytest.mark.parametrize("payload", ["", "null", "[]", "{}", '{"id": "evt_1"}', "not json", '{"type": "invoice.paid"}'])
def test_what_is_signed_and_is_no_event_is_refused(payload: str) -> None:
    answer = deliver(payload)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert rows() == (0, 0)


def test_a_body_of_two_mebibytes_is_not_read() -> None:
    class Unread(FakePayload):
        def read(self, *size: Any) -> bytes:
            raise AssertionError("It is read.")

    payload = "x" * (2 * 1024 * 1024)
    extra: dict[str, Any] = {"wsgi.input": Unread(b""), "CONTENT_LENGTH": str(len(payload))}
    answer = APIClient().generic("POST", PATH, headers={"Stripe-Signature": signed(payload)}, **extra)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert rows() == (0, 0)


def test_a_thousand_bogus_posts_leave_no_row() -> None:
    client, before = APIClient(), digest()
    for number in range(1000):
        answer = client.post(PATH, {"id": f"evt_{number}"}, format="json", headers={"Stripe-Signature": "t=1,v1=a"})
        assert answer.status_code == 400
    assert digest() == before


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


def waited(span: timedelta) -> None:
    """As if every event had come so much earlier, and its pause were over."""
    wall = datetime.now(UTC)
    StripeEvent.objects.update(received_at=wall - span, next_attempt_at=wall)


def pause() -> timedelta:
    (at,) = set(StripeEvent.objects.values_list("next_attempt_at", flat=True))
    return at - datetime.now(UTC)


def silence(payer: Payer) -> None:
    payer.stand_in.control("POST", "faults", path=".", status=500, times=1000)


def test_stripe_is_away_for_hours_and_a_fresh_event_waits_for_no_pause(payer: Payer, work: Callable[[], None]) -> None:
    deliver(paid_and_not_come_back(payer))
    silence(payer)
    for tried_for, expected in ((0, 10), (20, 20), (600, 600), (3600, 3600), (20 * 3600, 3600)):
        waited(timedelta(seconds=tried_for))
        deliveries.look_at_customer(payer.customer, now=clock.now())
        assert timedelta(seconds=expected - 5) < pause() < timedelta(seconds=expected + 5)
    payer.stand_in.control("DELETE", "faults")
    # Nothing is due for an hour.
    jobs.ring_what_is_due(timestamp=0)
    work()
    assert (payer.sees()["plan"], StripeEvent.objects.get().attempts) == ("free", 5)
    deliver(recorded(payer, "invoice.paid")[0])
    work()
    assert (states(), payer.sees()["plan"]) == ({"done"}, "pro")


def states() -> set[str]:
    return set(StripeEvent.objects.values_list("state", flat=True))


def test_many_events_in_one_second_of_silence_are_one_failure(
    payer: Payer, work: Callable[[], None], calls: Callable[[], list[str]]
) -> None:
    event = paid_and_not_come_back(payer)
    for number in range(8):
        deliver(event | {"id": f"evt_{number}", "type": "invoice.paid"})
    silence(payer)
    calls()
    work()
    assert set(StripeEvent.objects.values_list("state", "attempts")) == {("waiting", 1)}
    assert pause() < timedelta(seconds=11)
    assert len([call for call in calls() if call != "GET /v1/events"]) == 1


def test_what_fails_while_another_waits_leaves_both_and_one_look_serves_both(payer: Payer) -> None:
    event = paid_and_not_come_back(payer)
    (other,) = recorded(payer, "invoice.paid")
    deliver(event)
    silence(payer)
    deliveries.look_at_customer(payer.customer, now=clock.now(), event=event["id"])
    deliver(other)
    deliveries.look_at_customer(payer.customer, now=clock.now(), event=other["id"])
    attempts = dict(StripeEvent.objects.values_list("stripe_id", "attempts"))
    assert (attempts, states()) == ({event["id"]: 2, other["id"]: 1}, {"waiting"})
    payer.stand_in.control("DELETE", "faults")
    # Both were tried: of their own jobs none is repeated, and what the sweep rings serves both.
    for id in attempts:
        deliveries.look_at_customer(payer.customer, now=clock.now(), event=id)
    assert states() == {"waiting"}
    deliveries.look_at_customer(payer.customer, now=clock.now())
    assert (states(), payer.sees()["plan"]) == ({"done"}, "pro")


def test_what_nobody_expected_counts_as_a_failure_too(
    payer: Payer, work: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    deliver(paid_and_not_come_back(payer))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_subscription ADD CONSTRAINT refuses CHECK (stripe_status = '')")
    try:
        work()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE billing_subscription DROP CONSTRAINT refuses")
    (event,) = StripeEvent.objects.all()
    assert (event.state, event.attempts) == ("waiting", 1)
    assert event.error.startswith("IntegrityError")
    assert "What Stripe holds could not be taken over." in caplog.text
    deliveries.look_at_customer(payer.customer, now=clock.now())
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
    assert event.error.startswith("stripe_unavailable: 500 from Stripe, to read a customer (request req_")
    payer.stand_in.control("DELETE", "faults")
    deliveries.look_at_customer(payer.customer, now=clock.now())
    assert payer.sees()["plan"] == "free"
    assert deliveries.replay(deliveries.ended(), reason="A test", actor=None, now=clock.now()) == 1
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
    deliveries.look_at_event(event["id"], now=clock.now())
    (stored,) = StripeEvent.objects.all()
    assert (stored.state, stored.customer) == ("waiting", pro.customer)
    # Looks at one customer follow one another, whatever rang.
    assert ProcrastinateJob.objects.get(args__customer=pro.customer).lock == pro.customer
    work()
    stored.refresh_from_db()
    assert stored.state == "done"


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
    first, later = recorded(pro, "invoice.paid")[0], recorded(pro, "customer.subscription.created")[0]
    deliver(first)

    def meanwhile(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        # The look has a number, and is about to fetch.
        if "sync_number + 1" in sql and not StripeEvent.objects.filter(stripe_id=later["id"]).exists():
            deliver(later)
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        deliveries.look_at_customer(pro.customer, now=clock.now())
    assert dict(StripeEvent.objects.values_list("stripe_id", "state")) == {first["id"]: "done", later["id"]: "waiting"}
    deliveries.look_at_customer(pro.customer, now=clock.now(), event=later["id"])
    assert states() == {"done"}


def test_first_purchases_overtake(payer: Payer) -> None:
    purchase = paid_and_not_come_back(payer)
    deliver(recorded(payer, "invoice.paid")[0])
    deliver(purchase)
    priorities = dict(ProcrastinateJob.objects.values_list("args__event", "priority"))
    assert priorities == {recorded(payer, "invoice.paid")[0]["id"]: 0, purchase["id"]: 50}


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
    assert alarms(caplog) == []


def change_and_read(payer: Payer) -> dict[str, Any]:
    """What happens in five minutes, of which the list is read at the end; the event."""
    payer.client.v1.customers.update(payer.customer, {"name": f"Bob at {clock.now()}"})
    payer.travel(seconds=200)
    catch_up.catch_up(now=clock.now())
    payer.travel(seconds=100)
    return recorded(payer, "customer.updated")[-1]


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if "No delivery has come" in line.getMessage()]


def test_silence_of_deliveries_while_the_list_grows_is_loud(payer: Payer, caplog: pytest.LogCaptureFixture) -> None:
    payer.checkout("pro")
    catch_up.catch_up(now=clock.now())
    # One that is not delivered is read and no alarm: it may still come.
    first = change_and_read(payer)
    assert alarms(caplog) == []
    deliver(first)
    change_and_read(payer)
    assert alarms(caplog) == []
    change_and_read(payer)
    (alarm,) = alarms(caplog)
    assert "and 2 events stood in Stripe's list" in alarm
    assert "check_webhook_endpoint" in alarm
    # While the list does not grow, nothing is missed.
    payer.travel(hours=1)
    catch_up.catch_up(now=clock.now())
    assert len(alarms(caplog)) == 1


def test_a_delivery_that_comes_after_it_was_read_breaks_the_silence(
    payer: Payer, caplog: pytest.LogCaptureFixture
) -> None:
    payer.checkout("pro")
    catch_up.catch_up(now=clock.now())
    for _ in range(3):
        late = change_and_read(payer)
        before = rows()
        assert deliver(late).json() == {"status": "duplicate"}
        assert rows() == before
    assert not StripeEvent.objects.filter(is_caught_up=True).exists()
    assert alarms(caplog) == []


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAGE", 10)


def rename(payer: Payer, times: int) -> None:
    for number in range(times):
        payer.client.v1.customers.update(payer.customer, {"name": f"Bob {number}"})


def newest(payer: Payer) -> str:
    return payer.client.v1.events.list({"limit": 1}).data[0].id


def test_a_list_that_is_longer_than_a_page_is_read_to_its_end(
    payer: Payer, small_pages: None, calls: Callable[[], list[str]]
) -> None:
    payer.checkout("pro")
    catch_up.catch_up(now=clock.now())
    rename(payer, 22)
    calls()
    assert catch_up.catch_up(now=clock.now()) == 22
    assert calls() == ["GET /v1/events"] * 3
    assert EventCursor.objects.get().stripe_id == newest(payer)


def test_after_a_cursor_that_stripe_has_forgotten_the_whole_list_is_read(
    payer: Payer, small_pages: None, work: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    payer.stand_in.pay(payer.checkout("pro"))
    rename(payer, 22)
    EventCursor.objects.create(stripe_id="evt_forgotten", read_at=datetime.now(UTC))
    assert catch_up.catch_up(now=clock.now()) > 22
    assert any("reconcile" in record.getMessage() for record in caplog.records)
    assert EventCursor.objects.get().stripe_id == newest(payer)
    assert catch_up.catch_up(now=clock.now()) == 0
    work()
    assert payer.sees()["plan"] == "pro"


def test_the_endpoint_at_stripe_is_compared(payer: Payer, settings: SettingsWrapper) -> None:
    def check() -> str:
        out = StringIO()
        call_command("check_webhook_endpoint", stdout=out)
        return out.getvalue()

    with pytest.raises(CommandError, match=r"no endpoint for http://127.*/api/v1/billing/webhook"):
        check()
    url = f"{settings.SITE_URL}{PATH}"
    some: Any = sorted(EFFECTS)[1:]
    older: Any = "2025-03-31.basil"
    endpoint = payer.client.v1.webhook_endpoints.create({"url": url, "enabled_events": some, "api_version": older})
    payer.client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    out = StringIO()
    with pytest.raises(CommandError, match=f"3 things to mend at {endpoint.id}"):
        call_command("check_webhook_endpoint", stdout=out)
    assert out.getvalue().splitlines() == [
        f"Not sent: {sorted(EFFECTS)[0]}",
        "The endpoint is disabled.",
        f"Its version is {older}, ours is {settings.STRIPE_API_VERSION}.",
    ]
    payer.client.v1.webhook_endpoints.delete(endpoint.id)
    every: Any = {"url": url, "enabled_events": sorted(EFFECTS), "api_version": settings.STRIPE_API_VERSION}
    payer.client.v1.webhook_endpoints.create(every)
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
    entries = AuditEntry.objects.filter(action="replay events").values_list("target", "reason", "actor_id")
    assert list(entries) == [(f"stripe:{event['id']}", "manage.py replay_events", None)] * 2
    assert deliveries.due() == ([payer.customer], [])
