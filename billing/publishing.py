"""Our prices and Stripe's: those that are named by their id are linked, the others are made from what is sold here."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import stripe
from django.conf import settings
from django.db import transaction

from accounts.errors import Problem
from billing import gateway, mirror
from billing.lifecycle import operations
from billing.models import Plan, Price, StripeOperation
from billing.money import amount_in_words


class Mismatch(Problem):
    """What Stripe has is not what is sold here; a sentence that names both."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "mismatch")


@dataclass(frozen=True)
class Outcome:
    price: Price
    at_stripe: stripe.Price
    how: str

    def __str__(self) -> str:
        return f"{describe(self.price)}: {self.at_stripe.id} ({self.how})"


@dataclass(frozen=True)
class Intention:
    """What publishing a price would come to: `found` is what Stripe has of it already."""

    price: Price
    product_id: str
    is_product_there: bool
    found: stripe.Price | None

    @property
    def how(self) -> str:
        return "made" if self.found is None else "found"


@dataclass(frozen=True)
class Renaming:
    """A product that was made here and whose texts are not the plan's any more: Checkout and invoices say them."""

    plan: Plan
    found: stripe.Product


def link() -> list[Outcome]:
    """Give our prices the ids that the environment names. Raises Mismatch before anything is written."""
    found = [(variable, *_named(variable, *words, id)) for (variable, words, id) in _environment()]
    return [adopt(price, at_stripe, "from the environment") for _, price, at_stripe in found]


def publish() -> list[Outcome]:
    """Make at Stripe what is sold here and is not there yet. Idempotent: what is there is found again."""
    outcomes = [adopt(one.price, bring(one), one.how) for one in intentions(unpublished())]
    for one in renamings():
        rename(one)
    return outcomes


def intentions(prices: Iterable[Price]) -> list[Intention]:
    """What publishing these would come to. Asks Stripe, and makes nothing."""
    wanted = list(prices)
    by_key = gateway.prices_by_lookup_key([lookup_key(price) for price in wanted])
    plans = {price.plan.slug: product_id(price.plan) for price in wanted}
    products = {slug: gateway.product(id) is not None for slug, id in plans.items()}
    return [
        Intention(price, plans[price.plan.slug], products[price.plan.slug], _same(by_key.get(lookup_key(price)), price))
        for price in wanted
    ]


def bring(intention: Intention) -> stripe.Price:
    """The price at Stripe: the one that is there, or one that is made now."""
    if intention.found is not None:
        return intention.found
    if not intention.is_product_there:
        _ensure_product(intention.price.plan)
    return _make(intention.price, intention.product_id)


def renamings() -> list[Renaming]:
    """Asks Stripe for each product that was made here, and changes nothing."""
    sold = Plan.objects.filter(is_public=True, prices__is_active=True).distinct()
    found = [
        Renaming(plan, product)
        for plan in sold.prefetch_related("prices")
        if any(price.is_active and price.stripe_product_id == product_id(plan) for price in plan.prices.all())
        and (product := gateway.product(product_id(plan)))
    ]
    return [one for one in found if {"name": one.found.name, "description": one.found.description} != _texts(one.plan)]


def rename(renaming: Renaming) -> stripe.Product:
    return gateway.rename_product(renaming.found.id, **_texts(renaming.plan))


def unpublished() -> Iterator[Price]:
    """What is sold here and nobody can pay for."""
    sold = Price.objects.filter(is_active=True, plan__is_public=True, stripe_price_id=None)
    return sold.select_related("plan").iterator()


def lookup_key(price: Price) -> str:
    return f"ai_manus_{price.plan.slug}_{price.interval}_{price.currency}"


def product_id(plan: Plan) -> str:
    return f"ai_manus_{plan.slug}"


def describe(price: Price) -> str:
    return f"{price.plan.name} {price.in_words}"


