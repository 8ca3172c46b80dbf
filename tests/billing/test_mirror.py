"""The mirror: what was fetched is stored once, calls nobody while it is stored, and links by our word alone."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from djstripe import models as djstripe
from djstripe.models import (
    Customer,
    Invoice,
    LineItem,
    PaymentMethod,
    Product,
    StripeModel,
    Subscription,
    SubscriptionSchedule,
)

from billing import mirror
from tests.fake_stripe.running import API_KEY, StandIn
from tests.people import Person
from tests.threads import at_once

type Calls = Callable[[], list[str]]
type Statements = Callable[[], CaptureQueriesContext]

pytestmark = pytest.mark.django_db


@dataclass
class Account:
    """A customer at Stripe with a card and a paid subscription that changes plan at the period's end."""

    client: stripe.StripeClient
    prices: dict[str, str] = field(default_factory=dict)
    customer: str = ""
    subscription: str = ""

    def __post_init__(self) -> None:
        for name, amount in (("Basic", 1900), ("Pro", 4900)):
            product = self.client.v1.products.create({"name": name})
            price = self.client.v1.prices.create(
                {
                    "product": product.id,
                    "currency": "usd",
                    "unit_amount": amount,
                    "recurring": {"interval": "month"},
                }
            )
            self.prices[name] = price.id
        self.customer = self.client.v1.customers.create({"email": "alice@example.com", "name": "Alice"}).id
        card = self.client.v1.payment_methods.attach("pm_card_visa", {"customer": self.customer})
        self.client.v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": card.id}})
        self.subscription = self.client.v1.subscriptions.create(
            {"customer": self.customer, "items": [{"price": self.prices["Pro"]}]}
        ).id

    def schedule_downgrade(self) -> None:
        schedule = self.client.v1.subscription_schedules.create({"from_subscription": self.subscription})
        now, after = [{"items": [{"price": self.prices[name], "quantity": 1}]} for name in ("Pro", "Basic")]
        period: Any = {"start_date": schedule.phases[0].start_date, "end_date": schedule.phases[0].end_date}
        phases: Any = [{**now, **period}, {**after, "duration": {"interval": "month", "interval_count": 1}}]
        self.client.v1.subscription_schedules.update(schedule.id, {"phases": phases})

    def fetch(self) -> list[stripe.StripeObject]:
        """What a sync fetches: the customer, its subscriptions, their schedules, its invoices."""
        v1 = self.client.v1
        return [
            v1.customers.retrieve(self.customer),
            *v1.subscriptions.list({"customer": self.customer}).data,
            *v1.subscription_schedules.list({"customer": self.customer}).data,
            *v1.invoices.list({"customer": self.customer, "expand": INVOICE_PARTS}).data,
        ]


INVOICE_PARTS = ["data.discounts", "data.lines.data.discounts"]


@pytest.fixture
def account(stripe_client: stripe.StripeClient) -> Account:
    return Account(stripe_client)


def rows() -> dict[str, int]:
    """How many each table of dj-stripe's holds, of those that hold any."""
    found = {model.__name__: model.objects.count() for model in mirror.MODELS.values()}
    found |= {"APIKey": djstripe.APIKey.objects.count(), "Account": djstripe.Account.objects.count()}
    found |= {"LineItem": LineItem.objects.count()}
    return {name: count for name, count in found.items() if count}


