"""Stripe's portal, on our own Configuration."""

from collections.abc import Callable

from billing.models import Price, StripeOperation
from tests.billing.stripe.payer import Payer


def test_the_portal_opens_for_who_never_paid_and_makes_the_customer(payer: Payer) -> None:
    answer = payer.post("create-portal-session")
    assert answer.status_code == 200, answer.content
    assert answer.json()["portal_url"].startswith(payer.stand_in.url)
    assert payer.sees()["has_stripe_customer"] is True
    assert payer.sees()["plan"] == "free"


def test_the_configuration_is_ours_and_is_made_once(payer: Payer, calls: Callable[[], list[str]]) -> None:
    payer.post("create-portal-session")
    assert calls().count("POST /v1/billing_portal/configurations") == 1
    payer.post("create-portal-session")
    assert "POST /v1/billing_portal/configurations" not in calls()
    (made,) = payer.client.v1.billing_portal.configurations.list({"is_default": False}).data
    features = made.features
    assert features.subscription_cancel.mode == "at_period_end"
    assert features.subscription_cancel.proration_behavior == "none"
    update = features.subscription_update
    assert (update.enabled, update.proration_behavior, update.billing_cycle_anchor) == (True, "always_invoice", "now")
    conditions = {condition.type for condition in update.schedule_at_period_end.conditions}
    assert conditions == {"decreasing_item_amount", "shortening_interval"}
    assert update.products is not None
    offered = {price for product in update.products for price in product.prices}
    assert offered == set(Price.objects.values_list("stripe_price_id", flat=True))


def test_the_configuration_follows_what_is_sold(payer: Payer, calls: Callable[[], list[str]]) -> None:
    payer.post("create-portal-session")
    calls()
    Price.objects.filter(interval="year").update(is_active=False)
    payer.post("create-portal-session")
    (made,) = payer.client.v1.billing_portal.configurations.list({"is_default": False}).data
    products = made.features.subscription_update.products
    assert products is not None
    assert [len(product.prices) for product in products] == [1, 1]
    calls()
    payer.post("create-portal-session")
    assert calls() == ["POST /v1/billing_portal/sessions"]


def test_coming_back_from_the_portal_shows_what_was_done_there(pro: Payer) -> None:
    pro.post("create-portal-session", {"return_url": "http://localhost:3000/plan"})
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    assert pro.sees()["cancel_at_period_end"] is False
    operation = StripeOperation.objects.filter(kind="portal").first()
    assert operation is not None
    answer = pro.follow(f"http://127.0.0.1:8000/billing/return/{operation.pk}")
    assert answer["Location"] == "http://localhost:3000/plan"
    assert pro.sees()["cancel_at_period_end"] is True


def test_a_foreign_return_url_is_refused(payer: Payer, calls: Callable[[], list[str]]) -> None:
    answer = payer.post("create-portal-session", {"return_url": "https://evil.example/"})
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"return_url"})
    assert calls() == []
    assert payer.row.stripe_customer_id is None


def test_a_cancel_that_the_portal_scheduled_is_taken_back(pro: Payer) -> None:
    # The portal sets `cancel_at` and leaves the flag alone.
    end = pro.row.paid_end
    assert end is not None
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at": int(end.timestamp())})
    assert pro.post("cancel").status_code == 409
    assert pro.sees()["cancel_at_period_end"] is True
    answer = pro.post("resume")
    assert answer.status_code == 200
    assert answer.json()["cancel_at_period_end"] is False
    assert pro.one.cancel_at is None
