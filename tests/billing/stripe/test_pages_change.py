"""Choosing, changing and ending a plan by the forms of the pages, with Stripe behind them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings as SettingsWrapper

from billing.models import Plan, Price, StripeOperation, SubscriptionChange
from tests.billing.meter import plan
from tests.billing.stripe.payer import DECLINED, Payer
from tests.fake_stripe.running import Refused
from tests.people import Person
from tests.sessions_app.browsing import Browser, Form, Forms

IN_DIALOG = {"HX-Request": "true", "HX-Target": "dialog"}
NOTHING: list[str] = []


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def change_form(browser: Browser, chosen: str, interval: str = "month") -> Form:
    return browser.form(f"/billing/change?plan={chosen}&interval={interval}", "/billing/change")


def after(browser: Browser, answer: Any, path: str = "/billing/") -> str:
    """What the page says to which the form has led."""
    assert (answer.status_code, answer["Location"]) == (302, path)
    return words(browser.text(path))


def notices(page: str) -> str:
    found = re.search(r'<div class="messages" role="status">.*?</p>\s*</div>\s*</div>', page, re.DOTALL)
    return found[0] if found else ""


# Buying.


def test_who_has_no_plan_is_led_to_the_payment_page_and_back(payer: Payer) -> None:
    browser = Browser(payer.person)
    page = words(browser.text("/billing/change?plan=pro&interval=month"))
    assert "Plan Free Pro Price Nothing $49 a month Runs a month 10 5,000" in page
    assert "What you pay now $49.00" in page
    assert "5,000 runs are left after the change" in page
    answer = browser.send(change_form(browser, "pro"))
    assert answer.status_code == 302
    session = answer["Location"].rpartition("/")[2]
    assert answer["Location"].startswith(f"{payer.stand_in.url}/c/pay/")
    payer.stand_in.pay(session)
    back = payer.client.v1.checkout.sessions.retrieve(session).success_url
    assert back is not None
    path = back.removeprefix("http://127.0.0.1:8000").replace("{CHECKOUT_SESSION_ID}", session)
    answer = browser.get(path)
    assert answer["Location"] == "http://127.0.0.1:8000/billing/"
    page = words(browser.text("/billing/"))
    assert "Your payment is complete. This workspace is on the Pro plan, with 5,000 runs until" in page
    assert "0 of 5,000 runs" in page
    assert "Your payment is complete" not in words(browser.text("/billing/"))


def test_a_declined_card_buys_nothing_and_a_good_one_then_does(payer: Payer) -> None:
    browser = Browser(payer.person)
    session = browser.send(change_form(browser, "basic", "year"))["Location"].rpartition("/")[2]
    with pytest.raises(Refused):
        payer.stand_in.pay(session, DECLINED)
    assert "0 of 10 runs" in words(browser.text("/billing/"))
    payer.stand_in.pay(session)
    payer.sync()
    assert "$190 a year" in words(browser.text("/billing/"))


def test_the_form_sent_twice_is_one_session(payer: Payer) -> None:
    browser = Browser(payer.person)
    form = change_form(browser, "pro")
    first, second = browser.send(form), browser.send(form)
    assert first["Location"] == second["Location"]
    open_ones = payer.client.v1.checkout.sessions.list({"customer": payer.customer}).data
    assert len(open_ones) == 1


def test_the_first_choice_is_the_next_larger_plan(payer: Payer, calls: Callable[[], list[str]]) -> None:
    browser = Browser(payer.person)
    for path in ("/billing/change", "/billing/change?plan=gold&interval=decade", "/billing/change?plan=enterprise"):
        assert "Plan Free Basic" in words(browser.text(path))
    payer.buy("basic")
    assert "Plan Basic Pro" in words(browser.text("/billing/change"))
    Price.objects.filter(plan__slug="pro", interval="month").update(is_active=False)
    assert "$490 a year" in words(browser.text("/billing/change?plan=PRO&interval=month"))


def test_in_the_dialog_it_is_a_part_and_without_javascript_a_page(payer: Payer) -> None:
    browser = Browser(payer.person)
    part = browser.get("/billing/change?plan=pro", **IN_DIALOG).content.decode()
    page = browser.text("/billing/change?plan=pro")
    assert '<h2 id="dialog-title"' in part
    assert "<html" not in part
    assert 'hx-get="/billing/change?plan=basic&amp;interval=month" hx-target="#dialog"' in part
    assert "data-close" in part
    assert "<h1>Change plan</h1>" in page
    assert 'id="dialog-title"' not in page
    assert "hx-get" not in page.partition("<main")[2].partition("</main>")[0]
    part_form, page_form = (
        next(form for form in Forms(text).found if form.action == "/billing/change") for text in (part, page)
    )
    assert part_form.fields.keys() == page_form.fields.keys()


def test_a_page_of_ours_may_lead_to_stripes(payer: Payer, settings: SettingsWrapper) -> None:
    header = Browser(payer.person).get("/billing/")["Content-Security-Policy"]
    (directive,) = (part.strip() for part in header.split(";") if part.strip().startswith("form-action"))
    assert directive.split()[1:] == ["'self'", *settings.STRIPE_PAGES]


# Changing.


def test_an_upgrade_is_shown_first_and_paid_once(subscriber: Payer) -> None:
    subscriber.run(3)
    subscriber.travel(days=10)
    browser = Browser(subscriber.person)
    page = words(browser.text("/billing/change?plan=pro"))
    assert "Plan Basic Pro Price $19 a month $49 a month Runs a month 1,000 5,000" in page
    assert "Unused time on AI-Manus BASIC" in page
    assert "3 runs are used, 4,997 runs are left after the change." in page
    form = change_form(browser, "pro")
    before = len(subscriber.invoices)
    answers = [browser.send(form), browser.send(form)]
    assert "You are on the Pro plan, with 4,997 runs left until" in after(browser, answers[1])
    assert len(subscriber.invoices) == before + 1
    shown = re.search(r"Pay \$([\d.]+) and change", page)
    assert shown is not None
    assert abs(subscriber.invoices[0].amount_paid - float(shown[1]) * 100) <= 2
    assert (subscriber.row.paid_plan, subscriber.row.paid_interval) == (plan("pro"), "month")
    change = SubscriptionChange.objects.filter(subscription=subscriber.row, cause="upgrade").get()
    assert change.actor == subscriber.person.user


def test_an_upgrade_that_is_not_paid_says_where_to_pay_and_keeps_the_plan(subscriber: Payer) -> None:
    browser = Browser(subscriber.person)
    subscriber.card("pm_card_chargeCustomerFail")
    answer = browser.send(change_form(browser, "pro"))
    assert answer["Location"] == "/billing/"
    page = browser.text("/billing/")
    said = notices(page)
    assert "Your plan stays as it is." in said
    assert "payment_url" not in said
    (url,) = re.findall(r'<a href="([^"]+)">Complete the payment</a>', said)
    assert url == subscriber.invoices[0].hosted_invoice_url
    assert subscriber.row.paid_plan == plan("basic")
    # As long as Stripe waits for it, the page shows the way too.
    page = browser.text("/billing/")
    assert notices(page) == ""
    assert "A change of your plan waits for its payment" in page
    assert f'href="{url}">Complete the payment</a>' in page
    subscriber.stand_in.control("POST", f"invoices/{subscriber.invoices[0].id}/pay", card="4242424242424242")
    subscriber.sync()
    assert "waits for its payment" not in browser.text("/billing/")
    assert subscriber.row.paid_plan == plan("pro")


def test_a_downgrade_comes_with_the_period_and_can_be_taken_back(pro: Payer) -> None:
    browser = Browser(pro.person)
    page = words(browser.text("/billing/change?plan=basic"))
    assert "You keep the Pro plan until" in page
    assert "From then on you have 1,000 runs a month." in page
    assert "Change to Basic then" in page
    said = after(browser, browser.send(change_form(browser, "basic")))
    assert "Your plan changes to Basic on" in said
    assert (pro.row.paid_plan, pro.row.pending_plan) == (plan("pro"), plan("basic"))
    assert 'data-state="pending"' in browser.text("/billing/")
    assert "This change is arranged already" in browser.text("/billing/change?plan=basic")
    resume = browser.form("/billing/", "/billing/resume")
    assert "You are on the Pro plan" in after(browser, browser.send(resume))
    assert pro.row.pending_plan is None
    pro.travel(days=32)
    pro.sync()
    assert pro.row.paid_plan == plan("pro")


def test_the_plan_that_is_paid_for_cannot_be_chosen(pro: Payer) -> None:
    browser = Browser(pro.person)
    page = browser.text("/billing/change?plan=pro&interval=month")
    assert "This is the plan that you pay for now." in page
    assert 'action="/billing/change"' not in page
    assert "Pay $" in browser.text("/billing/change?plan=pro&interval=year")


def test_to_free_is_to_cancel(payer: Payer, pro: Payer) -> None:
    browser = Browser(pro.person)
    assert browser.get("/billing/change?plan=free")["Location"] == "/billing/cancel"
    led = browser.get("/billing/change?plan=free", **IN_DIALOG)
    assert (led.status_code, led["HX-Redirect"]) == (200, "/billing/cancel")


# Cancelling.


def test_a_cancel_says_what_happens_asks_why_and_is_taken_back(pro: Payer) -> None:
    browser = Browser(pro.person)
    page = words(browser.text("/billing/cancel"))
    assert "You keep the Pro plan until" in page
    assert "on the Free plan, with 10 runs a month" in page
    assert pro.row.cancel_at is None
    form = browser.form("/billing/cancel", "/billing/cancel")
    answers = [browser.send(form, reason="missing_features", comment="No <b>boats</b>") for _ in range(2)]
    assert "Your plan is cancelled. You keep it until" in after(browser, answers[1])
    assert pro.one.cancellation_details is not None
    assert pro.one.cancellation_details.comment == "missing_features: No <b>boats</b>"
    assert pro.row.cancel_at == pro.row.paid_end
    page = browser.text("/billing/")
    assert "None is due" in page
    assert "/billing/cancel" not in page
    assert "You are on the Pro plan" in after(browser, browser.send(browser.form("/billing/", "/billing/resume")))
    assert pro.row.cancel_at is None


def test_a_reason_is_not_needed_and_a_wrong_one_is_refused(pro: Payer) -> None:
    browser = Browser(pro.person)
    form = browser.form("/billing/cancel", "/billing/cancel")
    for fields in ({"reason": "spite"}, {"comment": "x" * 401}):
        answer = browser.send(form, **fields)
        assert answer.status_code == 200
        assert 'class="errorlist"' in answer.content.decode()
    assert pro.row.cancel_at is None
    browser.send(form)
    assert pro.row.cancel_at is not None


def test_without_a_plan_there_is_nothing_to_cancel(payer: Payer, calls: Callable[[], list[str]]) -> None:
    browser = Browser(payer.person)
    assert "There is nothing to cancel" in after(browser, browser.get("/billing/cancel"))
    assert browser.get("/billing/cancel", **IN_DIALOG)["HX-Redirect"] == "/billing/"
    assert calls() == NOTHING


# What is in the way.


def test_while_stripe_is_away_it_says_so_and_offers_another_try(subscriber: Payer) -> None:
    browser = Browser(subscriber.person)
    form = change_form(browser, "pro")
    subscriber.stand_in.control("POST", "faults", path=".", status=500, times=100)
    page = browser.text("/billing/change?plan=pro&interval=month")
    assert "The payment service cannot be reached just now." in page
    assert 'href="/billing/change?plan=pro&amp;interval=month">Try again</a>' in page
    assert 'action="/billing/change"' not in page
    answer = browser.send(form)
    assert answer["Location"] == "/billing/change?plan=pro&interval=month"
    assert "The payment service cannot be reached just now." in notices(browser.text(answer["Location"]))
    assert browser.get("/billing/").status_code == 200
    assert "cannot be reached" in after(browser, browser.send(browser.form("/billing/", "/billing/portal")))
    subscriber.stand_in.control("DELETE", "faults")
    assert subscriber.row.paid_plan == plan("basic")
    # The token is free again, and the form that failed can be sent once more.
    assert "You are on the Pro plan" in after(browser, browser.send(form))


def test_without_a_payment_service_plans_are_seen_and_buying_says_so(bob: Person) -> None:
    browser = Browser(bob)
    page = browser.text("/billing/change?plan=pro")
    assert "$49 a month" in words(page)
    assert "billing is not set up" in page
    assert "Try again" not in page
    assert "/billing/portal" not in browser.text("/billing/")
    form = browser.form("/billing/", "/billing/trial")
    form.action = "/billing/change"
    answer = browser.send(form, plan="pro", interval="month", act="checkout")
    assert "billing is not set up" in browser.text(answer["Location"])
    assert not StripeOperation.objects.exists()


def test_a_debt_leads_to_its_payment(pro: Payer) -> None:
    browser = Browser(pro.person)
    form = change_form(browser, "pro", "year")
    pro.card("pm_card_chargeCustomerFail")
    pro.travel(days=31, hours=2)
    pro.sync()
    assert pro.row.stripe_status == "past_due"
    page = browser.text("/billing/change?plan=basic")
    assert "A payment of this workspace is open." in page
    assert 'action="/billing/change"' not in page
    answer = browser.send(form)
    assert answer["Location"] == "/billing/"
    page = browser.text("/billing/")
    url = pro.invoices[0].hosted_invoice_url
    assert f'<a href="{url}">Complete the payment</a>' in notices(page)
    assert f'<a class="button small" href="{url}">Pay $49.00</a>' in page
    assert pro.row.paid_interval == "month"


def test_where_buying_wants_a_verified_address_it_leads_to_that(payer: Payer, settings: SettingsWrapper) -> None:
    browser = Browser(payer.person)
    form = change_form(browser, "pro")
    settings.BUYING_REQUIRES_VERIFIED_EMAIL = True
    page = browser.text("/billing/change?plan=pro")
    assert "What you pay now $49.00" in words(page)
    assert 'action="/billing/change"' not in page
    assert '<a class="button" href="/account/">Verify your address</a>' in page
    assert browser.send(form)["Location"] == "/billing/"
    assert '<a href="/account/">Verify your address</a>' in notices(browser.text("/billing/"))
    assert not StripeOperation.objects.filter(kind="checkout").exists()
    payer.person.user.is_email_verified = True
    payer.person.user.save(update_fields=["is_email_verified"])
    assert browser.send(form)["Location"].startswith(f"{payer.stand_in.url}/c/pay/")


def test_a_form_that_was_overtaken_does_nothing_and_shows_anew(payer: Payer) -> None:
    browser = Browser(payer.person)
    to_buy = change_form(browser, "pro")
    payer.buy("basic")
    said = after(browser, browser.send(to_buy), "/billing/change?plan=pro&interval=month")
    assert "Your plan has changed since this was shown." in said
    assert "Plan Basic Pro" in said
    assert len(payer.at_stripe) == 1
    to_change = change_form(browser, "pro")
    payer.client.v1.subscriptions.cancel(payer.one.id)
    said = after(browser, browser.send(to_change), "/billing/change?plan=pro&interval=month")
    assert "Your plan has changed since this was shown." in said
    assert "Continue to payment" in said


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": "pro; DROP TABLE"},
        {"interval": "week"},
        {"act": "steal"},
        {"plan": ""},
    ],
)
def test_a_form_that_is_not_ours_is_refused(
    payer: Payer, fields: dict[str, str], calls: Callable[[], list[str]]
) -> None:
    browser = Browser(payer.person)
    form = change_form(browser, "pro")
    calls()
    assert browser.send(form, **fields).status_code == 400
    assert calls() == NOTHING


def test_a_plan_that_is_not_sold_is_named(payer: Payer, calls: Callable[[], list[str]]) -> None:
    browser = Browser(payer.person)
    form = change_form(browser, "pro")
    calls()
    assert "There is no plan &#x27;enterprise&#x27;" in after(browser, browser.send(form, plan="enterprise"))
    assert calls() == NOTHING


def test_the_portal_is_opened_by_a_button(pro: Payer) -> None:
    browser = Browser(pro.person)
    answer = browser.send(browser.form("/billing/", "/billing/portal"))
    assert answer.status_code == 302
    assert answer["Location"].startswith(f"{pro.stand_in.url}/p/session/")
    assert StripeOperation.objects.filter(kind="portal").get().intent["return_url"] == "http://127.0.0.1:8000/billing/"


def test_drawing_the_pages_asks_nobody_and_costs_few_statements(
    pro: Payer, calls: Callable[[], list[str]], statements: Callable[[], CaptureQueriesContext]
) -> None:
    browser = Browser(pro.person)
    calls()
    for path in ("/billing/", "/pricing", "/billing/ledger", "/billing/invoices", "/billing/cancel"):
        with statements() as seen:
            browser.text(path)
        assert len(seen) <= 8, (path, [query["sql"] for query in seen])
    assert calls() == NOTHING


def test_staff_may_sell_what_they_like(payer: Payer) -> None:
    Plan.objects.filter(slug="pro").update(is_public=False)
    page = Browser(payer.person).text("/billing/change?plan=pro")
    assert "Plan Free Basic" in words(page)
    Price.objects.update(is_active=False)
    assert "No plan can be bought here yet." in Browser(payer.person).text("/billing/change")


def test_a_year_of_the_same_plan_is_an_upgrade(subscriber: Payer) -> None:
    browser = Browser(subscriber.person)
    page = words(browser.text("/billing/change?plan=basic&interval=year"))
    assert "Price $19 a month $190 a year" in page
    assert "You are on the Basic plan" in after(browser, browser.send(change_form(browser, "basic", "year")))
    assert subscriber.row.paid_interval == "year"
