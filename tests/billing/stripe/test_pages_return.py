"""Back from Stripe's pages: what came of it is told from what Stripe and our rows hold, and to whom it belongs."""

import re
from typing import Any

import pytest

from accounts.models import Workspace
from billing.models import StripeOperation
from tests.billing.meter import plan
from tests.billing.stripe.payer import DECLINED, Payer
from tests.fake_stripe.running import Refused
from tests.people import Person
from tests.sessions_app.browsing import Browser

HERE = "http://127.0.0.1:8000"
PAGE = f"{HERE}/billing/"


def checkout(payer: Payer, chosen: str = "pro") -> str:
    return payer.checkout(chosen, success_url=PAGE, cancel_url=PAGE)


def way(payer: Payer, session: str, *, cancelled: bool = False) -> str:
    found = payer.client.v1.checkout.sessions.retrieve(session)
    url = found.cancel_url if cancelled else found.success_url
    assert url is not None
    return url.replace("{CHECKOUT_SESSION_ID}", session).removeprefix(HERE)


def portal(payer: Payer) -> str:
    assert payer.post("create-portal-session", {"return_url": PAGE}).status_code == 200
    operation = StripeOperation.objects.filter(kind="portal").first()
    assert operation is not None
    return f"/billing/return/{operation.pk}"


def said(browser: Browser, path: str) -> tuple[str, str]:
    """The tone and the words of the message on the page to which the way back leads; shown once."""
    answer = browser.get(path)
    assert (answer.status_code, answer["Location"]) == (302, PAGE), answer.content
    page = browser.text("/billing/")
    found = re.search(r'<div class="messages".*?data-tone="(\w+)".*?<p>(.*?)</p>', page, re.DOTALL)
    assert found is not None
    assert found[2] not in browser.text("/billing/")
    return found[1], found[2]


