"""The pages, as a browser without scripts uses them: forms, redirects, and errors tied to their fields."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from tests.fake_stripe.running import StandIn
from tests.test_fake_stripe.conftest import Shop, item_of, price_of

CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 34", "cvc": "123", "name": "Alice"}


@dataclass
class Browser:
    """Follows redirects inside the stand-in, and stops where they lead out."""

    stand_in: StandIn
    client: httpx.Client
    page: httpx.Response | None = None

    def open(self, url: str) -> str:
        return self._go("GET", url)

    def send(self, act: str | None = None, *, to: str | None = None, **form: str) -> str:
        """Press the button of that value in its form on the open page, or post to an address."""
        assert self.page is not None
        if to is None:
            before = self.page.text.partition(f'value="{act}"')[0]
            to = re.findall(r'<form [^>]*action="([^"]+)"', before)[-1]
        return self._go("POST", to, form | ({"act": act} if act else {}))

    def _go(self, method: str, url: str, form: dict[str, str] | None = None) -> str:
        url = self.stand_in.url + url if url.startswith("/") else url
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.page = self.client.request(method, url, content=urlencode(form or {}), headers=headers)
        while self.page.status_code == 303:
            address = self.page.headers["Location"]
            if not address.startswith("/"):
                return str(address)
            self.page = self.client.get(self.stand_in.url + address)
        return unescape(self.page.text)

    @property
    def status(self) -> int:
        assert self.page is not None
        return self.page.status_code

    @property
    def headers(self) -> httpx.Headers:
        assert self.page is not None
        return self.page.headers


@pytest.fixture(scope="module")
def http() -> Generator[httpx.Client, None, None]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def browser(stand_in: StandIn, http: httpx.Client) -> Browser:
    return Browser(stand_in, http)


def error_of(page: str, field: str) -> str:
    """The sentence that the field is described by."""
    match = re.search(rf'<p class="error" id="{field}-error">([^<]*)', page)
    assert match, page
    assert f'aria-describedby="{field}-error" aria-invalid="true"' in page
    return match[1]


def test_a_card_pays_and_leads_back_with_the_sessions_id(shop: Shop, browser: Browser) -> None:
    session = shop.checkout()
    assert session.url is not None
    page = browser.open(session.url)
    assert "Stand-in for Stripe." in page
    assert "Subscribe to Basic" in page
    assert browser.send("pay", **CARD) == f"http://127.0.0.1:8000/billing/return?session_id={session.id}"
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "complete"
    assert "This has been paid." in browser.open(f"/c/pay/{session.id}")


def test_pages_need_no_script_and_name_where_their_forms_may_lead(shop: Shop, browser: Browser) -> None:
    session = shop.checkout()
    page = browser.open(f"/c/pay/{session.id}")
    policy = browser.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:8000;" in policy
    assert "unsafe" not in policy
    assert "<script" not in page
    assert "style=" not in page
    assert browser.open("/assets/style.css").startswith("/* Design tokens")


def test_a_declined_card_is_explained_at_its_field_and_another_pays(shop: Shop, browser: Browser) -> None:
    session = shop.checkout()
    browser.open(f"/c/pay/{session.id}")
    page = browser.send("pay", **CARD | {"number": "4000000000009995"})
    assert browser.status == 422
    assert error_of(page, "number").startswith("Your card has insufficient funds. Nothing was paid")
    assert shop.client.v1.subscriptions.list({"status": "all"}).data == []
    assert browser.send("pay", **CARD).startswith("http://127.0.0.1:8000/")


def test_what_is_typed_wrong_is_told_at_each_field(shop: Shop, browser: Browser) -> None:
    browser.open(f"/c/pay/{shop.checkout().id}")
    page = browser.send("pay", number="4242424242424241", expiry="13/34", cvc="1", name="<b>")
    assert error_of(page, "number") == "Your card number is incorrect."
    assert error_of(page, "expiry").startswith("Month and year")
    assert error_of(page, "cvc").startswith("The security code")
    assert 'value="<b>"' in page
    assert "<b>" not in (browser.page.text if browser.page else "")
    assert error_of(browser.send("pay", **CARD | {"expiry": "1/20"}), "expiry") == "This card has expired."


def test_the_authentication_step_is_failed_and_then_passed(shop: Shop, browser: Browser) -> None:
    session = shop.checkout()
    browser.open(f"/c/pay/{session.id}")
    page = browser.send("pay", **CARD | {"number": "4000002500003155"})
    assert "Your bank wants to be sure" in page
    assert "authentication failed" in error_of(browser.send("fail"), "number")
    browser.send("pay", **CARD | {"number": "4000002500003155"})
    assert browser.send("pass").endswith(session.id)


def test_a_promotion_code_is_put_on_and_taken_off(shop: Shop, browser: Browser) -> None:
    coupon = shop.client.v1.coupons.create({"percent_off": 25, "duration": "once"})
    shop.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "AUTUMN"})
    session = shop.checkout(allow_promotion_codes=True)
    browser.open(f"/c/pay/{session.id}")
    assert error_of(browser.send("add-code", code="WINTER"), "code") == "This code is invalid."
    assert "Pay $14.25" in browser.send("add-code", code="autumn")
    assert "Pay $19.00" in browser.send("remove-code")


def test_a_session_that_has_expired_takes_no_money(shop: Shop, browser: Browser) -> None:
    session = shop.checkout()
    browser.open(f"/c/pay/{session.id}")
    shop.stand_in.advance(days=2)
    assert "expired, and nothing was paid" in browser.send("pay", **CARD)
    assert browser.status == 410
    assert shop.client.v1.subscriptions.list({"status": "all"}).data == []


def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    for path in ("/c/pay/cs_test_none", "/p/session/bps_none", "/i/in_none", "/nothing"):
        assert "Not here" in browser.open(path)
        assert browser.status == 404


def test_a_page_elsewhere_cannot_reach_it_by_another_name(stand_in: StandIn) -> None:
    status, _ = stand_in.ask("GET", "/_control/requests", headers={"Host": "evil.example"})
    assert status == 421
    status, _ = stand_in.ask("POST", "/_control/reset", b"{}", {"Content-Type": "text/plain"})
    assert status == 415


@pytest.fixture
def portal(shop: Shop, browser: Browser) -> str:
    """The path of a portal session that allows everything, downgrades at the period's end."""
    features: Any = {
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": True,
            "mode": "at_period_end",
            "cancellation_reason": {"enabled": True, "options": ["too_expensive", "other"]},
        },
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "billing_cycle_anchor": "now",
            "products": [
                {"product": shop.products[0], "prices": [shop.basic]},
                {"product": shop.products[1], "prices": [shop.pro, shop.pro_yearly]},
            ],
            "schedule_at_period_end": {
                "conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]
            },
        },
    }
    configuration = shop.client.v1.billing_portal.configurations.create({"features": features})
    session = shop.client.v1.billing_portal.sessions.create(
        {"customer": shop.customer, "configuration": configuration.id, "return_url": "http://127.0.0.1:8000/billing/"}
    )
    return urlsplit(session.url).path


