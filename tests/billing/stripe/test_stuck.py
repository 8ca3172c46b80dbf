"""Subscriptions that are neither running nor ended: paused, incomplete, unpaid."""

from typing import Any

import pytest

from accounts import clock
from billing import lifecycle
from tests.billing.stripe.payer import Payer


def begin(payer: Payer, **more: Any) -> str:
    """A subscription to BASIC that staff made at Stripe."""
    if payer.row.stripe_customer_id is None:
        lifecycle.ensure_customer(payer.row, now=clock.now())
    price = payer.client.v1.prices.list({"lookup_keys": ["ai_manus_basic_month_usd"]}).data[0]
    params: Any = {"customer": payer.customer, "items": [{"price": price.id}], **more}
    return payer.client.v1.subscriptions.create(params).id


@pytest.fixture
def paused(payer: Payer) -> Payer:
    """After a trial at Stripe that ended without a card."""
    trial = {"trial_period_days": 7, "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}}
    begin(payer, **trial)
    payer.sync()
    assert (payer.sees()["plan"], payer.sees()["status"]) == ("basic", "trialing")
    payer.travel(days=8)
    payer.sync()
    assert (payer.sees()["plan"], payer.row.stripe_status) == ("free", "paused")
    return payer


@pytest.fixture
def incomplete(payer: Payer) -> Payer:
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_authenticationRequired")
    begin(payer)
    payer.sync()
    assert (payer.sees()["plan"], payer.row.stripe_status) == ("free", "incomplete")
    return payer


@pytest.fixture
def unpaid(subscriber: Payer) -> Payer:
    subscriber.stand_in.control("POST", "dunning", end="unpaid")
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31 + 20)
    subscriber.sync()
    assert (subscriber.sees()["plan"], subscriber.row.stripe_status) == ("free", "unpaid")
    return subscriber


def test_a_paused_one_is_resumed_with_a_card(paused: Payer) -> None:
    assert paused.post("create-checkout-session", {"plan": "pro"}).json()["code"] == "already_subscribed"
    answer = paused.post("change-plan", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    assert "/p/session/" in answer.json()["payment_url"]
    paused.card("pm_card_visa")
    answer = paused.post("resume")
    assert answer.status_code == 200, answer.content
    assert (answer.json()["plan"], answer.json()["status"]) == ("basic", "active")
    assert paused.invoices[0].amount_paid == 1900


def test_a_paused_one_is_not_resumed_by_a_card_that_fails(paused: Payer) -> None:
    paused.card("pm_card_chargeCustomerFail")
    answer = paused.post("resume")
    assert (answer.status_code, answer.json()["code"]) == (402, "payment_failed")
    assert answer.json()["payment_url"].startswith(paused.stand_in.url)
    assert (paused.sees()["plan"], paused.row.stripe_status) == ("free", "paused")


@pytest.mark.parametrize("state", ["paused", "incomplete", "unpaid"])
def test_what_gives_nothing_is_cancelled_at_once(state: str, request: pytest.FixtureRequest) -> None:
    payer: Payer = request.getfixturevalue(state)
    answer = payer.post("cancel")
    assert answer.status_code == 200, answer.content
    assert payer.one.status in ("canceled", "incomplete_expired")
    assert payer.sees()["plan"] == "free"
    again = payer.post("cancel")
    assert (again.status_code, again.json()["code"]) == (409, "not_subscribed")


@pytest.mark.parametrize("state", ["incomplete", "unpaid"])
def test_what_waits_for_its_payment_is_sent_there(state: str, request: pytest.FixtureRequest) -> None:
    payer: Payer = request.getfixturevalue(state)
    answer = payer.post("change-plan", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    assert answer.json()["payment_url"].startswith(payer.stand_in.url)
    open_invoice = next(invoice for invoice in payer.invoices if invoice.status == "open")
    payer.stand_in.control("POST", f"invoices/{open_invoice.id}/pay", card="4242424242424242")
    payer.sync()
    assert (payer.sees()["plan"], payer.sees()["status"]) == ("basic", "active")


def test_a_trial_at_stripe_is_upgraded_and_charged(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_visa")
    begin(payer, trial_period_days=7)
    payer.sync()
    assert payer.sees()["status"] == "trialing"
    preview = payer.post("preview-change", {"plan": "pro"})
    assert preview.status_code == 200, preview.content
    assert preview.json()["amount_due"] == 4900
    answer = payer.post("change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["plan"], answer.json()["status"]) == ("pro", "active")
    assert payer.invoices[0].amount_paid == 4900


def test_a_debt_of_a_plan_that_has_ended_is_paid_before_another_is_bought(subscriber: Payer) -> None:
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31 + 20)
    subscriber.sync()
    assert subscriber.row.stripe_status == "canceled"
    (owed,) = [invoice for invoice in subscriber.invoices if invoice.status == "open"]
    answer = subscriber.post("create-checkout-session", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    assert answer.json()["payment_url"] == owed.hosted_invoice_url
    subscriber.stand_in.control("POST", f"invoices/{owed.id}/pay", card="4242424242424242")
    assert subscriber.post("create-checkout-session", {"plan": "pro"}).status_code == 200
