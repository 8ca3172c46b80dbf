"""The pages of plans where Stripe is set up: the dry run, what it comes to, and what is said while Stripe is away."""

from typing import Any

import pytest
import stripe
from django.urls import reverse
from pytest_django import Settings as SettingsWrapper

from accounts.idempotency import once_token
from billing import roles
from billing.models import AuditEntry, Plan, Price
from tests.billing.stripe.payer import Payer
from tests.billing.stripe.test_publishing import ids, own
from tests.desk import Desk, employ
from tests.fake_stripe.running import StandIn
from tests.people import Person

pytestmark = pytest.mark.django_db

PUBLISH = "/admin/billing/plan/publish/"


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


def at(act: str, slug: str) -> str:
    return reverse(f"admin:billing_plan_{act}", args=[Plan.objects.get(slug=slug).pk])


def send(desk: Desk, path: str, **fields: Any) -> Any:
    return desk.client.post(path, {"reason": "A test of it", "once": once_token(), **fields})


def test_the_dry_run_shows_what_would_be_made_and_makes_nothing(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, billing: Desk
) -> None:
    page = billing.get(PUBLISH).content.decode()
    assert page.count(">To be made</span>") == 2 + 4
    for text in ("AI-Manus BASIC", "190.00 USD a year", "AI-Manus PRO", "The product"):
        assert text in page
    assert (stripe_client.v1.products.list().data, set(ids().values())) == ([], {None})


def test_what_the_dry_run_showed_is_done_once(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, billing: Desk, bob: Person
) -> None:
    token = once_token()
    for _ in range(2):
        answer = send(billing, PUBLISH, once=token)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/billing/plan/")
    listed = billing.get("/admin/billing/plan/").content.decode()
    assert f"AI-Manus BASIC 19.00 USD a month: {ids()[('basic', 'month')]} (made)" in listed
    assert "Not at Stripe" not in listed
    assert len(stripe_client.v1.prices.list().data) == 4
    entries = AuditEntry.objects.filter(action="publish price")
    assert {(one.actor_name, one.reason) for one in entries} == {("billing@staff.example", "A test of it")}
    assert entries.count() == 4
    page = billing.get(PUBLISH).content.decode()
    assert "Nothing: all that is sold is at Stripe" in page
    assert str(ids()[("pro", "year")]) in page
    assert bob.post("/billing/create-checkout-session", {"plan": "pro"}).status_code == 200


def test_what_is_at_stripe_already_is_said_to_be_found(shop: StandIn, billing: Desk) -> None:
    id = ids()[("basic", "month")]
    Price.objects.filter(stripe_price_id=id).update(stripe_price_id=None, stripe_product_id="")
    page = billing.get(PUBLISH).content.decode()
    assert (page.count(">To be made</span>"), page.count(">There, to be linked</span>"), f"{id}" in page) == (
        0,
        1,
        True,
    )


def test_another_name_is_shown_and_changed_at_stripe(
    shop: StandIn, stripe_client: stripe.StripeClient, billing: Desk
) -> None:
    Plan.objects.filter(slug=Plan.PRO).update(name="AI-Manus GRAND")
    page = billing.get(PUBLISH).content.decode()
    assert "from AI-Manus PRO: 5,000 agent runs per month" in page
    assert send(billing, PUBLISH).status_code == 302
    assert stripe_client.v1.products.retrieve("ai_manus_pro").name == "AI-Manus GRAND"


def test_a_price_is_set_here_and_at_stripe_and_customers_see_it(
    shop: StandIn, stripe_client: stripe.StripeClient, billing: Desk, subscriber: Payer, other: Payer
) -> None:
    fields = {"interval": "month", "currency": "USD", "amount": "21.00"}
    looked = send(billing, at("price", "basic"), step="look", **fields)
    page = looked.content.decode()
    for text in ("19.00 USD a month → 21.00 USD a month", "1 workspace, and goes on paying it", "A new price is made."):
        assert text in page
    assert 2100 not in [one.unit_amount for one in stripe_client.v1.prices.list().data]
    answer = send(billing, at("price", "basic"), step="do", seen=looked.context["seen"], **fields)
    assert answer.headers["Location"] == at("change", "basic")
    made = stripe_client.v1.prices.retrieve(str(ids()[("basic", "month")]))
    assert (made.unit_amount, made.product) == (2100, "ai_manus_basic")
    assert b"$21" in other.person.client.get("/pricing", headers={"Accept": "text/html"}).content
    other.buy("basic")
    assert [one.total for one in other.invoices] == [2100]
    # Who has the old one is told of it as theirs, and goes on with it.
    assert subscriber.row.paid_price is not None
    assert subscriber.row.paid_price.unit_amount == 1900
    assert subscriber.sees()["plan"] == "basic"


def test_a_price_is_linked_and_one_that_does_not_fit_is_not(
    shop: StandIn, stripe_client: stripe.StripeClient, billing: Desk
) -> None:
    fits, other = own(stripe_client, 5900), own(stripe_client, 6900)
    fields = {"interval": "month", "currency": "USD", "amount": "59.00"}
    before = ids()
    refused = send(billing, at("price", "pro"), step="look", stripe_price_id=other.id, **fields)
    assert refused.status_code == 409
    assert "is 69.00 USD a month at Stripe, and AI-Manus PRO 59.00 USD a month here" in refused.content.decode()
    assert ids() == before
    looked = send(billing, at("price", "pro"), step="look", stripe_price_id=fits.id, **fields)
    seen = looked.context["seen"]
    # Not another one than was looked at.
    send(billing, at("price", "pro"), step="do", seen=seen, stripe_price_id=other.id, **fields)
    assert ids() == before
    send(billing, at("price", "pro"), step="do", seen=seen, stripe_price_id=fits.id, **fields)
    assert ids()[("pro", "month")] == fits.id


def test_while_stripe_is_away_the_pages_say_so_and_nothing_changes(
    shop: StandIn, billing: Desk, settings: SettingsWrapper
) -> None:
    settings.STRIPE_RETRIES = 0
    Price.objects.filter(plan__slug="pro").update(stripe_price_id=None, stripe_product_id="")
    shop.control("POST", "faults", path=".", status=500, times=99)
    before = [ids(), Price.objects.count()]
    page = billing.get(PUBLISH)
    assert (page.status_code, "cannot be reached just now" in page.content.decode()) == (200, True)
    fields = {"interval": "month", "currency": "USD", "amount": "21.00"}
    for path, more in ((PUBLISH, {}), (at("price", "basic"), fields | {"step": "look"})):
        answer = send(billing, path, **more)
        assert answer.status_code == 503
        assert "cannot be reached just now" in answer.content.decode()
    assert [ids(), Price.objects.count()] == before
    assert not AuditEntry.objects.filter(action__in=["publish price", "set price"]).exists()


def test_a_hidden_plan_whose_price_waits_is_published_as_it_is_shown(stripe_stand_in: StandIn, billing: Desk) -> None:
    Plan.objects.filter(slug=Plan.PRO).update(is_public=False)
    page = billing.get(at("show", "pro")).content.decode()
    assert "its prices are published to Stripe: 49.00 USD a month, 490.00 USD a year" in page
    assert send(billing, at("show", "pro")).status_code == 302
    assert None not in [id for (slug, _), id in ids().items() if slug == "pro"]