def test_the_portal_upgrades_at_once(shop: Shop, browser: Browser, portal: str) -> None:
    shop.card()
    subscription = shop.subscribe()
    assert "It renews on" in browser.open(portal)
    page = browser.send(to=f"{portal}/plan", subscription=subscription.id, price=shop.pro)
    assert "Your plan is changed." in page
    assert price_of(shop.subscription(subscription.id)) == shop.pro


def test_the_portal_says_what_a_change_costs_before_it_is_made(shop: Shop, browser: Browser, portal: str) -> None:
    shop.card()
    subscription = shop.subscribe()
    item = item_of(subscription)
    shop.stand_in.advance(seconds=(item.current_period_end - item.current_period_start) // 2)
    asked = f"{portal}/change?subscription={subscription.id}&price="
    page = browser.open(asked + shop.pro)
    assert "Change to Pro" in page
    assert "<strong>$39.50</strong>" in page
    assert "-$9.50" in page
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    assert len(shop.client.v1.invoices.list().data) == 1
    confirmed = re.findall(r'name="(price|subscription)" value="([^"]+)"', page)
    assert "Your plan is changed." in browser.send(to=f"{portal}/plan", **dict(confirmed))
    assert shop.latest_invoice(subscription).amount_paid == 3950
    page = browser.open(asked + shop.basic)
    assert "<strong>$0.00</strong>" in page
    end = datetime.fromtimestamp(item_of(shop.subscription(subscription.id)).current_period_end, UTC)
    assert f"<dd>{end.day} {end:%B %Y}</dd>" in page
    assert "This plan is not offered here." in browser.open(asked + shop.pro)


def test_the_portal_asks_why_and_tells_when_before_it_cancels(shop: Shop, browser: Browser, portal: str) -> None:
    shop.card()
    subscription = shop.subscribe()
    page = browser.open(f"{portal}/cancellation?subscription={subscription.id}")
    assert "Until then you keep your plan" in page
    assert "It is too expensive" in page
    assert "Some features are missing" not in page
    assert shop.subscription(subscription.id).cancel_at is None
    page = browser.send(to=f"{portal}/cancel", subscription=subscription.id, reason="unused")
    assert "This reason is not offered here." in page
    page = browser.send(to=f"{portal}/cancel", subscription=subscription.id, reason="too_expensive")
    assert "Change plan" not in page
    details = shop.subscription(subscription.id).cancellation_details
    assert details is not None
    assert details.feedback == "too_expensive"


@pytest.mark.parametrize(("behavior", "credit"), [("always_invoice", -950), ("none", 0)])
def test_the_portal_cancels_at_once_where_it_is_configured_so(
    shop: Shop, browser: Browser, behavior: Any, credit: int
) -> None:
    shop.card()
    subscription = shop.subscribe()
    item = item_of(subscription)
    shop.stand_in.advance(seconds=(item.current_period_end - item.current_period_start) // 2)
    feature: Any = {"enabled": True, "mode": "immediately", "proration_behavior": behavior}
    configuration = shop.client.v1.billing_portal.configurations.create({"features": {"subscription_cancel": feature}})
    session = shop.client.v1.billing_portal.sessions.create(
        {"customer": shop.customer, "configuration": configuration.id}
    )
    path = urlsplit(session.url).path
    assert "ends now" in browser.open(f"{path}/cancellation?subscription={subscription.id}")
    browser.send(to=f"{path}/cancel", subscription=subscription.id)
    assert shop.subscription(subscription.id).status == "canceled"
    assert shop.client.v1.customers.retrieve(shop.customer).balance == credit
    assert shop.client.v1.invoice_items.list({"pending": True}).data == []


@pytest.mark.parametrize(("behavior", "status"), [("end_trial", "active"), ("continue_trial", "trialing")])
def test_the_portal_ends_a_trial_or_lets_it_go_on(
    shop: Shop, browser: Browser, portal: str, behavior: Any, status: str
) -> None:
    shop.card()
    subscription = shop.subscribe(trial_period_days=14)
    configuration = shop.client.v1.billing_portal.configurations.list({"is_default": False}).data[0]
    update: Any = {"enabled": True, "trial_update_behavior": behavior}
    shop.client.v1.billing_portal.configurations.update(configuration.id, {"features": {"subscription_update": update}})
    browser.open(portal)
    browser.send(to=f"{portal}/plan", subscription=subscription.id, price=shop.pro)
    changed = shop.subscription(subscription.id)
    assert (changed.status, price_of(changed)) == (status, shop.pro)


def test_the_portal_downgrades_at_the_periods_end_and_then_offers_no_change(
    shop: Shop, browser: Browser, portal: str
) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    browser.open(portal)
    page = browser.send(to=f"{portal}/plan", subscription=subscription.id, price=shop.basic)
    assert "will change at the end of the period" in page
    assert "Change plan" not in page
    assert "Cancel" not in page
    assert price_of(shop.subscription(subscription.id)) == shop.pro
    shop.stand_in.advance(days=32)
    assert price_of(shop.subscription(subscription.id)) == shop.basic


def test_the_portal_cancels_by_cancel_at_alone_and_takes_it_back(shop: Shop, browser: Browser, portal: str) -> None:
    shop.card()
    subscription = shop.subscribe()
    browser.open(portal)
    assert "It ends on" in browser.send(to=f"{portal}/cancel", subscription=subscription.id)
    ending = shop.subscription(subscription.id)
    assert (ending.cancel_at is not None, ending.cancel_at_period_end) == (True, False)
    assert "It renews on" in browser.send(to=f"{portal}/resume", subscription=subscription.id)
    assert shop.subscription(subscription.id).cancel_at is None


def test_an_upgrade_that_is_not_paid_says_so_and_its_invoice_can_be_paid(
    shop: Shop, browser: Browser, portal: str
) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    browser.open(portal)
    page = browser.send(to=f"{portal}/plan", subscription=subscription.id, price=shop.pro)
    assert browser.status == 422
    assert "Your plan stays as it is until invoice" in page
    invoice = shop.latest_invoice(subscription)
    assert f'<a href="/i/{invoice.id}">A change of plan is waiting' in browser.open(portal)
    assert "Pay this invoice" in browser.open(f"/i/{invoice.id}")
    assert "Paid" in browser.send("pay", **CARD)
    assert price_of(shop.subscription(subscription.id)) == shop.pro


def test_an_invoice_that_waits_for_authentication_is_confirmed_on_its_page(shop: Shop, browser: Browser) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_authenticationRequired")
    shop.upgrade(subscription)
    invoice = shop.latest_invoice(subscription)
    browser.open(f"/i/{invoice.id}")
    assert "Is it you?" in browser.send("authenticate")
    assert "Paid" in browser.send("pass")
    assert price_of(shop.subscription(subscription.id)) == shop.pro


def test_a_new_card_is_saved_or_refused_at_its_field(shop: Shop, browser: Browser, portal: str) -> None:
    shop.card()
    shop.subscribe()
    browser.open(portal)
    page = browser.send(to=f"{portal}/card", **CARD | {"number": "4000000000000002"})
    assert error_of(page, "number") == "Your card was declined."
    page = browser.send(to=f"{portal}/card", **CARD | {"number": "5555555555554444"})
    assert "Mastercard that ends in 4444" in page


def test_the_portal_touches_nobody_elses_subscription(shop: Shop, browser: Browser, portal: str) -> None:
    other = shop.client.v1.customers.create({"email": "mallory@example.com"})
    shop.card()
    subscription = shop.subscribe()
    session = shop.client.v1.billing_portal.sessions.create({"customer": other.id})
    browser.open(portal)
    page = browser.send(to=f"/p/session/{session.id}/cancel", subscription=subscription.id)
    assert "There is no such subscription." in page
    assert shop.subscription(subscription.id).cancel_at is None


def test_an_invoice_prints_its_lines_and_sums(shop: Shop, browser: Browser) -> None:
    shop.card()
    invoice = shop.latest_invoice(shop.subscribe())
    assert invoice.hosted_invoice_url is not None
    page = browser.open(invoice.hosted_invoice_url)
    assert f"Invoice {invoice.number}" in page
    assert "$19.00" in page
    assert "Pay this invoice" not in page
    assert invoice.invoice_pdf is not None
    assert browser.open(invoice.invoice_pdf) == page


@pytest.mark.parametrize(("method", "due"), [("void_invoice", "$0.00"), ("mark_uncollectible", "$7.00")])
def test_of_an_invoice_that_was_voided_nothing_is_due(shop: Shop, browser: Browser, method: str, due: str) -> None:
    shop.client.v1.invoice_items.create({"customer": shop.customer, "amount": 700, "currency": "usd"})
    invoice = shop.client.v1.invoices.create({"customer": shop.customer, "pending_invoice_items_behavior": "include"})
    shop.client.v1.invoices.finalize_invoice(invoice.id)
    assert "Due</th><td>$7.00" in browser.open(f"/i/{invoice.id}")
    getattr(shop.client.v1.invoices, method)(invoice.id)
    page = browser.open(f"/i/{invoice.id}")
    assert f"Due</th><td>{due}" in page
    assert "Pay this invoice" not in page
