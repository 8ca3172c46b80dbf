"""Checkout Sessions, paid as the page pays them."""

from typing import Any

import pytest
import stripe

from tests.fake_stripe.running import Refused, StandIn
from tests.test_fake_stripe.conftest import Shop, dict_of


def test_paying_starts_a_subscription_and_tells_of_it(shop: Shop) -> None:
    session = shop.checkout(
        client_reference_id="w-1", metadata={"a": "1"}, subscription_data={"metadata": {"workspace": "w-1"}}
    )
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 1900)
    shop.stand_in.pay(session.id)
    session = shop.client.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items", "subscription"]})
    assert (session.status, session.payment_status, session.url) == ("complete", "paid", None)
    assert isinstance(session.subscription, stripe.Subscription)
    assert session.subscription.status == "active"
    assert dict_of(session.subscription.metadata) == {"workspace": "w-1"}
    assert session.line_items is not None
    assert session.line_items.data[0].amount_total == 1900
    types = shop.event_types()
    assert shop.client.v1.checkout.sessions.line_items.list(session.id).data[0].quantity == 1
    order = ["payment_method.attached", "customer.subscription.created", "invoice.finalized", "charge.succeeded"]
    order += ["invoice.paid", "invoice.payment_succeeded", "customer.subscription.updated"]
    assert [each for each in types if each in order] == order
    assert types[-1] == "checkout.session.completed"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("4000000000000002", "generic_decline"),
        ("4000000000009995", "insufficient_funds"),
        ("4000 0000 0000 0341", "generic_decline"),
        ("pm_card_chargeCustomerFail", "generic_decline"),
    ],
)
def test_a_declined_card_leaves_the_session_open_and_nothing_else(shop: Shop, card: str, code: str) -> None:
    session = shop.checkout()
    with pytest.raises(Refused) as declined:
        shop.stand_in.pay(session.id, card)
    assert (declined.value.status, declined.value.error["decline_code"]) == (402, code)
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.client.v1.subscriptions.list({"customer": shop.customer, "status": "all"}).data == []
    shop.stand_in.pay(session.id, "pm_card_visa")
    assert len(shop.client.v1.subscriptions.list({"customer": shop.customer}).data) == 1


def test_authentication_passes_or_fails_and_holds_for_renewals(shop: Shop) -> None:
    session = shop.checkout()
    with pytest.raises(Refused, match="authentication failed"):
        shop.stand_in.pay(session.id, "4000002500003155", authentication="fail")
    paid = shop.stand_in.pay(session.id, "4000002500003155")
    shop.stand_in.advance(days=32)
    assert shop.subscription(paid["subscription"]).status == "active"
    assert len(shop.client.v1.invoices.list({"status": "paid"}).data) == 2


def test_a_session_expires_by_hand_and_by_itself(shop: Shop) -> None:
    by_hand, by_itself = shop.checkout(), shop.checkout()
    assert shop.client.v1.checkout.sessions.expire(by_hand.id).status == "expired"
    shop.stand_in.advance(hours=24, seconds=5)
    assert shop.client.v1.checkout.sessions.retrieve(by_itself.id).status == "expired"
    assert shop.event_types().count("checkout.session.expired") == 2
    with pytest.raises(Refused, match="expired"):
        shop.stand_in.pay(by_itself.id)
    assert shop.client.v1.checkout.sessions.list({"customer": shop.customer, "status": "open"}).data == []


def test_a_trial_asks_for_a_card_and_charges_it_later(shop: Shop) -> None:
    session = shop.checkout(subscription_data={"trial_period_days": 14})
    assert session.amount_total == 0
    paid = shop.stand_in.pay(session.id, "4000000000000341")
    assert paid["payment_status"] == "no_payment_required"
    assert shop.subscription(paid["subscription"]).status == "trialing"
    shop.stand_in.advance(days=14, hours=2)
    assert shop.subscription(paid["subscription"]).status == "past_due"


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "active"), ("failed", "past_due")])
def test_a_payment_that_is_delayed_is_told_of_later(shop: Shop, outcome: str, status: str) -> None:
    session = shop.checkout()
    paid = shop.stand_in.pay(session.id, is_delayed=True)
    assert (paid["status"], paid["payment_status"]) == ("complete", "unpaid")
    subscription = shop.subscription(paid["subscription"])
    assert (subscription.status, shop.latest_invoice(subscription).status) == ("active", "open")
    settled = shop.stand_in.control("POST", f"checkout/{session.id}/settle", outcome=outcome)
    assert settled["payment_status"] == ("paid" if outcome == "succeeded" else "unpaid")
    assert shop.subscription(subscription.id).status == status
    assert shop.event_types()[-1] == f"checkout.session.async_payment_{outcome}"


