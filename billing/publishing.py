"""Our prices and Stripe's: those that the environment names are linked, the others are made from the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass

import stripe
from django.conf import settings
from django.db import transaction

from billing import gateway, mirror
from billing.lifecycle import operations
from billing.models import Plan, Price, StripeOperation
from billing.money import amount_in_words


class Mismatch(Exception):
    """What Stripe has is not what is sold here; a sentence that names both."""


@dataclass(frozen=True)
class Outcome:
    price: Price
    at_stripe: stripe.Price
    how: str

    def __str__(self) -> str:
        return f"{describe(self.price)}: {self.at_stripe.id} ({self.how})"


def link() -> list[Outcome]:
    """Give our prices the ids that the environment names. Raises Mismatch before anything is written."""
    found = [(variable, *_named(variable, *words, id)) for (variable, words, id) in _environment()]
    return [_adopt(price, at_stripe, "from the environment") for _, price, at_stripe in found]


def publish() -> list[Outcome]:
    """Make at Stripe what is sold here and is not there yet. Idempotent: what is there is found again."""
    missing = list(unpublished())
    at_stripe = gateway.prices_by_lookup_key([lookup_key(price) for price in missing])
    products = {plan: _product(plan) for plan in dict.fromkeys(price.plan for price in missing)}
    outcomes = []
    for price in missing:
        product = products[price.plan]
        found = at_stripe.get(lookup_key(price))
        if found is not None and found.unit_amount == price.unit_amount and found.product == product.id:
            outcomes.append(_adopt(price, found, "found"))
        else:
            outcomes.append(_adopt(price, _make(price, product), "made"))
    return outcomes


def unpublished() -> Iterator[Price]:
    """What is sold here and nobody can pay for."""
    sold = Price.objects.filter(is_active=True, plan__is_public=True, stripe_price_id=None)
    return sold.select_related("plan").iterator()


def lookup_key(price: Price) -> str:
    return f"ai_manus_{price.plan.slug}_{price.interval}_{price.currency}"


def describe(price: Price) -> str:
    return f"{price.plan.name} {amount_in_words(price.unit_amount, price.currency)} a {price.interval}"


def _environment() -> Iterator[tuple[str, tuple[str, str], str]]:
    for (plan, interval), id in settings.STRIPE_PRICE_IDS.items():
        yield f"STRIPE_PRICE_ID_{plan.upper()}{'_YEARLY' if interval == 'year' else ''}", (plan, interval), id


def _named(variable: str, plan: str, interval: str, id: str) -> tuple[Price, stripe.Price]:
    found = gateway.price(id)
    if found is None:
        raise Mismatch(f"{variable} is {id}, and Stripe has no such price for this key.")
    recurring = found.recurring
    if not found.active or recurring is None or (recurring.interval, recurring.interval_count) != (interval, 1):
        raise Mismatch(f"{variable} is {id}, which is not an active price by the {interval} at Stripe.")
    price = (
        Price.objects.select_related("plan")
        .filter(plan__slug=plan, interval=interval, currency=found.currency, is_active=True)
        .first()
    )
    there = amount_in_words(found.unit_amount or 0, found.currency)
    if price is None:
        raise Mismatch(f"{variable} is {there} a {interval} at Stripe, and {plan} is not sold like that here.")
    if price.unit_amount != found.unit_amount:
        raise Mismatch(f"{variable} is {there} at Stripe, and {describe(price)} here: change one of them.")
    return price, found


@transaction.atomic
def _adopt(price: Price, at_stripe: stripe.Price, how: str) -> Outcome:
    product = at_stripe.product
    product_id = product if isinstance(product, str) else product.id
    if price.stripe_price_id == at_stripe.id:
        return Outcome(price, at_stripe, "known")
    if price.stripe_price_id is not None:
        # Those who pay by the former go on doing so, and it must still say which plan they are on.
        Price.objects.filter(pk=price.pk).update(is_active=False)
        price.pk, price._state.adding = None, True
    price.stripe_price_id, price.stripe_product_id = at_stripe.id, product_id
    price.save()
    return Outcome(price, at_stripe, how)


def _product(plan: Plan) -> stripe.Product:
    id = f"ai_manus_{plan.slug}"
    found = gateway.product(id)
    if found is None:
        operation = operations.begin(
            StripeOperation.Kind.PRODUCT,
            intent={"plan": plan.slug},
            parameters={"id": id, "name": plan.name, "description": plan.description or plan.name},
        )
        found = operations.carry_out(operation)
    return found


def _make(price: Price, product: stripe.Product) -> stripe.Price:
    operation = operations.begin(
        StripeOperation.Kind.PRICE,
        intent={"price": str(price.pk)},
        parameters={
            "product": product.id,
            "currency": price.currency,
            "unit_amount": price.unit_amount,
            "recurring": {"interval": price.interval},
            "lookup_key": lookup_key(price),
            # A former price of another amount keeps its customers, and loses its key.
            "transfer_lookup_key": True,
            "nickname": describe(price),
        },
    )
    made: stripe.Price = operations.carry_out(operation)
    return made


def reflect(outcomes: list[Outcome]) -> None:
    """Into the mirror, so that a sync finds there what its objects name."""
    prices = [outcome.at_stripe for outcome in outcomes]
    with gateway.errors("fill the mirror"):
        mirror.prepare(prices, api_key=settings.STRIPE_SECRET_KEY)
    mirror.store(prices, api_key=settings.STRIPE_SECRET_KEY)
