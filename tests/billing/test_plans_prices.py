"""Prices by the hand of staff where Stripe is not set up: they hold here, and wait to be published."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.errors import Problem
from billing import pricing
from billing.models import AuditEntry, Plan, Price
from billing.terms import Terms
from tests.billing.facts import at
from tests.people import Person
from tests.threads import at_once

pytestmark = pytest.mark.django_db

NOW = at(2026, 3, 20, 12)


@pytest.fixture
def by(staff: Person) -> dict[str, Any]:
    return {"actor": staff.user, "reason": "A test", "now": NOW}


def plan(slug: str = Plan.BASIC) -> Plan:
    return Plan.objects.get(slug=slug)


def price(slug: str = Plan.BASIC, interval: str = "month", currency: str = "usd") -> Price:
    return Price.objects.select_related("plan").get(
        plan__slug=slug, interval=interval, currency=currency, is_active=True
    )


def sold(slug: str = Plan.BASIC) -> list[tuple[str, str, int]]:
    rows = Price.objects.filter(plan__slug=slug, is_active=True).order_by("currency", "interval")
    return list(rows.values_list("interval", "currency", "unit_amount"))


def refused(act: Callable[[], object], sentence: str) -> None:
    """With that sentence, and nothing is changed or written down."""
    before = [list(Price.objects.order_by("id").values()), AuditEntry.objects.count()]
    with pytest.raises(Problem) as problem:
        act()
    assert str(problem.value.detail) == sentence
    assert [list(Price.objects.order_by("id").values()), AuditEntry.objects.count()] == before


def at_stripe(*slugs: str) -> None:
    """As if published: what somebody may be paying."""
    for one in Price.objects.filter(plan__slug__in=slugs):
        Price.objects.filter(pk=one.pk).update(stripe_price_id=f"price_{one.pk.hex}", stripe_product_id="prod_1")


def test_another_amount_is_another_price_and_the_old_one_stays_known(by: dict[str, Any], bob: Person) -> None:
    at_stripe(Plan.BASIC)
    old = price()
    made = pricing.set_price(plan(), Terms("month", "usd", 2100), **by)
    old.refresh_from_db()
    assert (old.is_active, old.unit_amount, bool(old.stripe_price_id)) == (False, 1900, True)
    assert (made.is_active, made.unit_amount, made.stripe_price_id) == (True, 2100, None)
    (basic,) = (one for one in bob.get("/billing/plans").json() if one["plan"] == "basic")
    assert [(one["interval"], one["unit_amount"]) for one in basic["prices"]] == [("month", 2100), ("year", 19000)]
    entry = AuditEntry.objects.get(action="set price")
    assert (entry.target, entry.actor_name, entry.reason) == (f"plan:{plan().pk}", "staff@example.com", "A test")
    assert entry.before == {
        "price by the month in USD": "19.00 USD a month",
        "at_stripe": old.stripe_price_id,
    }
    assert entry.after == {
        "price by the month in USD": "21.00 USD a month",
        "at_stripe": None,
    }


def test_a_price_that_nobody_could_ever_pay_leaves_nothing_behind(by: dict[str, Any]) -> None:
    old = price()
    pricing.set_price(plan(), Terms("month", "usd", 2100), **by)
    assert not Price.objects.filter(pk=old.pk).exists()
    pricing.withdraw(price(interval="year"), **by)
    assert sold() == [("month", "usd", 2100)]
    assert Price.objects.filter(plan=plan()).count() == 1


@pytest.mark.parametrize(
    ("slug", "terms", "sentence"),
    [
        (Plan.BASIC, Terms("month", "usd", 1900), "AI-Manus BASIC 19.00 USD a month is what it costs already."
            " It waits to be published."),
        (Plan.BASIC, Terms("month", "usd", 0), "AI-Manus BASIC must cost something, and at most 999,999.99 USD,"
            " which is the most that Stripe takes."),
        (Plan.BASIC, Terms("month", "usd", 100_000_000), "AI-Manus BASIC must cost something, and at most"
            " 999,999.99 USD, which is the most that Stripe takes."),
        (Plan.BASIC, Terms("week", "usd", 100), "A price is by the month or by the year."),
        (Plan.BASIC, Terms("month", "xyz", 100), "XYZ is no currency: say three letters, such as USD."),
        (Plan.BASIC, Terms("month", "eur", 100), "A price in EUR does not match what AI-Manus BASIC is sold at:"
            " 19.00 USD a month and 190.00 USD a year."
            " If it is to be sold in both currencies, say so."),
        (Plan.FREE, Terms("month", "usd", 100), "AI-Manus FREE costs nothing, and has no price."),
        (Plan.TRIAL, Terms("month", "usd", 100), "AI-Manus TRIAL costs nothing, and has no price."),
        (Plan.BASIC, Terms("month", "usd", 2100, "price_1"),
            "Stripe is not set up here, so no price of Stripe's can be linked."),
    ],
)  # fmt: skip
def test_a_price_that_would_not_do_is_refused(by: dict[str, Any], slug: str, terms: Terms, sentence: str) -> None:
    refused(lambda: pricing.set_price(plan(slug), terms, **by), sentence)
    refused(lambda: pricing.foresee(plan(slug), terms), sentence)


def test_a_plan_is_sold_in_a_further_currency_when_that_is_what_is_meant(by: dict[str, Any]) -> None:
    pricing.set_price(plan(), Terms("month", "eur", 1800, is_further_currency=True), **by)
    # From then on it is one of the plan's own.
    pricing.set_price(plan(), Terms("year", "eur", 18000), **by)
    assert sold() == [
        ("month", "eur", 1800),
        ("year", "eur", 18000),
        ("month", "usd", 1900),
        ("year", "usd", 19000),
    ]


def test_currencies_without_minor_units_are_written_as_they_are(by: dict[str, Any]) -> None:
    pricing.set_price(plan(), Terms("month", "jpy", 2900, is_further_currency=True), **by)
    entry = AuditEntry.objects.get(action="set price")
    assert entry.after["price by the month in JPY"] == "2,900 JPY a month"


def test_enterprise_can_have_a_price_and_lose_it_again(by: dict[str, Any], bob: Person) -> None:
    made = pricing.set_price(plan(Plan.ENTERPRISE), Terms("month", "usd", 99900), **by)
    assert b"$999" in bob.client.get("/pricing", headers={"Accept": "text/html"}).content
    pricing.withdraw(made, **by)
    assert sold(Plan.ENTERPRISE) == []
    assert plan(Plan.ENTERPRISE).is_public


def test_a_price_is_withdrawn_while_another_is_left(by: dict[str, Any]) -> None:
    at_stripe(Plan.BASIC)
    yearly = price(interval="year")
    pricing.withdraw(yearly, **by)
    yearly.refresh_from_db()
    assert (yearly.is_active, sold()) == (False, [("month", "usd", 1900)])
    entry = AuditEntry.objects.get(action="withdraw price")
    assert (entry.before["price by the year in USD"], entry.after) == (
        "190.00 USD a year",
        {"price by the year in USD": None},
    )
    refused(lambda: pricing.withdraw(yearly, **by), "AI-Manus BASIC 190.00 USD a year is not sold any more.")
    refused(
        lambda: pricing.withdraw(price(), **by),
        "Without AI-Manus BASIC 19.00 USD a month, AI-Manus BASIC has no price, so nobody could buy it."
        " Set a price in USD first, or hide the plan.",
    )
    Plan.objects.filter(slug=Plan.BASIC).update(is_public=False)
    pricing.withdraw(price(), **by)
    assert sold() == []


def test_the_last_price_in_the_currency_that_visitors_see_stays(by: dict[str, Any]) -> None:
    pricing.set_price(plan(), Terms("month", "eur", 1800, is_further_currency=True), **by)
    pricing.withdraw(price(interval="year"), **by)
    refused(
        lambda: pricing.withdraw(price(), **by),
        "Visitors are shown prices in USD, and without AI-Manus BASIC 19.00 USD a month, AI-Manus BASIC is sold at"
        " 18.00 EUR a month only. Set a price in USD first, or hide the plan.",
    )


def test_it_is_foreseen_what_a_price_takes_the_place_of_and_who_pays_that(by: dict[str, Any], bob: Person) -> None:
    at_stripe(Plan.BASIC)
    subscription = bob.subscription
    subscription.change(
        cause="stripe",
        now=NOW,
        paid_plan=plan(),
        paid_price=price(),
        stripe_status="past_due",
        paid_interval="month",
        paid_anchor=NOW,
        paid_start=NOW,
        paid_end=at(2026, 4, 20, 12),
    )
    found = pricing.foresee(plan(), Terms("month", "usd", 2100))
    assert (found.former, found.payers.number) == (price(), 1)
    assert found.at_stripe == "Nothing yet: Stripe is not set up. The price waits to be published."
    assert pricing.foresee(plan(Plan.PRO), Terms("month", "usd", 2100)).payers.number == 0
    # Who pays the old price is found by it, also after the change.
    pricing.set_price(plan(), Terms("month", "usd", 2100), **by)
    assert bob.subscription.paid_price is not None
    assert bob.subscription.paid_price.unit_amount == 1900


def test_publishing_needs_stripe(by: dict[str, Any]) -> None:
    with pytest.raises(Problem) as problem:
        pricing.publish(**by)
    assert problem.value.code == "billing_not_configured"
    assert not AuditEntry.objects.filter(action="publish price").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_set_one_price_at_once_both_amounts_are_not_sold(by: dict[str, Any]) -> None:
    acts = [
        lambda amount=amount: pricing.set_price(plan(), Terms("month", "usd", amount), **by) for amount in (2000, 2100)
    ]
    results = at_once(acts)
    assert all(isinstance(one, Price) for one in results), results
    assert len([one for one in sold() if one[0] == "month"]) == 1
    entries = AuditEntry.objects.filter(action="set price").order_by("id")
    assert entries[1].before == entries[0].after
