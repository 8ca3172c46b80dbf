"""Money, end to end: real web processes, a worker and PostgreSQL, and what Stripe's pages do, over HTTP alone."""

from datetime import datetime
from typing import Any

import pytest

from billing import proofs
from tests.fake_stripe.running import Refused
from tests.processes.bursts import at_once
from tests.processes.money import FAILS_LATER, Customer, Shop, Watch, swept
from tests.processes.service import until
from tests.test_fake_stripe.test_pages import CARD, Browser

MOST_SECONDS_TO_A_PLAN = 5
NEEDS_AUTHENTICATION = "4000002500003155"


def test_who_registers_and_pays_is_on_pro_within_seconds_and_can_run(shop: Shop) -> None:
    ann = Customer(shop)
    until(lambda: ann.sees()["has_stripe_customer"], "the worker makes the customer at Stripe")
    assert [one.id for one in ann.customers] == [ann.customer]
    for _ in range(10):
        ann.run(1)
    refused = ann.post("/sessions", {"title": "One too many"})
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    session = ann.checkout("pro")
    assert ann.sees()["plan"] == "free"
    shop.stand_in.pay(session)
    watch = Watch()
    page = ann.come_back(session)
    assert page.status_code == 200
    assert "Pro plan, with 5,000 runs" in page.text
    seen = ann.sees()
    assert watch.seconds < MOST_SECONDS_TO_A_PLAN
    assert (seen["plan"], seen["status"], seen["source"], seen["runs_remaining"]) == ("pro", "active", "paid", 5000)
    ann.run(3)
    assert ann.sees()["runs_remaining"] == 4997
    again = ann.bill("create-checkout-session", {"plan": "basic"})
    assert (again.status_code, again.json()["code"]) == (409, "already_subscribed")
    assert ann.charges == [4900]


def test_what_is_done_in_the_portal_shows_when_its_customer_comes_back(shop: Shop) -> None:
    ann = Customer(shop)
    ann.buy("basic")
    ann.run(2)
    portal = ann.portal()
    assert "Your plan is changed." in portal.send("plan", price=shop.price("pro"))
    portal.leave()
    seen = ann.sees()
    assert (seen["plan"], seen["monthly_agent_runs"], seen["runs_remaining"]) == ("pro", 2, 4998)
    assert len(ann.charges) == 2
    assert "will change at the end of the period" in portal.send("plan", price=shop.price("basic"))
    portal.leave()
    seen = ann.sees()
    assert (seen["plan"], seen["pending_plan"], seen["pending_at"]) == ("pro", "basic", seen["current_period_end"])
    assert ann.bill("resume").json()["pending_plan"] is None
    assert "It ends on" in portal.send("cancel")
    portal.leave()
    seen = ann.sees()
    assert (seen["plan"], seen["cancel_at_period_end"]) == ("pro", True)
    assert "Your subscription goes on." in portal.send("resume")
    portal.leave()
    assert ann.sees()["cancel_at_period_end"] is False
    assert len(ann.charges) == 2


def test_a_card_that_is_declined_or_not_confirmed_buys_nothing_until_one_is(shop: Shop) -> None:
    ann = Customer(shop)
    session = ann.checkout("basic")
    for card, authentication in (("4000000000000002", "pass"), (NEEDS_AUTHENTICATION, "fail")):
        with pytest.raises(Refused, match="402: "):
            shop.stand_in.pay(session, card, authentication=authentication)
        assert "Not paid yet" in ann.come_back(session).text
        assert ann.sees()["plan"] == "free"
    shop.stand_in.pay(session, NEEDS_AUTHENTICATION)
    assert "Your payment is complete" in ann.come_back(session).text
    assert ann.sees()["plan"] == "basic"
    assert ann.charges == [1900]


def test_an_upgrade_whose_payment_fails_keeps_the_plan_until_it_is_paid(shop: Shop) -> None:
    ann = Customer(shop)
    ann.buy("basic")
    ann.take_card(FAILS_LATER)
    answer = ann.bill("change-plan", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (402, "payment_failed")
    seen = ann.sees()
    assert (seen["plan"], seen["status"], seen["monthly_agent_runs_limit"]) == ("basic", "active", 1000)
    assert ann.charges == [1900]
    browser = Browser(shop.stand_in, shop.http)
    browser.open(answer.json()["payment_url"])
    browser.send("pay", **CARD)
    ann.portal().leave()
    assert ann.sees()["plan"] == "pro"
    assert len(ann.charges) == 2


def test_of_two_checkouts_that_are_paid_at_once_one_is_kept_and_the_other_refunded(shop: Shop) -> None:
    ann = Customer(shop)
    first = ann.checkout("pro")
    second = shop.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": ann.customer,
            "line_items": [{"price": shop.price("basic"), "quantity": 1}],
            "success_url": "http://127.0.0.1:1/",
        }
    )
    at_once(2, lambda number: shop.stand_in.pay((first, second.id)[number]))
    assert sorted(ann.charges) == [1900, 4900]
    ann.come_back(first)
    until(lambda: ann.charges == [4900] and len(ann.live) == 1, "the worker gives back what was bought twice")
    assert ann.live[0]["items"].data[0].price.id == shop.price("pro")
    assert (ann.sees()["plan"], ann.sees()["status"]) == ("pro", "active")
    until(lambda: proofs.find() == [], "our rows follow what the worker did at Stripe")