def test_a_promotion_code_is_taken_off(shop: Shop) -> None:
    coupon = shop.client.v1.coupons.create({"percent_off": 25, "duration": "once"})
    code = shop.client.v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "AUTUMN"}
    )
    session = shop.checkout(allow_promotion_codes=True)
    with pytest.raises(Refused, match="code is invalid"):
        shop.stand_in.pay(session.id, promotion_code="WINTER")
    paid = shop.stand_in.pay(session.id, promotion_code="autumn")
    assert (paid["amount_total"], paid["total_details"]["amount_discount"]) == (1425, 475)
    shown = shop.client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["line_items.data.discounts", "total_details.breakdown"]}
    )
    assert shown.total_details is not None
    assert shown.total_details.breakdown is not None
    assert [each.amount for each in shown.total_details.breakdown.discounts] == [475]
    assert shown.line_items is not None
    assert shown.line_items.data[0].discounts is not None
    assert shown.line_items.data[0].discounts[0].discount.promotion_code == code.id
    invoice = shop.latest_invoice(shop.subscription(paid["subscription"]))
    full = shop.client.v1.invoices.retrieve(invoice.id, {"expand": ["discounts", "lines.data.discounts"]})
    assert full.discounts[0].source.coupon == coupon.id  # type: ignore[union-attr]
    assert (invoice.total, invoice.subtotal) == (1425, 1900)
    shop.stand_in.advance(days=32)
    assert shop.latest_invoice(shop.subscription(paid["subscription"])).total == 1900
    assert shop.client.v1.promotion_codes.retrieve(code.id).times_redeemed == 1


def test_a_single_payment(shop: Shop) -> None:
    price = shop.client.v1.prices.create({"product": shop.products[0], "currency": "usd", "unit_amount": 500})
    session = shop.checkout(price.id, mode="payment", invoice_creation={"enabled": True})
    paid = shop.stand_in.pay(session.id)
    assert shop.client.v1.payment_intents.retrieve(paid["payment_intent"]).amount_received == 500
    assert shop.client.v1.invoices.retrieve(paid["invoice"]).status == "paid"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"customer_email": "a@example.com"}, "only specify one"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "No such price"),
        ({"automatic_tax": {"enabled": True}}, "valid address"),
        ({"expires_at": 1}, "between 30 minutes and 24 hours"),
        ({"mode": "payment"}, "recurring price"),
    ],
)
def test_what_cannot_be_sold_is_refused(shop: Shop, more: dict[str, Any], message: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message):
        shop.checkout(**more)


def test_automatic_tax_takes_the_address_from_checkout(shop: Shop) -> None:
    session = shop.checkout(automatic_tax={"enabled": True}, customer_update={"address": "auto"})
    shop.stand_in.pay(session.id)
    address = shop.client.v1.customers.retrieve(shop.customer).address
    assert address is not None
    assert address.country == "US"


def test_a_customer_has_one_currency(shop: Shop) -> None:
    shop.stand_in.pay(shop.checkout().id)
    euro = shop.client.v1.prices.create(
        {"product": shop.products[0], "currency": "eur", "unit_amount": 1900, "recurring": {"interval": "month"}}
    )
    with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies"):
        shop.checkout(euro.id)


def test_two_sessions_paid_are_two_subscriptions(shop: Shop, stand_in: StandIn) -> None:
    one, other = shop.checkout(), shop.checkout(shop.pro)
    stand_in.pay(one.id)
    stand_in.pay(other.id)
    assert len(shop.client.v1.subscriptions.list({"customer": shop.customer}).data) == 2