def test_a_customers_objects_are_stored_once(account: Account, stripe_calls: Calls, statements: Statements) -> None:
    account.schedule_downgrade()
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    asked = stripe_calls()
    with transaction.atomic():
        mirror.store(objects, api_key=API_KEY)
    assert stripe_calls() == asked

    subscription = Subscription.objects.get()
    assert (subscription.id, subscription.customer.id) == (account.subscription, account.customer)
    assert subscription.status == "active"
    assert SubscriptionSchedule.objects.get().subscription == subscription
    assert Customer.objects.get().default_payment_method == PaymentMethod.objects.get()
    invoice = Invoice.objects.get()
    assert (invoice.customer.id, invoice.stripe_data["status"], invoice.stripe_data["total"]) == (
        account.customer,
        "paid",
        4900,
    )
    stored = rows()
    assert stored == {
        **dict.fromkeys(("APIKey", "Account", "Customer", "PaymentMethod", "Subscription", "SubscriptionItem"), 1),
        **dict.fromkeys(("SubscriptionSchedule", "Invoice", "LineItem", "Price", "Product"), 1),
    }

    with statements() as seen:
        mirror.prepare(objects, api_key=API_KEY)
        mirror.store(objects, api_key=API_KEY)
    assert [query["sql"] for query in seen if not query["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))] == []
    assert len(seen) <= 11
    assert (rows(), stripe_calls()) == (stored, asked)


def test_a_customer_and_a_subscription_cost_few_statements(account: Account, statements: Statements) -> None:
    objects = account.fetch()[:2]
    mirror.prepare(objects, api_key=API_KEY)
    with statements() as first:
        mirror.store(objects, api_key=API_KEY)
    account.client.v1.customers.update(account.customer, {"name": "Alice B."})
    account.client.v1.subscriptions.update(account.subscription, {"metadata": {"seen": "yes"}})
    changed = account.fetch()[:2]
    with statements() as again:
        mirror.store(changed, api_key=API_KEY)
    of_keys = [query["sql"] for query in first if 'FROM "djstripe_apikey"' in query["sql"]]
    assert len(of_keys) == 1
    assert len(first) <= 35
    assert len(again) <= 20


def test_what_changed_is_written_and_what_a_change_names_is_fetched_before(
    account: Account, stripe_calls: Calls
) -> None:
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    first = PaymentMethod.objects.get()
    card = account.client.v1.payment_methods.attach("pm_card_mastercard", {"customer": account.customer})
    account.client.v1.customers.update(account.customer, {"invoice_settings": {"default_payment_method": card.id}})
    account.client.v1.subscriptions.update(account.subscription, {"cancel_at_period_end": True})
    changed = account.fetch()
    mirror.prepare(changed, api_key=API_KEY)
    asked = stripe_calls()
    mirror.store(changed, api_key=API_KEY)
    assert Subscription.objects.get().stripe_data["cancel_at_period_end"] is True
    assert Customer.objects.get().default_payment_method.id == card.id
    assert set(PaymentMethod.objects.values_list("id", flat=True)) == {first.id, card.id}
    assert stripe_calls() == asked


def test_a_card_and_the_customer_whose_default_it_is_are_stored_together(account: Account, stripe_calls: Calls) -> None:
    customer = account.client.v1.customers.retrieve(account.customer)
    (card,) = account.client.v1.payment_methods.list({"customer": account.customer}).data
    mirror.prepare([card, customer], api_key=API_KEY)
    asked = stripe_calls()
    mirror.store([card, customer], api_key=API_KEY)
    stored = PaymentMethod.objects.get()
    assert (stored.id, stored.customer, stored.stripe_data["card"]["last4"]) == (
        card.id,
        Customer.objects.get(),
        "4242",
    )
    assert Customer.objects.get().default_payment_method == stored
    assert stripe_calls() == asked


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [PaymentMethod, Product], ids=lambda model: model.__name__)
def test_two_who_meet_something_first_both_bring_it(account: Account, model: type[StripeModel]) -> None:
    """A return page beside a delivery: both have looked, and seen that it is not there."""
    mirror.prepare(api_key=API_KEY)
    have_looked = threading.Barrier(2, timeout=30)
    held = account.fetch() if model is PaymentMethod else account.client.v1.prices.list().data

    def bring() -> None:
        has_waited = False

        def wait(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            nonlocal has_waited
            if not has_waited and sql.startswith(f'INSERT INTO "{model._meta.db_table}"'):
                has_waited = True
                have_looked.wait()
            return execute(sql, *rest)

        with connection.execute_wrapper(wait):
            mirror.prepare(held, api_key=API_KEY)
        assert has_waited

    assert at_once([bring, bring]) == [None, None]
    assert model.objects.exists()
    for row in model.objects.all():
        assert row.stripe_data["id"] == row.id


def test_a_price_and_its_product_are_stored_without_asking_for_features(account: Account, stripe_calls: Calls) -> None:
    mirror.prepare(api_key=API_KEY)
    prices = account.client.v1.prices.list().data
    products = account.client.v1.products.list().data
    asked = stripe_calls()
    mirror.store([*prices, *products], api_key=API_KEY)
    assert set(Product.objects.values_list("id", flat=True)) == {product.id for product in products}
    assert stripe_calls() == asked


def test_money_that_moved_back_is_stored(account: Account) -> None:
    v1 = account.client.v1
    (charge,) = v1.charges.list({"customer": account.customer}).data
    refund = v1.refunds.create({"charge": charge.id, "amount": 1000})
    invoice = account.fetch()[-1]
    note = v1.credit_notes.create({"invoice": str(invoice["id"]), "amount": 500, "refund_amount": 500})
    objects: list[stripe.StripeObject] = [v1.charges.retrieve(charge.id), refund, note]
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    assert djstripe.Charge.objects.get().customer.id == account.customer
    assert djstripe.Refund.objects.get(id=refund.id).charge == djstripe.Charge.objects.get()


def test_an_invoice_with_a_discount_keeps_its_lines(account: Account) -> None:
    v1 = account.client.v1
    coupon = v1.coupons.create({"percent_off": 25, "duration": "once"})
    v1.invoice_items.create({"customer": account.customer, "amount": 400, "currency": "usd"})
    drawn = v1.invoices.create(
        {
            "customer": account.customer,
            "discounts": [{"coupon": coupon.id}],
            "pending_invoice_items_behavior": "include",
        }
    )
    invoice = v1.invoices.retrieve(drawn.id, {"expand": ["discounts", "lines.data.discounts"]})
    mirror.prepare([invoice], api_key=API_KEY)
    mirror.store([invoice], api_key=API_KEY)
    assert LineItem.objects.count() == len(invoice.lines.data) > 0
    assert Invoice.objects.get().stripe_data["discounts"][0]["object"] == "discount"


def test_a_customer_that_stripe_deleted_is_marked(account: Account) -> None:
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    account.client.v1.customers.delete(account.customer)
    deleted = account.client.v1.customers.retrieve(account.customer)
    mirror.prepare([deleted], api_key=API_KEY)
    mirror.store([deleted], api_key=API_KEY)
    stored = Customer.objects.get()
    assert (stored.deleted, stored.email) == (True, "")
    purged = stored.date_purged
    assert purged is not None
    mirror.store([deleted], api_key=API_KEY)
    assert Customer.objects.get().date_purged == purged


def test_a_deleted_customer_that_was_never_seen_is_stored_and_named_by_its_invoices(account: Account) -> None:
    account.client.v1.customers.delete(account.customer)
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    assert (Customer.objects.get().deleted, Invoice.objects.get().customer.id) == (True, account.customer)


def test_only_attach_links_a_customer_to_a_workspace(account: Account, alice: Person, charlie: Person) -> None:
    v1 = account.client.v1
    v1.customers.update(account.customer, {"metadata": {"djstripe_subscriber": str(charlie.workspace.pk)}})
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    assert Customer.objects.get().subscriber is None
    mirror.attach(account.customer, alice.workspace)
    assert Customer.objects.get().subscriber == alice.workspace
    v1.customers.update(account.customer, {"name": "Alice B."})
    mirror.store([v1.customers.retrieve(account.customer)], api_key=API_KEY)
    assert Customer.objects.get().subscriber == alice.workspace


def test_a_checkout_session_writes_nothing_back_to_stripe(account: Account, alice: Person, stripe_calls: Calls) -> None:
    session = account.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": account.customer,
            "line_items": [{"price": account.prices["Pro"], "quantity": 1}],
            "metadata": {"djstripe_subscriber": str(alice.workspace.pk)},
            "success_url": "http://127.0.0.1:8000/billing/",
        }
    )
    mirror.prepare([session], api_key=API_KEY)
    asked = stripe_calls()
    mirror.store([session], api_key=API_KEY)
    assert djstripe.Session.objects.get().customer == Customer.objects.get(subscriber=None)
    assert stripe_calls() == asked


def test_what_is_named_and_gone_leaves_the_link_empty(account: Account) -> None:
    card = account.client.v1.payment_methods.list({"customer": account.customer}).data[0]
    objects = account.fetch()[:1]
    account.client.v1.payment_methods.detach(card.id)
    account.client.v1.customers.delete(account.customer)
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    assert Customer.objects.get().id == account.customer


def test_a_restricted_key_that_may_not_ask_for_its_account_mirrors_all_the_same(
    account: Account, stripe_stand_in: StandIn, stripe_calls: Calls
) -> None:
    stripe_stand_in.control("POST", "faults", path="GET /v1/account$", status=403, times=9)
    objects = account.fetch()
    mirror.prepare(objects, api_key=API_KEY)
    mirror.store(objects, api_key=API_KEY)
    assert Subscription.objects.get().djstripe_owner_account.id == mirror.UNKNOWN_ACCOUNT
    mirror.prepare(objects, api_key=API_KEY)
    assert stripe_calls().count("GET /v1/account") == 1
    assert API_KEY not in djstripe.APIKey.objects.get().secret
