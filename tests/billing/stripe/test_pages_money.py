"""What the page shows of money: the next payment, the card, the invoices; from our rows, and to whom they belong."""

import re
from collections.abc import Callable

import pytest
import stripe
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings as SettingsWrapper

from accounts.models import Role, Workspace
from billing.models import Price, Subscription
from billing.payments import next_payment, payments_of
from billing.words import day
from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn
from tests.people import Person, join, person
from tests.sessions_app.browsing import Browser


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def page_of(payer: Payer) -> str:
    return words(Browser(payer.person).text("/billing/"))


def due(payer: Payer) -> tuple[int, bool] | None:
    """The amount of the next payment, and whether it is about."""
    row = payer.row
    found = next_payment(row, payments_of(row, with_invoices=True), now=row.updated_at)
    return (found.amount, found.is_about) if found else None


def test_the_next_payment_is_the_price_on_the_day_the_period_ends(pro: Payer) -> None:
    end = pro.row.paid_end
    assert end is not None
    page = page_of(pro)
    assert "Pro plan Active" in page
    assert f"Price $49 a month Next payment {day(end)} $49.00" in page
    pro.travel(days=32)
    pro.sync()
    assert pro.invoices[0].amount_paid == 4900
    assert pro.row.paid_end is not None
    assert pro.row.paid_end > end
    assert f"Next payment {day(pro.row.paid_end)} $49.00" in page_of(pro)


def test_what_is_arranged_for_then_is_charged_then(pro: Payer) -> None:
    pro.post("change-plan", {"plan": "basic"})
    assert due(pro) == (1900, False)
    pro.post("cancel")
    assert due(pro) is None
    assert "Next payment None is due" in page_of(pro)


def test_a_year_is_paid_by_the_year(payer: Payer) -> None:
    payer.buy("basic", interval="year")
    assert due(payer) == (19000, False)
    assert "Price $190 a year" in page_of(payer)


def test_with_a_discount_a_balance_or_taxes_it_is_about(pro: Payer, settings: SettingsWrapper) -> None:
    assert due(pro) == (4900, False)
    pro.client.v1.customers.update(pro.customer, {"balance": -500})
    pro.sync()
    assert due(pro) == (4900, True)
    assert "about $49.00, before taxes, discounts and what you have to your credit" in page_of(pro)
    pro.client.v1.customers.update(pro.customer, {"balance": 0})
    coupon = pro.client.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    pro.sync()
    assert due(pro) == (4900, False)
    pro.client.v1.subscriptions.update(pro.one.id, {"discounts": [{"coupon": coupon.id}]})
    pro.sync()
    assert due(pro) == (4900, True)
    pro.client.v1.subscriptions.update(pro.one.id, {"discounts": ""})
    pro.sync()
    assert due(pro) == (4900, False)
    settings.STRIPE_AUTOMATIC_TAX = True
    assert due(pro) == (4900, True)


def test_what_stripe_does_not_collect_is_not_due(pro: Payer) -> None:
    pro.client.v1.subscriptions.update(pro.one.id, {"pause_collection": {"behavior": "void"}})
    pro.sync()
    assert due(pro) is None


def test_a_price_that_is_not_sold_any_more_is_still_the_price(pro: Payer) -> None:
    Price.objects.filter(plan__slug="pro").update(is_active=False)
    assert due(pro) == (4900, False)
    assert "$49 a month" in words(Browser(pro.person).text("/billing/change?plan=basic"))


def test_the_card_is_the_one_that_pays(pro: Payer) -> None:
    assert "Paid with Visa ending in 4242 valid until" in page_of(pro)
    pro.card("pm_card_mastercard")
    pro.sync()
    assert "Paid with Mastercard ending in 4444" in page_of(pro)


def test_invoices_with_their_links(pro: Payer, calls: Callable[[], list[str]]) -> None:
    invoice = pro.invoices[0]
    page = Browser(pro.person).text("/billing/")
    assert f"{invoice.number} Paid $49.00 Open {invoice.number} PDF {invoice.number}" in words(page)
    assert f'href="{invoice.hosted_invoice_url}"' in page
    assert f'href="{invoice.invoice_pdf}"' in page
    assert "All invoices" not in page


def test_older_invoices_are_on_a_page_of_their_own(
    subscriber: Payer, statements: Callable[[], CaptureQueriesContext]
) -> None:
    assert "Once a plan is paid for" not in Browser(subscriber.person).text("/billing/invoices")
    for _ in range(6):
        subscriber.travel(days=31, hours=2)
    subscriber.sync()
    browser = Browser(subscriber.person)
    with statements() as seen:
        page = browser.text("/billing/")
    assert len(seen) <= 8, [query["sql"] for query in seen]
    assert "All invoices" in page
    paid = [str(invoice.number) for invoice in subscriber.invoices if invoice.status != "draft"]
    assert re.findall(r'<th scope="row" class="nowrap">(.*?)</th>', page) == paid[:5]
    with statements() as seen:
        shown = re.findall(r'<th scope="row" class="nowrap">(.*?)</th>', browser.text("/billing/invoices"))
    assert len(seen) <= 8
    assert shown == paid
    assert len(paid) > 5


def test_what_is_open_is_paid_where_stripe_takes_it(pro: Payer) -> None:
    pro.card("pm_card_chargeCustomerFail")
    pro.travel(days=31, hours=2)
    pro.sync()
    page = Browser(pro.person).text("/billing/")
    url = pro.invoices[0].hosted_invoice_url
    assert f'<a class="button small" href="{url}">Pay $49.00</a>' in page
    assert "To be paid" in page
    assert "Payment failed" in page


@pytest.fixture
def team_payer(shop: StandIn, stripe_client: stripe.StripeClient, tara: Person) -> Payer:
    """tara, whose team is on PRO."""
    payer = Payer(tara, shop, stripe_client)
    payer.buy("pro")
    return payer


def test_members_see_the_plan_and_no_money_of_it(team_payer: Payer, dana: Person, mike: Person) -> None:
    number, url = team_payer.invoices[0].number, team_payer.invoices[0].hosted_invoice_url
    assert number is not None
    for one, sees in ((team_payer.person, True), (dana, True), (mike, False)):
        page = Browser(one).text("/billing/")
        assert "0 of 5,000 runs" in words(page)
        assert (number in page, f'href="{url}"' in page, "ending in 4242" in page) == (sees, sees, sees)
        assert "Next payment" in page


def test_nobody_sees_another_workspaces(pro: Payer, other: Payer) -> None:
    other.buy("basic")
    mine, theirs = pro.invoices[0].number, other.invoices[0].number
    assert mine is not None
    assert theirs is not None
    for path in ("/billing/", "/billing/invoices"):
        page = Browser(other.person).text(path)
        assert (mine in page, theirs in page) == (False, True)
    # Who is in both sees those of the one that they are in.
    join(pro.person.workspace, other.person.user, Role.ADMIN)
    assert theirs in Browser(other.person).text("/billing/invoices")
    assert mine in Browser(other.person.into(pro.person.workspace)).text("/billing/invoices")


def test_who_never_paid_has_an_empty_page_that_says_what_comes(payer: Payer, calls: Callable[[], list[str]]) -> None:
    browser = Browser(payer.person)
    assert "No invoices yet" in browser.text("/billing/invoices")
    assert "Nothing was charged yet." in browser.text("/billing/")
    team = Workspace.objects.open(name="New", owner=person("new@example.com").user, now=payer.row.created_at)
    row = Subscription.objects.with_plans().get(workspace=team)
    assert payments_of(row, with_invoices=True).invoices == ()
    assert calls() == []