def sheet(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    page = answer.content.decode()
    assert '<main id="main" class="sheet"' in page
    return str(page)


def test_who_has_paid_is_thanked(payer: Payer) -> None:
    session = checkout(payer)
    payer.stand_in.pay(session)
    tone, text = said(Browser(payer.person), way(payer, session))
    assert tone == "good"
    assert text.startswith("Your payment is complete. This workspace is on the Pro plan, with 5,000 runs until")


def test_who_turned_back_has_bought_nothing(payer: Payer) -> None:
    session = checkout(payer)
    browser = Browser(payer.person)
    tone, text = said(browser, way(payer, session, cancelled=True))
    assert tone == "info"
    assert text.startswith("The payment was not made, and nothing was charged. This workspace is on the Free plan")
    with pytest.raises(Refused):
        payer.stand_in.pay(session, DECLINED)
    tone, text = said(browser, way(payer, session))
    assert tone == "warn"
    assert text.startswith("The payment was not completed")


def test_the_address_decides_nothing(payer: Payer) -> None:
    session = checkout(payer)
    payer.stand_in.pay(session)
    # Paid, and led back by the way of who turned back.
    tone, text = said(Browser(payer.person), way(payer, session, cancelled=True))
    assert (tone, text[:25]) == ("good", "Your payment is complete.")


def test_a_session_that_has_lapsed_bought_nothing(payer: Payer) -> None:
    session = checkout(payer)
    payer.client.v1.checkout.sessions.expire(session)
    assert said(Browser(payer.person), way(payer, session))[1].startswith("The payment was not made")


def test_an_order_whose_payment_takes_days_is_not_called_paid(payer: Payer) -> None:
    session = checkout(payer)
    payer.stand_in.control("POST", f"checkout/{session}/pay", card="4242424242424242", is_delayed=True)
    tone, text = said(Browser(payer.person), way(payer, session))
    assert tone == "info"
    assert text.startswith("Your order is complete, and its payment is under way.")
    assert "on the Pro plan, with 500 runs until" in text
    payer.stand_in.control("POST", f"checkout/{session}/settle", outcome="succeeded")
    assert said(Browser(payer.person), way(payer, session))[0] == "good"


def test_each_change_at_the_portal_is_told(pro: Payer) -> None:
    browser, subscription = Browser(pro.person), pro.one.id
    path = portal(pro)
    assert said(browser, path)[1].startswith("Your plan is as it was. This workspace is on the Pro plan")

    path = portal(pro)
    pro.client.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
    tone, text = said(browser, path)
    assert tone == "good"
    assert text.startswith("Your plan was cancelled.")
    assert "It is cancelled and ends on" in text

    path = portal(pro)
    pro.client.v1.subscriptions.update(subscription, {"cancel_at_period_end": False})
    pro.sync()  # a delivery may be faster than the browser
    assert said(browser, path)[1].startswith("Your plan goes on.")

    path = portal(pro)
    assert pro.post("change-plan", {"plan": "basic"}).status_code == 200
    text = said(browser, path)[1]
    assert text.startswith("A change of your plan is arranged.")
    assert "it is the Basic plan." in text

    path = portal(pro)
    assert pro.post("resume").status_code == 200
    assert said(browser, path)[1].startswith("Your plan stays as it is.")

    path = portal(pro)
    assert pro.post("change-plan", {"plan": "pro", "interval": "year"}).status_code == 200
    assert said(browser, path)[1].startswith("Your plan was changed.")


def test_a_debt_that_was_paid_at_the_portal_is_told(pro: Payer) -> None:
    pro.card("pm_card_chargeCustomerFail")
    pro.travel(days=31, hours=2)
    pro.sync()
    assert pro.row.stripe_status == "past_due"
    path = portal(pro)
    pro.stand_in.control("POST", f"invoices/{pro.invoices[0].id}/pay", card="4242424242424242")
    assert said(Browser(pro.person), path)[1].startswith("What was open is paid.")


def test_what_was_before_the_portal_is_not_told(subscriber: Payer) -> None:
    assert subscriber.post("change-plan", {"plan": "pro"}).status_code == 200
    assert said(Browser(subscriber.person), portal(subscriber))[1].startswith("Your plan is as it was.")


def test_while_stripe_is_away_it_is_one_moment_and_the_same_again_works(payer: Payer) -> None:
    session = checkout(payer)
    payer.stand_in.pay(session)
    path, browser = way(payer, session), Browser(payer.person)
    payer.stand_in.control("POST", "faults", path=".", status=500, times=100)
    page = sheet(browser.get(path), 503)
    assert "your plan changes by itself" in page
    assert f'href="{path.replace("&", "&amp;")}">Look again</a>' in page
    payer.stand_in.control("DELETE", "faults")
    assert said(browser, path)[0] == "good"


def test_another_browser_sees_the_outcome_and_no_page_of_the_workspace(payer: Payer, charlie: Person) -> None:
    session = checkout(payer)
    payer.stand_in.pay(session)
    path = way(payer, session)
    for browser in (Browser(charlie), Browser(payer.person)):
        if browser.client.session["workspace"] == str(payer.person.workspace.pk):
            browser.client.logout()
        page = sheet(browser.get(path))
        assert "Your payment is complete." in page
        assert "bob" not in page.lower().replace("bob@example.com", "")
        assert 'class="messages"' not in page
    assert 'class="messages"' not in Browser(charlie).text("/billing/")
    assert payer.row.paid_plan == plan("pro")


def test_who_has_switched_meanwhile_is_told_apart(payer: Payer) -> None:
    team = Workspace.objects.open(name="Bob's team", owner=payer.person.user, now=payer.row.created_at)
    session = checkout(payer)
    payer.stand_in.pay(session)
    browser = Browser(payer.person.into(team))
    page = sheet(browser.get(way(payer, session)))
    assert "Your payment is complete." in page
    assert "This is about another workspace than the one that you have chosen here." in page
    assert 'class="messages"' not in browser.text("/billing/")


def test_a_client_of_the_api_is_led_to_its_own_page_without_a_message(payer: Payer) -> None:
    session = payer.checkout("pro", success_url="http://localhost:3000/thanks", cancel_url="http://localhost:3000/no")
    payer.stand_in.pay(session)
    browser = Browser(payer.person)
    assert browser.get(way(payer, session))["Location"] == "http://localhost:3000/thanks"
    assert 'class="messages"' not in browser.text("/billing/")
