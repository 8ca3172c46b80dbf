"""What a price may be: the terms that staff ask for, and the mistakes that are refused with a sentence."""

from dataclasses import dataclass
from typing import Final

from babel.numbers import list_currencies
from django.conf import settings

from billing import gateway
from billing.assortment import BY_AGREEMENT, FIXED, Mistake, prices_of
from billing.models import Interval, Plan, Price
from billing.money import amount_in_words
from billing.publishing import describe

# As Stripe has it: eight digits.
MOST_AMOUNT: Final = 99_999_999


@dataclass(frozen=True)
class Terms:
    """What a price is to be: `unit_amount` in minor units; `stripe_price_id` where it is at Stripe already.

    `is_further_currency`: the plan is to be sold in this currency beside the one that it is sold in.
    """

    interval: str
    currency: str
    unit_amount: int
    stripe_price_id: str = ""
    is_further_currency: bool = False

    def price_of(self, plan: Plan) -> Price:
        return Price(plan=plan, interval=self.interval, currency=self.currency, unit_amount=self.unit_amount)


def check(plan: Plan, terms: Terms) -> Price | None:
    """The price that it would take the place of. Raises Mistake."""
    plan = Plan.objects.get(pk=plan.pk)
    if plan.slug in FIXED:
        raise Mistake(f"{plan.name} costs nothing, and has no price.")
    if plan.retired_at is not None:
        raise Mistake(f"{plan.name} is retired, and is not sold. Bring it back first.")
    if terms.interval not in Interval.values:
        raise Mistake("A price is by the month or by the year.")
    if terms.currency not in _currencies():
        raise Mistake(f"{terms.currency.upper() or 'Nothing'} is no currency: say three letters, such as USD.")
    if not 0 < terms.unit_amount <= MOST_AMOUNT:
        most = amount_in_words(MOST_AMOUNT, terms.currency)
        raise Mistake(f"{plan.name} must cost something, and at most {most}, which is the most that Stripe takes.")
    sold = prices_of(plan)
    former = next((one for one in sold if (one.interval, one.currency) == (terms.interval, terms.currency)), None)
    _refuse_other_currency(plan, terms, sold)
    if former is not None and former.unit_amount == terms.unit_amount:
        if not terms.stripe_price_id:
            waits = " It waits to be published." if former.stripe_price_id is None else ""
            raise Mistake(f"{describe(former)} is what it costs already.{waits}")
        if former.stripe_price_id == terms.stripe_price_id:
            raise Mistake(f"{describe(former)} is {terms.stripe_price_id} at Stripe already.")
    if terms.stripe_price_id and not gateway.is_configured():
        raise gateway.BillingNotConfigured("Stripe is not set up here, so no price of Stripe's can be linked.")
    return former


def _refuse_other_currency(plan: Plan, terms: Terms, sold: list[Price]) -> None:
    others = [one for one in sold if one.currency != terms.currency]
    if not others or len(others) < len(sold) or terms.is_further_currency:
        return
    there = " and ".join(one.in_words for one in others)
    raise Mistake(
        f"A price in {terms.currency.upper()} does not match what {plan.name} is sold at: {there}."
        " If it is to be sold in both currencies, say so."
    )


def _currencies() -> set[str]:
    return {code.lower() for code in list_currencies()}


def check_shown(plan: Plan) -> None:
    plan = Plan.objects.get(pk=plan.pk)
    if plan.is_public:
        raise Mistake(f"{plan.name} is shown already.")
    if plan.retired_at is not None:
        raise Mistake(f"{plan.name} is retired. Bring it back first, and then show it.")
    refuse_unpayable(plan, prices_of(plan))


def refuse_unpayable(plan: Plan, sold: list[Price], without: str = "") -> None:
    """Of a plan that is or will be shown; `without` is what it would have lost."""
    if not sold and plan.slug in (*FIXED, *BY_AGREEMENT):
        return
    if not sold:
        raise Mistake(f"{_upper(without)}{plan.name} has no price, so nobody could buy it. {_way_out(plan)}")
    if not any(price.currency == settings.DEFAULT_CURRENCY for price in sold):
        there = " and ".join(one.in_words for one in sold)
        raise Mistake(
            f"Visitors are shown prices in {settings.DEFAULT_CURRENCY.upper()}, and {without}{plan.name} is sold at"
            f" {there} only. {_way_out(plan)}"
        )
    for price in sold:
        if price.unit_amount == 0:
            raise Mistake(f"{describe(price)} is no price for a plan that is sold. {_way_out(plan)}")


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _way_out(plan: Plan) -> str:
    first = f"Set a price in {settings.DEFAULT_CURRENCY.upper()} first"
    return f"{first}, or hide the plan." if plan.is_public else f"{first}."
