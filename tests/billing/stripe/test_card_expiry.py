"""When the card that pays is no longer good, and how open payments stand: fetched with all else of a customer."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from djstripe.models import PaymentIntent, PaymentMethod, Subscription

from accounts import clock
from billing import drift, lifecycle
from billing.gateway import StripeUnavailable
from tests.billing.stripe.payer import ASKS_EACH_TIME, Payer


def expires(payer: Payer, month: int, year: int) -> str:
    """The present card, by another date; its id."""
    card = payer.one.default_payment_method
    assert isinstance(card, str)
    payer.client.v1.payment_methods.update(card, {"card": {"exp_month": month, "exp_year": year}})
    payer.sync()
    return card


def turn_to(payer: Payer, name: str) -> None:
    """The customer's default; the subscription has none of its own."""
    method = payer.client.v1.payment_methods.attach(name, {"customer": payer.customer})
    payer.client.v1.customers.update(payer.customer, {"invoice_settings": {"default_payment_method": method.id}})
    payer.client.v1.payment_methods.update(method.id, {"card": {"exp_month": 2, "exp_year": 2031}})
    payer.client.v1.subscriptions.update(payer.one.id, {"default_payment_method": ""})
    payer.sync()


@pytest.mark.parametrize(
    ("month", "year", "first"), [(11, 2030, (2030, 12)), (12, 2030, (2031, 1)), (1, 2031, (2031, 2))]
)
def test_a_card_is_good_to_the_end_of_its_month(pro: Payer, month: int, year: int, first: tuple[int, int]) -> None:
    expires(pro, month, year)
    assert pro.row.card_expires_at == datetime(*first, 1, tzinfo=UTC)


def test_without_one_of_its_own_the_subscription_is_paid_by_its_customers(pro: Payer) -> None:
    turn_to(pro, "pm_card_mastercard")
    assert pro.row.card_expires_at == datetime(2031, 3, 1, tzinfo=UTC)
    pro.card("pm_card_visa")
    pro.sync()
    assert pro.row.card_expires_at == datetime(2035, 1, 1, tzinfo=UTC)


def test_nothing_expires_where_nothing_pays(pro: Payer) -> None:
    pro.client.v1.customers.update(pro.customer, {"invoice_settings": {"default_payment_method": ""}})
    pro.client.v1.subscriptions.update(pro.one.id, {"default_payment_method": ""})
    pro.sync()
    assert pro.row.card_expires_at is None
    pro.card("pm_card_visa")
    pro.sync()
    assert pro.row.card_expires_at is not None
    pro.client.v1.subscriptions.cancel(pro.one.id)
    pro.sync()
    assert pro.row.card_expires_at is None


def test_the_mirror_has_the_ids_and_the_card_as_it_is_now(pro: Payer) -> None:
    card = expires(pro, 3, 2029)
    row = Subscription.objects.get(id=pro.one.id)
    assert (row.stripe_data["default_payment_method"], row.stripe_data["customer"]) == (card, pro.customer)
    assert PaymentMethod.objects.get(id=card).stripe_data["card"]["exp_year"] == 2029
    assert drift.differences_of(pro.row) == []


def test_a_new_card_costs_no_call_of_its_own(pro: Payer, calls: Callable[[], list[str]]) -> None:
    pro.sync()
    calls()
    pro.sync()
    assert len(calls()) == 5


def test_a_declined_payment_is_known_by_its_charge(pro: Payer, calls: Callable[[], list[str]]) -> None:
    pro.card("pm_card_chargeCustomerFail")
    pro.travel(days=31, hours=2)
    pro.sync()
    calls()
    pro.sync()
    assert len(calls()) == 5
    (intent,) = PaymentIntent.objects.exclude(stripe_data__last_payment_error=None)
    assert intent.stripe_data["last_payment_error"]["message"] == "Your card was declined."


def test_a_payment_that_came_to_no_charge_is_asked_for(pro: Payer, calls: Callable[[], list[str]]) -> None:
    pro.card("pm_card_authenticationRequired")
    pro.travel(days=31, hours=2)
    pro.sync()
    calls()
    pro.sync()
    assert len(calls()) == 6
    (intent,) = PaymentIntent.objects.filter(stripe_data__status="requires_action")
    open_one = next(one for one in pro.invoices if one.status == "open")
    pro.stand_in.control("POST", f"invoices/{open_one.id}/pay", card=ASKS_EACH_TIME, authentication="pass")
    pro.sync()
    assert pro.row.stripe_status == "active"
    assert intent.customer.id == pro.customer


def test_where_that_cannot_be_asked_nothing_is_written(pro: Payer) -> None:
    pro.card("pm_card_authenticationRequired")
    pro.travel(days=31, hours=2)
    before: Any = pro.row.facts()
    pro.stand_in.control("POST", "faults", path="GET /v1/payment_intents", status=500, times=3)
    with pytest.raises(StripeUnavailable):
        lifecycle.look(pro.row, now=clock.now())
    assert pro.row.facts() == before