def at_stripe(id: str, interval: str, *, named_by: str) -> stripe.Price:
    """The price of that id, by which a plan can be paid. Raises Mismatch, whose sentence begins with `named_by`."""
    found = gateway.price(id)
    if found is None:
        raise Mismatch(f"{named_by} is {id}, and Stripe has no such price for this key.")
    recurring = found.recurring
    if not found.active or recurring is None or (recurring.interval, recurring.interval_count) != (interval, 1):
        raise Mismatch(f"{named_by} is {id}, which is not an active price by the {interval} at Stripe.")
    if found.unit_amount is None or recurring.usage_type != "licensed":
        raise Mismatch(f"{named_by} is {id}, which has no fixed amount at Stripe.")
    return found


def refuse_shared(id: str, price: Price) -> None:
    """Raises Mismatch where another price of ours has that id: a payment must say which plan it is for."""
    holder = Price.objects.select_related("plan").filter(stripe_price_id=id).first()
    if holder is not None and _terms(holder) != _terms(price):
        raise Mismatch(f"{id} is {describe(holder)} here already, and cannot be {describe(price)} as well.")


@transaction.atomic
def adopt(price: Price, at_stripe: stripe.Price, how: str) -> Outcome:
    """Let the active price be the one at Stripe. Raises Mismatch where another plan has that one."""
    if price.stripe_price_id == at_stripe.id:
        return Outcome(price, at_stripe, "known")
    refuse_shared(at_stripe.id, price)
    former = Price.objects.select_related("plan").filter(stripe_price_id=at_stripe.id).first()
    if price.stripe_price_id is not None:
        # Those who pay by the former go on doing so, and it must still say which plan they are on.
        Price.objects.filter(pk=price.pk).update(is_active=False)
    elif former is not None:
        price.delete()
    if former is not None:
        # It was withdrawn here, and never at Stripe.
        former.is_active = True
        former.save(update_fields=["is_active"])
        return Outcome(former, at_stripe, how)
    if price.stripe_price_id is not None:
        price.pk, price._state.adding = None, True
    product = at_stripe.product
    price.stripe_price_id = at_stripe.id
    price.stripe_product_id = product if isinstance(product, str) else product.id
    price.save()
    return Outcome(price, at_stripe, how)


def _environment() -> Iterator[tuple[str, tuple[str, str], str]]:
    for (plan, interval), id in settings.STRIPE_PRICE_IDS.items():
        yield f"STRIPE_PRICE_ID_{plan.upper()}{'_YEARLY' if interval == 'year' else ''}", (plan, interval), id


def _named(variable: str, plan: str, interval: str, id: str) -> tuple[Price, stripe.Price]:
    found = at_stripe(id, interval, named_by=variable)
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
    refuse_shared(id, price)
    return price, found


def _same(found: stripe.Price | None, price: Price) -> stripe.Price | None:
    """Unless it is of another amount, or of a product that somebody else made."""
    is_same = found is not None and found.unit_amount == price.unit_amount and found.product == product_id(price.plan)
    return found if is_same else None


def _texts(plan: Plan) -> dict[str, str]:
    # Stripe takes no empty description.
    return {"name": plan.name, "description": plan.description or plan.name}


def _terms(price: Price) -> tuple[object, ...]:
    return price.plan_id, price.interval, price.currency, price.unit_amount


def _ensure_product(plan: Plan) -> None:
    # Looked for again: another price of the plan may have made it a moment ago.
    if gateway.product(product_id(plan)) is not None:
        return
    operation = operations.begin(
        StripeOperation.Kind.PRODUCT,
        intent={"plan": plan.slug},
        parameters={"id": product_id(plan), **_texts(plan)},
    )
    operations.carry_out(operation)


def _make(price: Price, product: str) -> stripe.Price:
    operation = operations.begin(
        StripeOperation.Kind.PRICE,
        # In the words of the price and not by its row, which is there only when Stripe has it.
        intent={"price": lookup_key(price), "unit_amount": price.unit_amount},
        parameters={
            "product": product,
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
    keep_in_mirror([outcome.at_stripe for outcome in outcomes])


def keep_in_mirror(objects: Sequence[stripe.StripeObject]) -> None:
    with gateway.errors("fill the mirror"):
        mirror.prepare(objects, api_key=settings.STRIPE_SECRET_KEY)
    mirror.store(objects, api_key=settings.STRIPE_SECRET_KEY)
