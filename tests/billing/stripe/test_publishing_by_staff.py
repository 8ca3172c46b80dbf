"""Prices and offers by the hand of staff, and what of them is at Stripe."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.test import Client
from djstripe.models import Price as MirroredPrice
from djstripe.models import Product as MirroredProduct
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from accounts.errors import Problem
from billing import assortment, catalogue, pricing, publishing
from billing.gateway import StripeUnavailable
from billing.models import AuditEntry, Plan, Price, StripeOperation
from billing.terms import Terms
from tests.billing.stripe.payer import Payer
from tests.billing.stripe.test_publishing import ids, own
from tests.fake_stripe.running import StandIn
from tests.people import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def by(staff: Person) -> dict[str, Any]:
    return {"actor": staff.user, "reason": "A test", "now": clock.now()}


def plan(slug: str) -> Plan:
    return Plan.objects.get(slug=slug)


def price(slug: str, interval: str = "month", currency: str = "usd") -> Price:
    return Price.objects.select_related("plan").get(
        plan__slug=slug, interval=interval, currency=currency, is_active=True
    )


def stored() -> list[Any]:
    rows: list[Any] = [list(table.objects.order_by("pk").values()) for table in (Plan, Price)]
    return [*rows, AuditEntry.objects.count()]


def small(by: dict[str, Any]) -> Plan:
    return assortment.create(slug="small", name="AI-Manus SMALL", rank=25, runs_limit=2000, **by)


def test_another_amount_is_another_price_at_stripe_and_who_pays_the_old_one_keeps_it(
    subscriber: Payer, other: Payer, by: dict[str, Any]
) -> None:
    old = price("basic")
    made = pricing.set_price(plan("basic"), Terms("month", "usd", 2100), **by)
    assert made.stripe_price_id not in (None, old.stripe_price_id)
    assert subscriber.client.v1.prices.retrieve(str(made.stripe_price_id)).unit_amount == 2100
    assert MirroredPrice.objects.filter(id=made.stripe_price_id).exists()
    # Who had it goes on at the old amount, a renewal later too; who comes now pays the new one.
    other.buy("basic")
    assert [invoice.total for invoice in other.invoices] == [2100]
    subscriber.travel(days=32)
    subscriber.sync()
    assert [invoice.total for invoice in subscriber.invoices] == [1900, 1900]
    assert (subscriber.row.paid_price, subscriber.sees()["plan"]) == (old, "basic")
    entry = AuditEntry.objects.get(action="set price")
    assert (entry.before["at_stripe"], entry.after["at_stripe"]) == (
        old.stripe_price_id,
        made.stripe_price_id,
    )


def test_what_failed_at_stripe_is_not_sold_here_and_is_not_made_twice(
    shop: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any], settings: SettingsWrapper
) -> None:
    settings.STRIPE_RETRIES = 0
    before = stored()
    for how in ({"status": 500}, {"status": 500, "after": True}):
        shop.control("POST", "faults", path="POST /v1/prices", times=1, **how)
        with pytest.raises(StripeUnavailable):
            pricing.set_price(plan("basic"), Terms("month", "usd", 2100), **by)
        assert stored() == before
    pricing.set_price(plan("basic"), Terms("month", "usd", 2100), **by)
    at_stripe = [one for one in stripe_client.v1.prices.list({"limit": 100}).data if one.unit_amount == 2100]
    assert [one.id for one in at_stripe] == [price("basic").stripe_price_id]


def test_the_former_amount_again_is_another_price_and_a_withdrawn_one_is_taken_up_again(
    shop: StandIn, by: dict[str, Any], stripe_calls: Callable[[], list[str]]
) -> None:
    first = price("basic", "year")
    pricing.withdraw(first, **by)
    assert pricing.foresee(plan("basic"), Terms("year", "usd", 19000)).at_stripe == (
        f"{first.stripe_price_id} is there, and is taken up again."
    )
    made_before = stripe_calls().count("POST /v1/prices")
    assert pricing.set_price(plan("basic"), Terms("year", "usd", 19000), **by) == first
    assert stripe_calls().count("POST /v1/prices") == made_before
    second = pricing.set_price(plan("basic"), Terms("year", "usd", 20000), **by)
    third = pricing.set_price(plan("basic"), Terms("year", "usd", 19000), **by)
    assert len({first.stripe_price_id, second.stripe_price_id, third.stripe_price_id}) == 3


def test_a_price_of_the_dashboard_is_linked_by_its_id(
    shop: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any]
) -> None:
    first = price("pro")
    same, dearer = own(stripe_client, 4900), own(stripe_client, 5900)
    linked = pricing.set_price(plan("pro"), Terms("month", "usd", 4900, same.id), **by)
    assert (linked.stripe_price_id, linked.stripe_product_id) == (same.id, same.product)
    first.refresh_from_db()
    assert (first.is_active, bool(first.stripe_price_id)) == (False, True)
    # With another amount it is a new price too.
    terms = Terms("month", "usd", 5900, dearer.id)
    assert pricing.foresee(plan("pro"), terms).at_stripe == f"{dearer.id} is there, and is linked."
    pricing.set_price(plan("pro"), terms, **by)
    assert (ids()[("pro", "month")], price("pro").unit_amount) == (dearer.id, 5900)
    # And back to the first, whose row is here still.
    again = pricing.set_price(plan("pro"), Terms("month", "usd", 4900, str(first.stripe_price_id)), **by)
    assert again == first
    assert Price.objects.filter(plan__slug="pro", interval="month").count() == 3


def test_a_price_that_waits_is_linked_where_it_stands(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any]
) -> None:
    waiting, there = price("pro"), own(stripe_client, 4900)
    assert pricing.set_price(plan("pro"), Terms("month", "usd", 4900, there.id), **by) == waiting
    assert ids()[("pro", "month")] == there.id


@pytest.mark.parametrize(
    ("made", "terms", "sentence"),
    [
        ((4900, "month", "usd"), (5900, "month", "usd"), "{id} is 49.00 USD a month at Stripe, and AI-Manus PRO"
            " 59.00 USD a month here: change one of them."),
        ((5900, "month", "eur"), (5900, "month", "usd"), "{id} is 59.00 EUR a month at Stripe, and AI-Manus PRO"
            " 59.00 USD a month here: change one of them."),
        ((5900, "year", "usd"), (5900, "month", "usd"), "The price at Stripe is {id}, which is not an active price"
            " by the month at Stripe."),
        (None, (5900, "month", "usd"), "The price at Stripe is price_of_nobody, and Stripe has no such price for"
            " this key."),
    ],
)  # fmt: skip
def test_a_price_of_the_dashboard_that_does_not_fit_is_refused(
    shop: StandIn,
    stripe_client: stripe.StripeClient,
    by: dict[str, Any],
    made: tuple[int, str, str] | None,
    terms: tuple[int, str, str],
    sentence: str,
) -> None:
    id = own(stripe_client, *made).id if made else "price_of_nobody"
    before = stored()
    amount, interval, currency = terms
    with pytest.raises(publishing.Mismatch) as refused:
        pricing.set_price(plan("pro"), Terms(interval, currency, amount, id), **by)
    assert str(refused.value) == sentence.format(id=id)
    assert stored() == before


def test_one_price_at_stripe_is_never_two_plans(shop: StandIn, by: dict[str, Any]) -> None:
    basic, made = price("basic"), small(by)
    before = stored()
    terms = Terms("month", "usd", 1900, str(basic.stripe_price_id))
    for act in (lambda: pricing.foresee(made, terms), lambda: pricing.set_price(made, terms, **by)):
        with pytest.raises(publishing.Mismatch) as refused:
            act()
        assert str(refused.value) == (
            f"{basic.stripe_price_id} is AI-Manus BASIC 19.00 USD a month here already,"
            " and cannot be AI-Manus SMALL 19.00 USD a month as well."
        )
        assert stored() == before


def test_nor_by_the_environment(
    shop: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any], settings: SettingsWrapper
) -> None:
    pricing.set_price(plan("pro"), Terms("month", "usd", 1900), **by)
    sound = own(stripe_client, 19000, "year").id
    settings.STRIPE_PRICE_IDS = {("basic", "year"): sound, ("pro", "month"): price("basic").stripe_price_id}
    before = stored()
    with pytest.raises(publishing.Mismatch, match=r"is AI-Manus BASIC 19\.00 USD a month here already"):
        publishing.link()
    assert stored() == before


def test_the_environment_goes_back_to_a_price_that_it_named_before(
    shop: StandIn, stripe_client: stripe.StripeClient, settings: SettingsWrapper
) -> None:
    one, two = own(stripe_client, 4900).id, own(stripe_client, 4900).id
    for id in (one, two, one):
        settings.STRIPE_PRICE_IDS = {("pro", "month"): id}
        publishing.link()
        assert ids()[("pro", "month")] == id


def test_a_currency_that_stripe_does_not_take_is_refused_by_stripe_and_not_sold(
    shop: StandIn, by: dict[str, Any]
) -> None:
    shop.control("POST", "faults", path="POST /v1/prices", times=1, status=400)
    before = stored()
    with pytest.raises(Problem):
        pricing.set_price(plan("basic"), Terms("month", "eur", 2100, is_further_currency=True), **by)
    assert stored() == before


def test_what_waits_is_published_with_a_line_for_each(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any]
) -> None:
    foreseen = publishing.intentions(publishing.unpublished())
    assert [(publishing.describe(one.price), one.how, one.is_product_there) for one in foreseen] == [
        ("AI-Manus BASIC 19.00 USD a month", "made", False),
        ("AI-Manus BASIC 190.00 USD a year", "made", False),
        ("AI-Manus PRO 49.00 USD a month", "made", False),
        ("AI-Manus PRO 490.00 USD a year", "made", False),
    ]
    assert stripe_client.v1.prices.list().data == []
    outcomes = pricing.publish(**by)
    assert {one.at_stripe.id for one in outcomes} == {one.id for one in stripe_client.v1.prices.list().data}
    entries = AuditEntry.objects.filter(action="publish price")
    assert {one.after["at_stripe"] for one in entries} == set(ids().values())
    assert pricing.publish(**by) == []
    assert entries.count() == 4


def test_what_was_published_before_a_failure_is_kept_and_the_rest_follows(
    stripe_stand_in: StandIn, by: dict[str, Any], settings: SettingsWrapper, stripe_calls: Callable[[], list[str]]
) -> None:
    settings.STRIPE_RETRIES = 0
    Plan.objects.filter(slug=Plan.PRO).update(is_public=False)
    pricing.publish(**by)
    Plan.objects.filter(slug=Plan.PRO).update(is_public=True)
    Price.objects.update(stripe_price_id=None, stripe_product_id="")
    stripe_stand_in.control("POST", "faults", path="POST /v1/products", status=500, times=9)
    with pytest.raises(StripeUnavailable):
        pricing.publish(**by)
    assert sorted(slug for (slug, _), id in ids().items() if id) == ["basic", "basic"]
    assert AuditEntry.objects.filter(action="publish price").count() == 2 + 2
    stripe_stand_in.control("DELETE", "faults")
    assert [str(one).partition(":")[0] for one in pricing.publish(**by)] == [
        "AI-Manus PRO 49.00 USD a month",
        "AI-Manus PRO 490.00 USD a year",
    ]
    assert stripe_calls().count("POST /v1/prices") == 4


def test_a_hidden_plan_is_published_when_it_is_shown(stripe_stand_in: StandIn, by: dict[str, Any], bob: Person) -> None:
    pricing.publish(**by)
    made = small(by)
    waiting = Price.objects.create(plan=made, unit_amount=2900)
    # Nothing of a hidden plan is sold, so nothing is published of it.
    assert pricing.publish(**by) == []
    (outcome,) = pricing.show(made, **by)
    waiting.refresh_from_db()
    assert (outcome.price, waiting.stripe_price_id) == (waiting, outcome.at_stripe.id)
    assert plan("small").is_public
    answer = bob.post("/billing/create-checkout-session", {"plan": "small"})
    assert answer.status_code == 200, answer.content


def test_while_stripe_is_away_a_plan_whose_price_waits_is_not_shown(
    stripe_stand_in: StandIn, by: dict[str, Any], settings: SettingsWrapper
) -> None:
    made = small(by)
    Price.objects.create(plan=made, unit_amount=2900)
    settings.STRIPE_RETRIES = 0
    stripe_stand_in.control("POST", "faults", path=".", status=500, times=9)
    with pytest.raises(StripeUnavailable):
        pricing.show(made, **by)
    assert not plan("small").is_public


def test_what_a_plan_is_called_by_now_is_said_at_stripe_too(
    shop: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any]
) -> None:
    assert publishing.renamings() == []
    assortment.edit(plan("pro"), name="AI-Manus GRAND", description="6,000 agent runs per month", **by)
    assert [(one.plan.name, one.found.name) for one in publishing.renamings()] == [("AI-Manus GRAND", "AI-Manus PRO")]
    assert pricing.publish(**by) == []
    product = stripe_client.v1.products.retrieve("ai_manus_pro")
    assert (product.name, product.description) == ("AI-Manus GRAND", "6,000 agent runs per month")
    assert MirroredProduct.objects.get(id="ai_manus_pro").stripe_data["name"] == "AI-Manus GRAND"
    entry = AuditEntry.objects.get(action="rename product")
    assert (entry.before["name"], entry.after["name"]) == ("AI-Manus PRO", "AI-Manus GRAND")
    assert publishing.renamings() == []


def test_a_product_of_the_dashboard_keeps_its_name(
    shop: StandIn, stripe_client: stripe.StripeClient, by: dict[str, Any]
) -> None:
    for amount, interval in ((4900, "month"), (49000, "year")):
        id = own(stripe_client, amount, interval).id
        pricing.set_price(plan("pro"), Terms(interval, "usd", amount, id), **by)
    assortment.edit(plan("pro"), name="AI-Manus GRAND", **by)
    assert publishing.renamings() == []


def test_the_catalogues_price_again_finds_the_one_that_staff_withdrew(shop: StandIn, by: dict[str, Any]) -> None:
    first = price("basic", "year")
    pricing.withdraw(first, **by)
    catalogue.load(now=clock.now(), overwrite=True)
    publishing.publish()
    assert price("basic", "year") == first
    assert Price.objects.filter(plan__slug="basic", interval="year").count() == 1


def test_who_pays_for_a_retired_plan_keeps_it_and_nobody_can_change_to_it(
    subscriber: Payer, other: Payer, by: dict[str, Any]
) -> None:
    assortment.retire(plan("basic"), **by)
    subscriber.travel(days=32)
    subscriber.sync()
    assert (subscriber.sees()["plan"], subscriber.sees()["source"]) == ("basic", "paid")
    browser = Client()
    browser.force_login(subscriber.person.user)
    for path in ("/billing/", "/billing/change", "/pricing"):
        page = browser.get(path, headers={"Accept": "text/html"})
        assert (page.status_code, "Change to Basic" in page.content.decode()) == (200, False), path
    assert "Basic" in browser.get("/billing/").content.decode()
    answer = other.post("create-checkout-session", {"plan": "basic"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert StripeOperation.objects.filter(kind="checkout", workspace=other.person.workspace).count() == 0
    # Who has it may still leave it, and may come back to what is sold only.
    other.buy("pro")
    assert other.post("change-plan", {"plan": "basic"}).status_code == 400
