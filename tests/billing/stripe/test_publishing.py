"""Our prices and Stripe's: `sync_plans`, with and without --create."""

from collections.abc import Callable
from io import StringIO

import pytest
import stripe
from django.core.management import CommandError, call_command
from pytest_django import Settings as SettingsWrapper

from billing.models import Plan, Price, StripeOperation
from tests.fake_stripe.running import StandIn

pytestmark = pytest.mark.django_db


def sync_plans(*options: str) -> list[str]:
    out = StringIO()
    call_command("sync_plans", *options, stdout=out)
    return out.getvalue().splitlines()


def ids() -> dict[tuple[str, str], str | None]:
    rows = Price.objects.filter(is_active=True).values_list("plan__slug", "interval", "stripe_price_id")
    return {(plan, interval): id for plan, interval, id in rows}


def own(client: stripe.StripeClient, amount: int, interval: str = "month", currency: str = "usd") -> stripe.Price:
    """A price that somebody made in Stripe's dashboard."""
    product = client.v1.products.create({"name": f"Plan at {amount}"})
    recurring: stripe.params.PriceCreateParamsRecurring = {"interval": interval}
    return client.v1.prices.create(
        {"product": product.id, "currency": currency, "unit_amount": amount, "recurring": recurring}
    )


def test_what_is_sold_is_made_at_stripe_once(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, stripe_calls: Callable[[], list[str]]
) -> None:
    lines = sync_plans("--create")
    assert lines[0] == "5 plans in the catalogue, 0 written."
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "AI-Manus BASIC 19.00 USD a month",
        "AI-Manus BASIC 190.00 USD a year",
        "AI-Manus PRO 49.00 USD a month",
        "AI-Manus PRO 490.00 USD a year",
    ]
    assert all(line.endswith("(made)") for line in lines[1:])
    made = stripe_client.v1.prices.list().data
    assert {price.id for price in made} == set(ids().values())
    assert {price.lookup_key: price.unit_amount for price in made} == {
        "ai_manus_basic_month_usd": 1900,
        "ai_manus_basic_year_usd": 19000,
        "ai_manus_pro_month_usd": 4900,
        "ai_manus_pro_year_usd": 49000,
    }
    assert {product.id: product.name for product in stripe_client.v1.products.list().data} == {
        "ai_manus_basic": "AI-Manus BASIC",
        "ai_manus_pro": "AI-Manus PRO",
    }
    assert sync_plans("--create") == ["5 plans in the catalogue, 0 written."]
    assert sync_plans("--check") == ["All 5 plans are as the catalogue has them."]
    assert stripe_calls().count("POST /v1/prices") == 4


def test_another_database_finds_what_is_there(stripe_stand_in: StandIn, stripe_client: stripe.StripeClient) -> None:
    sync_plans("--create")
    before = ids()
    Price.objects.update(stripe_price_id=None, stripe_product_id="")
    StripeOperation.objects.all().delete()
    assert all(line.endswith("(found)") for line in sync_plans("--create")[1:])
    assert ids() == before
    assert len(stripe_client.v1.prices.list().data) == 4


def test_a_new_amount_is_a_new_price_and_the_old_one_stays_known(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient
) -> None:
    sync_plans("--create")
    old = Price.objects.get(plan__slug="basic", interval="month")
    Price.objects.filter(pk=old.pk).update(is_active=False)
    Price.objects.create(plan=old.plan, unit_amount=2100)
    assert sync_plans("--create")[-1].startswith("AI-Manus BASIC 21.00 USD a month: price_")
    old.refresh_from_db()
    assert old.stripe_price_id
    assert ids()[("basic", "month")] not in (None, old.stripe_price_id)
    found = stripe_client.v1.prices.list({"lookup_keys": ["ai_manus_basic_month_usd"]}).data
    assert [price.unit_amount for price in found] == [2100]


def test_without_create_it_says_what_nobody_can_buy(stripe_stand_in: StandIn) -> None:
    lines = sync_plans()
    assert len(lines) == 5
    assert lines[1] == (
        "AI-Manus BASIC 19.00 USD a month is not at Stripe, so nobody can buy it:"
        " name its price in the environment, or run this with --create."
    )
    assert set(ids().values()) == {None}
    with pytest.raises(CommandError):
        sync_plans("--check")


def test_the_environment_names_prices(
    stripe_stand_in: StandIn, stripe_client: stripe.StripeClient, settings: SettingsWrapper
) -> None:
    basic, pro = own(stripe_client, 1900), own(stripe_client, 4900)
    settings.STRIPE_PRICE_IDS = {("basic", "month"): basic.id, ("pro", "month"): pro.id}
    lines = sync_plans()
    assert lines[1] == f"AI-Manus BASIC 19.00 USD a month: {basic.id} (from the environment)"
    assert ids()[("basic", "month")] == basic.id
    assert Price.objects.get(stripe_price_id=pro.id).stripe_product_id == pro.product
    # Another price of the same amount: those who pay by the first stay on their plan.
    settings.STRIPE_PRICE_IDS = {("basic", "month"): own(stripe_client, 1900).id}
    sync_plans()
    assert Price.objects.get(stripe_price_id=basic.id).is_active is False
    assert ids()[("basic", "month")] == settings.STRIPE_PRICE_IDS[("basic", "month")]


@pytest.mark.parametrize(
    ("amount", "interval", "currency", "sentence"),
    [
        (2900, "month", "usd", "STRIPE_PRICE_ID_PRO is 29.00 USD at Stripe, and AI-Manus PRO 49.00 USD a month here"),
        (4900, "year", "usd", "not an active price by the month"),
        (4900, "month", "eur", "STRIPE_PRICE_ID_PRO is 49.00 EUR a month at Stripe, and pro is not sold like that"),
    ],
)
def test_a_price_that_does_not_fit_is_refused_before_anything_is_written(
    stripe_stand_in: StandIn,
    stripe_client: stripe.StripeClient,
    settings: SettingsWrapper,
    amount: int,
    interval: str,
    currency: str,
    sentence: str,
) -> None:
    wrong = own(stripe_client, amount, interval, currency)
    settings.STRIPE_PRICE_IDS = {("basic", "month"): own(stripe_client, 1900).id, ("pro", "month"): wrong.id}
    with pytest.raises(CommandError, match=sentence):
        sync_plans("--create")
    assert set(ids().values()) == {None}


def test_a_price_of_another_account_is_refused(stripe_stand_in: StandIn, settings: SettingsWrapper) -> None:
    settings.STRIPE_PRICE_IDS = {("pro", "month"): "price_of_somebody_else"}
    with pytest.raises(CommandError, match="STRIPE_PRICE_ID_PRO is price_of_somebody_else, and Stripe has no such"):
        sync_plans()
    assert set(ids().values()) == {None}


def test_while_stripe_is_away_it_fails_with_a_sentence(stripe_stand_in: StandIn, settings: SettingsWrapper) -> None:
    settings.STRIPE_RETRIES = 0
    stripe_stand_in.control("POST", "faults", path=".", status=500, times=9)
    with pytest.raises(CommandError, match=r"Stripe at http://127\.0\.0\.1:.* cannot be reached"):
        sync_plans("--create")
    stripe_stand_in.control("DELETE", "faults")
    assert len(sync_plans("--create")) == 5


def test_without_a_key_nothing_can_be_made() -> None:
    with pytest.raises(CommandError, match="STRIPE_SECRET_KEY is not set"):
        sync_plans("--create")
    assert Plan.objects.count() == 5