def test_without_stripe_nothing_can_be_bought_and_everything_else_works(shop: Shop) -> None:
    ann, paying = Customer(shop), Customer(shop)
    ann.buy("basic")
    session = paying.checkout("pro")
    shop.stand_in.pay(session)
    way_back = paying.way_back(session)
    shop.close_stripe()
    try:
        page = shop.http.get(way_back)
        assert page.status_code == 503
        assert "If you have paid, your plan changes by itself" in page.text
        requests: tuple[tuple[str, Any], ...] = (
            ("create-checkout-session", {"plan": "pro"}),
            ("create-portal-session", {}),
            ("preview-change", {"plan": "pro"}),
            ("change-plan", {"plan": "pro"}),
            ("cancel", {}),
            ("resume", {}),
        )
        answers = at_once(len(requests), lambda number: ann.bill(*requests[number]))
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "stripe_unavailable")}
        assert all(answer.headers["Retry-After"] for answer in answers)
        assert ann.sees()["plan"] == "basic"
        ann.run(1)
        for path in ("/sessions", "/billing/usage", "/billing/ledger", "/billing/invoices", "/billing/plans"):
            assert ann.get(path).status_code == 200, path
        assert ann.get("/billing/invoices").json()["results"][0]["total"] == 1900
        assert ann.post("/auth/login", {"email": ann.email, "password": "correct horse"}).status_code == 200
        newcomer = Customer(shop)
        newcomer.run(1)
    finally:
        shop.open_stripe()
    answer = ann.bill("change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["plan"], answer.json()["monthly_agent_runs"]) == ("pro", 1)
    assert len(ann.charges) == 2
    until(lambda: newcomer.sees()["has_stripe_customer"], "the worker makes the customer after all")
    newcomer.buy("basic")
    assert len(newcomer.customers) == 1
    assert "Your payment is complete" in shop.http.get(way_back).text
    assert paying.sees()["plan"] == "pro"


def test_months_go_by(shop: Shop) -> None:
    """Nobody rings and nobody comes back: the sweep alone notices what happened at Stripe."""
    renewing, recovering, leaving, yearly = (Customer(shop) for _ in range(4))
    yearly.buy("pro", interval="year")
    for one in (renewing, recovering, leaving):
        one.buy("pro")
    for one in (recovering, leaving):
        one.take_card(FAILS_LATER)
    for one in (renewing, recovering, leaving, yearly):
        one.run(2)
    before = {one.email: one.row.paid_start for one in (renewing, recovering, leaving)}
    began = datetime.fromisoformat(yearly.sees()["current_period_start"])

    shop.travel(days=32)
    everybody = (renewing, recovering, leaving)
    swept(lambda: all(one.row.paid_start != before[one.email] for one in everybody), "the sweep sees the new period")
    assert counted(renewing) == ("pro", "active", 0, 5000)
    assert renewing.charges == [4900, 4900]
    for one in (recovering, leaving):
        assert counted(one) == ("pro", "past_due", 0, 500)
        assert one.sees()["grace_until"] is not None
        one.run(1)
    assert counted(yearly) == ("pro", "active", 0, 5000)
    month = datetime.fromisoformat(yearly.sees()["current_period_start"]) - began
    assert 28 <= month.days <= 31
    assert yearly.row.paid_end is not None
    assert (yearly.row.paid_end - began).days >= 365
    assert len(yearly.charges) == 1

    recovering.take_card("4242424242424242")
    debt = recovering.bill("change-plan", {"plan": "basic"})
    assert (debt.status_code, debt.json()["code"]) == (409, "payment_required")
    browser = Browser(shop.stand_in, shop.http)
    browser.open(debt.json()["payment_url"])
    browser.send("pay", **CARD)
    recovering.portal().leave()
    assert counted(recovering) == ("pro", "active", 1, 5000)
    assert recovering.sees()["grace_until"] is None
    assert recovering.charges == [4900, 4900]

    silent = Customer(shop)
    shop.stand_in.pay(silent.checkout("basic"))
    assert silent.sees()["plan"] == "free"

    shop.travel(days=25)
    swept(lambda: silent.sees()["plan"] == "basic", "the sweep sees what was bought by who never came back")
    swept(lambda: leaving.row.stripe_status == "canceled", "the sweep sees that Stripe has given up")
    assert counted(leaving) == ("free", "active", 0, 10)
    assert leaving.charges == [4900]
    assert leaving.live == []
    debt = leaving.bill("create-checkout-session", {"plan": "basic"})
    assert (debt.status_code, debt.json()["code"]) == (409, "payment_required")


def counted(one: Customer) -> tuple[str, str, int, int]:
    seen = one.sees()
    return seen["plan"], seen["status"], seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]
