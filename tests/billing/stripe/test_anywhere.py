"""What holds at the stand-in and at Stripe's own test mode alike.

`STRIPE_SECRET_KEY=sk_test_... make test ARGS="-m real_stripe"` runs it at Stripe; without a key of
one's own the stand-in answers. Nothing here needs a browser or another time.
"""

import os
from collections.abc import Generator

import pytest
import stripe
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from billing import lifecycle, publishing
from billing.models import Price
from tests.people import Person

pytestmark = [pytest.mark.real_stripe, pytest.mark.django_db]

REAL_KEY = os.environ.get("REAL_STRIPE_SECRET_KEY", "")


@pytest.fixture
def client(
    request: pytest.FixtureRequest, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> stripe.StripeClient:
    """Stripe, where a key is given, or the stand-in."""
    if not REAL_KEY:
        request.getfixturevalue("stripe_stand_in")
        found: stripe.StripeClient = request.getfixturevalue("stripe_client")
        return found
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = REAL_KEY
    monkeypatch.setattr(stripe, "api_base", settings.STRIPE_API_BASE)
    return stripe.StripeClient(REAL_KEY, stripe_version=settings.STRIPE_API_VERSION)


@pytest.fixture
def customer(client: stripe.StripeClient, bob: Person) -> Generator[str, None, None]:
    """bob's, with a card; deleted at the end with all that it has."""
    publishing.reflect(publishing.publish())
    id = lifecycle.ensure_customer(bob.subscription, now=clock.now())
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": id})
    client.v1.customers.update(id, {"invoice_settings": {"default_payment_method": method.id}})
    yield id
    client.v1.customers.delete(id)


@pytest.fixture
def basic(client: stripe.StripeClient, customer: str, bob: Person) -> Person:
    """bob on BASIC, as a paid Checkout leaves him."""
    price = Price.objects.get(plan__slug="basic", interval="month").stripe_price_id
    client.v1.subscriptions.create({"customer": customer, "items": [{"price": str(price)}]})
    lifecycle.look(bob.subscription, now=clock.now())
    return bob


def seen(person: Person) -> tuple[str, str, bool, str | None]:
    shape = person.get("/billing/subscription").json()
    return shape["plan"], shape["status"], shape["cancel_at_period_end"], shape["pending_plan"]


def test_plans_are_published_once(client: stripe.StripeClient) -> None:
    publishing.publish()
    assert {outcome.how for outcome in publishing.publish()} <= {"found"}
    assert not list(publishing.unpublished())


def test_a_checkout_session_and_its_handing_back(customer: str, bob: Person) -> None:
    first = bob.post("/billing/create-checkout-session", {"plan": "pro"})
    assert first.status_code == 200, first.content
    assert first.json()["checkout_url"].startswith("http")
    assert bob.post("/billing/create-checkout-session", {"plan": "pro"}).json() == first.json()
    other = bob.post("/billing/create-checkout-session", {"plan": "basic", "interval": "year"})
    assert other.json()["checkout_session_id"] != first.json()["checkout_session_id"]


def test_a_portal_session(customer: str, bob: Person) -> None:
    answer = bob.post("/billing/create-portal-session")
    assert answer.status_code == 200, answer.content
    assert answer.json()["portal_url"].startswith("http")


def test_what_is_bought_is_seen(basic: Person) -> None:
    assert seen(basic) == ("basic", "active", False, None)
    assert basic.subscription.is_period_paid
    (invoice,) = basic.get("/billing/invoices").json()["results"]
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("paid", 1900, "usd")
    assert basic.post("/billing/create-checkout-session", {"plan": "pro"}).json()["code"] == "already_subscribed"


def test_an_upgrade_costs_what_its_preview_said(basic: Person) -> None:
    preview = basic.post("/billing/preview-change", {"plan": "pro"}).json()
    answer = basic.post("/billing/change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.content
    assert seen(basic) == ("pro", "active", False, None)
    charged = basic.get("/billing/invoices").json()["results"][0]["total"]
    assert abs(charged - preview["amount_due"]) <= 1


def test_a_downgrade_is_scheduled_and_taken_back(basic: Person) -> None:
    assert basic.post("/billing/change-plan", {"plan": "pro"}).status_code == 200
    preview = basic.post("/billing/preview-change", {"plan": "basic"}).json()
    assert (preview["effective"], preview["amount_due"]) == ("period_end", 1900)
    assert basic.post("/billing/change-plan", {"plan": "basic"}).json()["pending_plan"] == "basic"
    assert seen(basic) == ("pro", "active", False, "basic")
    assert basic.post("/billing/resume").status_code == 200
    assert seen(basic) == ("pro", "active", False, None)


def test_a_cancel_is_scheduled_and_taken_back(basic: Person) -> None:
    assert basic.post("/billing/cancel", {"reason": "A test"}).status_code == 200
    assert seen(basic) == ("basic", "active", True, None)
    assert basic.post("/billing/resume").status_code == 200
    assert seen(basic) == ("basic", "active", False, None)


def test_a_card_that_fails_keeps_the_old_plan(client: stripe.StripeClient, customer: str, basic: Person) -> None:
    method = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
    answer = basic.post("/billing/change-plan", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (402, "payment_failed")
    assert answer.json()["payment_url"].startswith("http")
    assert seen(basic) == ("basic", "active", False, None)


def test_paused_collection_and_a_refund(basic: Person, staff: Person) -> None:
    lifecycle.pause_collection(basic.subscription, until=None, reason="Test", actor=staff.user, now=clock.now())
    assert seen(basic)[0] == "free"
    lifecycle.resume_collection(basic.subscription, reason="Test", actor=staff.user, now=clock.now())
    assert seen(basic)[0] == "basic"
    (invoice,) = basic.get("/billing/invoices").json()["results"]
    given = lifecycle.refund(
        basic.subscription, invoice=invoice["id"], amount=700, reason="Test", actor=staff.user, now=clock.now()
    )
    assert given == 700
