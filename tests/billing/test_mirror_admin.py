"""Stripe's objects in the admin: every page opens, nothing is written from there, and no key is shown."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.contrib import admin
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from djstripe.models import (
    APIKey,
    Customer,
    IdempotencyKey,
    Invoice,
    Price,
    StripeModel,
    WebhookEndpoint,
    WebhookEventTrigger,
)

from billing import mirror
from billing.admin.mirror import COLUMNS
from tests.billing.test_mirror import Account
from tests.fake_stripe.running import API_KEY, StandIn
from tests.people import Person
from tests.test_admin import listed, shown

type Statements = Callable[[], CaptureQueriesContext]

MODELS: list[Any] = [model for model in admin.site._registry if model._meta.app_label == "djstripe"]


@pytest.fixture
def desk(staff: Person) -> Client:
    client = Client()
    client.force_login(staff.user)
    return client


def mirrored(client: stripe.StripeClient, stand_in: StandIn) -> Account:
    """Something of every kind that has a page."""
    account = Account(client)
    v1 = client.v1
    (charge,) = v1.charges.list({"customer": account.customer, "expand": ["data.balance_transaction"]}).data
    refund = v1.refunds.create({"charge": charge.id, "amount": 100})
    stand_in.control("POST", "disputes", charge=charge.id, outcome="needs_response")
    coupon = v1.coupons.create({"percent_off": 25, "duration": "once", "name": "A quarter"})
    code: Any = {"promotion": {"type": "coupon", "coupon": coupon.id}}
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": account.customer,
            "line_items": [{"price": account.prices["Pro"], "quantity": 1}],
            "success_url": "http://127.0.0.1:8000/billing/",
        }
    )
    account.schedule_downgrade()
    balance_transaction: Any = charge.balance_transaction
    objects: list[stripe.StripeObject] = [
        *account.fetch(),
        v1.charges.retrieve(charge.id),
        balance_transaction,
        refund,
        *v1.payment_intents.list({"customer": account.customer}).data,
        *v1.disputes.list({"charge": charge.id}).data,
        *v1.prices.list().data,
        coupon,
        v1.promotion_codes.create(code),
        session,
    ]
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    return account


@pytest.mark.django_db
def test_every_page_opens_in_a_constant_number_of_statements(
    desk: Client,
    alice: Person,
    bob: Person,
    stripe_client: stripe.StripeClient,
    stripe_stand_in: StandIn,
    statements: Statements,
) -> None:
    def count(model: type[StripeModel]) -> int:
        with statements() as seen:
            assert desk.get(listed(model)).status_code == 200
        return len(seen)

    mirror.attach(mirrored(stripe_client, stripe_stand_in).customer, alice.workspace)
    assert [model.__name__ for model in MODELS if not model.objects.exists()] == []
    before = {model: count(model) for model in MODELS}
    for model in MODELS:
        assert desk.get(shown(model.objects.all()[0])).status_code == 200
    mirror.attach(mirrored(stripe_client, stripe_stand_in).customer, bob.workspace)
    assert {model: count(model) for model in MODELS} == before


@pytest.mark.django_db
def test_an_invoice_says_whose_it_is_and_what_it_comes_to(
    desk: Client, alice: Person, stripe_client: stripe.StripeClient, stripe_stand_in: StandIn
) -> None:
    account = mirrored(stripe_client, stripe_stand_in)
    mirror.attach(account.customer, alice.workspace)
    invoice = Invoice.objects.get()
    for page in (desk.get(listed(Invoice)), desk.get(shown(invoice))):
        text = page.content.decode()
        for part in (invoice.stripe_data["number"], account.customer, alice.workspace.name, "paid", "49.00 USD"):
            assert part in text
        assert not re.search(r"4,?900|&quot;amount_due|1[79]\d{8}", text)

    def found(query: str) -> bool:
        return invoice.id in desk.get(listed(Invoice), {"q": query}).content.decode()

    assert found(invoice.stripe_data["number"])
    assert found("alice@example.com")
    assert found(alice.workspace.name)
    assert not found("somebody-else")
    page = desk.get(listed(Customer), {"q": alice.workspace.name})
    assert account.customer in page.content.decode()


@pytest.mark.django_db
def test_amounts_have_the_exponent_of_their_currency(desk: Client, stripe_client: stripe.StripeClient) -> None:
    product = stripe_client.v1.products.create({"name": "Basic"})
    prices = [
        stripe_client.v1.prices.create(
            {"product": product.id, "currency": currency, "unit_amount": 2900, "recurring": {"interval": "month"}}
        )
        for currency in ("jpy", "kwd", "eur")
    ]
    mirror.prepare(prices, api_key=API_KEY)
    mirror.store(prices, api_key=API_KEY)
    text = desk.get(listed(Price)).content.decode()
    for amount in ("2,900 JPY", "2.900 KWD", "29.00 EUR"):
        assert f">{amount}<" in text


@pytest.mark.django_db
def test_nothing_is_written_from_there(
    desk: Client, stripe_client: stripe.StripeClient, stripe_stand_in: StandIn, stripe_calls: Callable[[], list[str]]
) -> None:
    mirrored(stripe_client, stripe_stand_in)
    asked = stripe_calls()
    for model in MODELS:
        row = model.objects.all()[0]
        before = model.objects.values().get(pk=row.pk)
        assert desk.get(listed(model).rstrip("/") + "/add/").status_code == 403
        assert desk.post(shown(row), {"id": "another"}).status_code == 403
        assert desk.post(shown(row).replace("change", "delete"), {"post": "yes"}).status_code == 403
        for action in ("delete_selected", "_resync_instances", "_sync_all_instances", "_cancel"):
            desk.post(listed(model), {"action": action, "_selected_action": [row.pk], "post": "yes"})
        assert model.objects.values().get(pk=row.pk) == before
    assert stripe_calls() == asked


@pytest.mark.parametrize("model", [APIKey, IdempotencyKey, WebhookEndpoint, WebhookEventTrigger])
def test_keys_and_endpoints_have_no_page(model: Any) -> None:
    assert not admin.site.is_registered(model)
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:djstripe_{model._meta.model_name}_changelist")


def test_what_has_a_page_is_what_is_mirrored() -> None:
    assert set(MODELS) == set(COLUMNS)
    assert {model.__name__ for model in COLUMNS} - {model.__name__ for model in mirror.MODELS.values()} == {"Account"}
