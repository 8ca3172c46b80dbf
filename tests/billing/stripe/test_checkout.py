"""Buying a plan, once."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.core.management import call_command
from pytest_django import Settings as SettingsWrapper

from billing import lifecycle
from billing.models import Plan, Price, StripeOperation, SubscriptionChange
from tests.billing.stripe.payer import ASKS_ONCE, DECLINED, Payer
from tests.fake_stripe.running import Refused, StandIn
from tests.people import Person

NOTHING_AT_STRIPE: list[str] = []


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def sessions(payer: Payer, status: Any = None) -> list[stripe.checkout.Session]:
    params: Any = {"customer": payer.customer} | ({"status": status} if status else {})
    return payer.client.v1.checkout.sessions.list(params).data


def test_who_pays_is_on_the_plan_when_they_come_back(payer: Payer) -> None:
    session = payer.checkout("PRO")
    assert payer.sees()["plan"] == "free"
    answer = payer.pay(session)
    assert answer.status_code == 200
    assert b"Pro plan, with 5,000 runs" in answer.content
    seen = payer.sees()
    assert (seen["plan"], seen["source"], seen["status"]) == ("pro", "paid", "active")
    assert (seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]) == (0, 5000)
    assert (seen["has_stripe_customer"], seen["trial_available"]) == (True, False)


def test_the_session_says_whose_it_is(payer: Payer, settings: SettingsWrapper) -> None:
    settings.STRIPE_PROMOTION_CODES = settings.STRIPE_AUTOMATIC_TAX = True
    session = payer.client.v1.checkout.sessions.retrieve(payer.checkout("pro"))
    workspace = str(payer.person.workspace.pk)
    operation = StripeOperation.objects.get(kind="checkout")
    assert (session.mode, session.customer, session.client_reference_id) == ("subscription", payer.customer, workspace)
    here = {"workspace_id": workspace, "operation_id": str(operation.pk)}
    assert session.metadata is not None
    assert session.metadata.to_dict() == here
    assert (session.allow_promotion_codes, session.automatic_tax.enabled) == (True, True)
    payer.pay(session.id)
    assert payer.one.metadata.to_dict() == here
    customer = payer.client.v1.customers.retrieve(payer.customer)
    assert (customer.email, customer.name) == ("bob@example.com", "Bob")


def test_a_year_can_be_bought(payer: Payer) -> None:
    payer.buy_at_checkout("basic", interval="year")
    assert payer.invoices[0].amount_paid == 19000
    assert payer.row.paid_interval == "year"


def test_a_client_is_led_back_to_where_it_asked_for(payer: Payer) -> None:
    session = payer.checkout(
        "basic",
        success_url="http://localhost:3000/thanks?id={CHECKOUT_SESSION_ID}",
        cancel_url="http://localhost:3000/sorry",
    )
    cancel_url = payer.client.v1.checkout.sessions.retrieve(session).cancel_url
    assert cancel_url is not None
    assert payer.follow(cancel_url)["Location"] == "http://localhost:3000/sorry"
    assert payer.sees()["plan"] == "free"
    assert payer.pay(session)["Location"] == f"http://localhost:3000/thanks?id={session}"
    assert payer.sees()["plan"] == "basic"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "plan"),
        ({"plan": ""}, "plan"),
        ({"plan": "gold"}, "plan"),
        ({"plan": "free"}, "plan"),
        ({"plan": "trial"}, "plan"),
        ({"plan": "enterprise"}, "plan"),
        ({"plan": "pro", "interval": "week"}, "interval"),
        ({"plan": "pro", "currency": "euro"}, "currency"),
        ({"plan": "pro", "currency": "eur"}, "currency"),
        ({"plan": "pro", "success_url": "https://evil.example/"}, "success_url"),
        ({"plan": "pro", "cancel_url": "//localhost:3000/"}, "cancel_url"),
    ],
)
def test_what_is_not_sold_is_named_and_nothing_is_made(
    payer: Payer, body: dict[str, str], field: str, calls: Callable[[], list[str]]
) -> None:
    answer = payer.post("create-checkout-session", body)
    assert code_of(answer) == (400, "invalid")
    assert set(answer.json()["errors"]) == {field}
    assert calls() == NOTHING_AT_STRIPE
    assert not StripeOperation.objects.filter(workspace=payer.person.workspace).exists()


def test_a_second_checkout_is_refused(pro: Payer) -> None:
    assert code_of(pro.post("create-checkout-session", {"plan": "basic"})) == (409, "already_subscribed")
    assert sessions(pro, "open") == []
    assert len(pro.at_stripe) == 1


def test_the_same_plan_is_handed_back_and_another_ends_the_first(payer: Payer) -> None:
    first = payer.checkout("basic", success_url="http://localhost:3000/one")
    assert payer.checkout("basic", success_url="http://localhost:3000/two") == first
    other = payer.checkout("pro")
    assert other != first
    assert [session.id for session in sessions(payer, "open")] == [other]
    with pytest.raises(Refused):
        payer.stand_in.pay(first)
    assert payer.checkout("basic", success_url="http://localhost:3000/three") != first
    assert len(sessions(payer, "open")) == 1
    (last,) = sessions(payer, "open")
    assert payer.pay(last.id)["Location"] == "http://localhost:3000/three"


def test_a_session_that_was_made_elsewhere_is_ended(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=payer.row.created_at)
    price = payer.client.v1.prices.list({"lookup_keys": ["ai_manus_pro_month_usd"]}).data[0]
    foreign = payer.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": payer.customer,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://example.com/",
        }
    )
    own = payer.checkout("pro")
    assert [session.id for session in sessions(payer, "open")] == [own]
    assert foreign.id != own


def test_the_same_key_gives_the_same_session(payer: Payer) -> None:
    body = {"plan": "pro"}
    first = payer.post("create-checkout-session", body, **{"Idempotency-Key": "k-1"})
    again = payer.post("create-checkout-session", body, **{"Idempotency-Key": "k-1"})
    assert first.content == again.content
    assert again["Idempotent-Replayed"] == "true"
    clash = payer.post("create-checkout-session", {"plan": "basic"}, **{"Idempotency-Key": "k-1"})
    assert code_of(clash) == (409, "idempotency_mismatch")
    assert len(sessions(payer)) == 1


def test_a_refused_checkout_leaves_its_key_free(payer: Payer) -> None:
    key = {"Idempotency-Key": "k-1"}
    payer.stand_in.control("POST", "faults", path="POST /v1/checkout/sessions", status=500, times=10)
    assert code_of(payer.post("create-checkout-session", {"plan": "pro"}, **key)) == (503, "stripe_unavailable")
    payer.stand_in.control("DELETE", "faults")
    answer = payer.post("create-checkout-session", {"plan": "pro"}, **key)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer
    assert len(sessions(payer)) == 1


def test_a_card_that_is_declined_or_not_confirmed_buys_nothing(payer: Payer) -> None:
    session = payer.checkout("pro")
    for card, more in ((DECLINED, {}), (ASKS_ONCE, {"authentication": "fail"})):
        with pytest.raises(Refused) as refused:
            payer.stand_in.pay(session, card, **more)
        assert refused.value.status == 402
        assert b"Not paid yet" in payer.come_back(session).content
        assert payer.sees()["plan"] == "free"
    assert payer.pay(session, ASKS_ONCE).status_code == 200
    assert payer.sees()["plan"] == "pro"


def test_a_first_payment_that_was_never_completed_is_ended_before_another(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=payer.row.created_at)
    payer.client.v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": payer.customer})
    method = payer.client.v1.payment_methods.list({"customer": payer.customer}).data[0]
    price = payer.client.v1.prices.list({"lookup_keys": ["ai_manus_basic_month_usd"]}).data[0]
    begun = payer.client.v1.subscriptions.create(
        {"customer": payer.customer, "items": [{"price": price.id}], "default_payment_method": method.id}
    )
    assert begun.status == "incomplete"
    payer.buy_at_checkout("pro")
    assert {one.id: one.status for one in payer.at_stripe}[begun.id] in ("incomplete_expired", "canceled")
    assert payer.sees()["plan"] == "pro"


def test_a_cancelled_plan_can_be_bought_again(pro: Payer) -> None:
    pro.post("cancel")
    assert code_of(pro.post("create-checkout-session", {"plan": "pro"})) == (409, "already_subscribed")
    pro.travel(days=32)
    pro.sync()
    assert pro.sees()["plan"] == "free"
    pro.buy_at_checkout("basic")
    assert pro.sees()["status"] == "active"


def test_a_currency_stays(payer: Payer, shop: StandIn) -> None:
    Price.objects.create(plan=Plan.objects.get(slug="basic"), unit_amount=1800, currency="eur")
    call_command("sync_plans", "--create", verbosity=0)
    payer.buy_at_checkout("basic", currency="EUR")
    assert payer.invoices[0].currency == "eur"
    payer.client.v1.subscriptions.cancel(payer.one.id)
    answer = payer.post("create-checkout-session", {"plan": "basic", "currency": "usd"})
    assert code_of(answer) == (409, "currency_fixed")
    answer = payer.post("create-checkout-session", {"plan": "pro"})
    assert code_of(answer) == (409, "currency_fixed")
    assert payer.checkout("basic")
    (open_one,) = sessions(payer, "open")
    assert open_one.currency == "eur"


def test_a_comp_may_check_out(shop: StandIn, alice: Person, stripe_client: stripe.StripeClient) -> None:
    payer = Payer(alice, shop, stripe_client)
    assert payer.sees()["source"] == "comp"
    assert payer.pay(payer.checkout("pro")).status_code == 200
    assert payer.row.stripe_status == "active"


def test_a_trial_ends_for_good_with_the_first_payment(payer: Payer) -> None:
    assert payer.post("activate-trial").status_code == 200
    payer.run(7)
    payer.buy_at_checkout("basic")
    seen = payer.sees()
    # What was used of the trial is not carried into what is paid for.
    assert (seen["monthly_agent_runs"], seen["is_trial"]) == (0, False)
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.sync()
    assert (payer.sees()["plan"], payer.sees()["is_trial"]) == ("free", False)


def test_the_way_back_believes_nothing_that_its_address_carries(payer: Payer, other: Payer) -> None:
    mine, theirs = payer.checkout("pro"), other.checkout("pro")
    payer.stand_in.pay(mine)
    # Another's way back, with the paid session's id in it: nobody is on PRO by that.
    url = payer.client.v1.checkout.sessions.retrieve(theirs).success_url
    assert url is not None
    assert payer.follow(url.replace("{CHECKOUT_SESSION_ID}", mine)).status_code == 200
    assert (payer.sees()["plan"], other.sees()["plan"]) == ("free", "free")
    payer.come_back(mine)
    assert (payer.sees()["plan"], other.sees()["plan"]) == ("pro", "free")


def test_a_way_back_that_nobody_was_given_leads_nowhere(payer: Payer, calls: Callable[[], list[str]]) -> None:
    missing = "/billing/return/01920000-0000-7000-8000-000000000000"
    assert payer.person.client.get(missing).status_code == 404
    assert payer.person.client.post(missing).status_code == 405
    assert calls() == NOTHING_AT_STRIPE


def test_a_session_of_another_customer_is_not_ours(payer: Payer) -> None:
    session = payer.checkout("pro")
    StripeOperation.objects.filter(kind="checkout").update(stripe_id=foreign_session(payer))
    assert payer.come_back(session).status_code == 404
    assert payer.row.synced_at is not None
    assert payer.sees()["plan"] == "free"


def foreign_session(payer: Payer) -> str:
    customer = payer.client.v1.customers.create({"email": "mallory@example.com"})
    price = payer.client.v1.prices.list({"lookup_keys": ["ai_manus_pro_month_usd"]}).data[0]
    session = payer.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://example.com/",
        }
    )
    payer.stand_in.pay(session.id)
    return session.id


def test_coming_back_while_stripe_is_away_says_so_and_shows_later(payer: Payer) -> None:
    session = payer.checkout("pro")
    payer.stand_in.pay(session)
    url = payer.client.v1.checkout.sessions.retrieve(session).success_url
    assert url is not None
    payer.stand_in.control("POST", "faults", path=".", status=500, times=100)
    answer = payer.follow(url)
    assert answer.status_code == 503
    assert b"by itself" in answer.content
    assert payer.sees()["plan"] == "free"
    payer.stand_in.control("DELETE", "faults")
    payer.follow(url)
    assert payer.sees()["plan"] == "pro"
    change = SubscriptionChange.objects.filter(subscription=payer.row).first()
    assert change is not None
    assert (change.cause, change.monthly_amount, change.currency) == ("stripe", 4900, "usd")


def test_a_customer_that_was_deleted_at_stripe_is_made_anew(payer: Payer) -> None:
    payer.checkout("pro")
    gone = payer.customer
    payer.client.v1.customers.delete(gone)
    payer.buy_at_checkout("pro")
    assert payer.customer != gone


def test_a_price_that_stripe_does_not_know_cannot_be_bought(payer: Payer, calls: Callable[[], list[str]]) -> None:
    Price.objects.filter(plan__slug="pro").update(stripe_price_id=None)
    answer = payer.post("create-checkout-session", {"plan": "pro"})
    assert code_of(answer) == (503, "billing_not_configured")
    assert "PRO by the month has no price" in answer.json()["detail"]
    assert "POST /v1/checkout/sessions" not in calls()


def test_without_a_key_billing_says_so_and_all_else_works(bob: Person, settings: SettingsWrapper) -> None:
    assert settings.STRIPE_SECRET_KEY == ""
    for path, body in (
        ("create-checkout-session", {"plan": "pro"}),
        ("create-portal-session", {}),
        ("preview-change", {"plan": "pro"}),
        ("change-plan", {"plan": "pro"}),
        ("cancel", {}),
        ("resume", None),
    ):
        assert code_of(bob.post(f"/billing/{path}", body)) == (503, "billing_not_configured"), path
    for path in ("subscription", "plans", "usage", "ledger", "invoices"):
        assert bob.get(f"/billing/{path}").status_code == 200
    assert bob.post("/sessions", {}).status_code == 201
    assert bob.post("/billing/activate-trial").status_code == 200
    assert not StripeOperation.objects.exists()


def test_an_unverified_address_buys_nothing_where_that_is_required(payer: Payer, settings: SettingsWrapper) -> None:
    settings.BUYING_REQUIRES_VERIFIED_EMAIL = True
    assert code_of(payer.post("create-checkout-session", {"plan": "pro"})) == (403, "email_not_verified")
    assert not StripeOperation.objects.filter(kind="checkout").exists()
    payer.person.user.is_email_verified = True
    payer.person.user.save(update_fields=["is_email_verified"])
    assert payer.post("create-checkout-session", {"plan": "pro"}).status_code == 200
