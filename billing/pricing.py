"""What a plan costs: prices are set, linked, withdrawn and published by staff, and a plan is shown once it has one.

An amount is never changed: another price takes the place of the one that is sold, at Stripe too, and who pays
by the former goes on doing so. Where Stripe is set up nothing is sold here that cannot be paid there: the price is
made at Stripe first, and holds here only when it is known. Without Stripe it waits to be published.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe
from django.db import transaction

from accounts.errors import Problem
from accounts.models import User
from accounts.turns import TurnNotCome, turn
from billing import assortment, audit, gateway, publishing
from billing.assortment import Mistake, prices_of
from billing.holders import Count, count
from billing.models import Plan, Price, Subscription
from billing.money import amount_in_words
from billing.publishing import Mismatch, Outcome, describe
from billing.snapshots import CHARGED
from billing.terms import Terms, check, check_shown, refuse_unpayable


class PricesBusy(Problem):
    def __init__(self) -> None:
        super().__init__("Somebody else is changing prices. Try again in a minute.", "prices_busy")


@dataclass(frozen=True)
class Effect:
    """Of a price, before it is set: what it takes the place of, who pays that one, and what Stripe will have of it."""

    wanted: Price
    former: Price | None
    payers: Count
    at_stripe: str


def foresee(plan: Plan, terms: Terms) -> Effect:
    """Raises what `set_price` would. Asks Stripe, and changes nothing."""
    former = check(plan, terms)
    wanted = terms.price_of(plan)
    if not gateway.is_configured():
        at_stripe = "Nothing yet: Stripe is not set up. The price waits to be published."
    elif terms.stripe_price_id:
        _linked(wanted, terms.stripe_price_id)
        at_stripe = f"{terms.stripe_price_id} is there, and is linked."
    else:
        (intention,) = publishing.intentions([wanted])
        found = intention.found
        at_stripe = "A new price is made." if found is None else f"{found.id} is there, and is taken up again."
    return Effect(wanted, former, payers_of(former), at_stripe)


def set_price(plan: Plan, terms: Terms, *, actor: User | None, reason: str, now: datetime) -> Price:
    """Raises Mistake, Mismatch and what `gateway` raises; then nothing has changed here."""
    if not gateway.is_configured():
        return _switch(plan, terms, None, actor=actor, reason=reason, now=now)
    with _one_at_a_time():
        check(plan, terms)
        wanted = terms.price_of(plan)
        at_stripe = _linked(wanted, terms.stripe_price_id) if terms.stripe_price_id else _brought(wanted)
        publishing.keep_in_mirror([at_stripe])
        return _switch(plan, terms, at_stripe, actor=actor, reason=reason, now=now)


@transaction.atomic
def withdraw(price: Price, *, actor: User | None, reason: str, now: datetime) -> None:
    """Not sold any more; who pays by it goes on doing so. Raises Mistake."""
    plan = assortment.lock()[price.plan_id]
    sold = prices_of(plan)
    if price not in sold:
        raise Mistake(f"{describe(price)} is not sold any more.")
    if plan.is_public:
        refuse_unpayable(plan, [one for one in sold if one != price], f"without {describe(price)}, ")
    before = _facts(price)
    _retire(price)
    audit.record(
        "withdraw price",
        target=plan,
        reason=reason,
        actor=actor,
        now=now,
        before=before,
        after={_slot(price): None},
    )


def show(plan: Plan, *, actor: User | None, reason: str, now: datetime) -> list[Outcome]:
    """Among the offers; with its prices published where Stripe is set up. Raises Mistake and what `gateway` raises."""
    if not gateway.is_configured():
        _show(plan, actor=actor, reason=reason, now=now)
        return []
    with _one_at_a_time():
        check_shown(plan)
        outcomes = _publish(
            [price for price in prices_of(plan) if price.stripe_price_id is None],
            actor=actor,
            reason=reason,
            now=now,
        )
        _show(plan, actor=actor, reason=reason, now=now)
        return outcomes


def publish(*, actor: User | None, reason: str, now: datetime) -> list[Outcome]:
    """Make at Stripe what is sold here and is not there yet, and say there what plans are called by now.

    Raises what `gateway` raises. What was made is kept and written down, also when something later fails; what is
    left is found again.
    """
    gateway.client()
    with _one_at_a_time():
        outcomes = _publish(list(publishing.unpublished()), actor=actor, reason=reason, now=now)
        for renaming in publishing.renamings():
            renamed = publishing.rename(renaming)
            publishing.keep_in_mirror([renamed])
            audit.record(
                "rename product",
                target=renaming.plan,
                reason=reason,
                actor=actor,
                now=now,
                before={"name": renaming.found.name, "description": renaming.found.description},
                after={"name": renamed.name, "description": renamed.description},
            )
        return outcomes


def payers_of(price: Price | None) -> Count:
    if price is None:
        return Count(0)
    return count(Subscription.objects.filter(paid_price=price, stripe_status__in=CHARGED))


def _linked(wanted: Price, id: str) -> stripe.Price:
    """Raises Mismatch where it is another price than the one that is wanted."""
    found = publishing.at_stripe(id, wanted.interval, named_by="The price at Stripe")
    if (found.unit_amount, found.currency) != (wanted.unit_amount, wanted.currency):
        there = f"{amount_in_words(found.unit_amount or 0, found.currency)} a {wanted.interval}"
        raise Mismatch(f"{id} is {there} at Stripe, and {describe(wanted)} here: change one of them.")
    publishing.refuse_shared(id, wanted)
    return found


def _brought(wanted: Price) -> stripe.Price:
    (intention,) = publishing.intentions([wanted])
    return publishing.bring(intention)


@transaction.atomic
def _switch(
    plan: Plan, terms: Terms, at_stripe: stripe.Price | None, *, actor: User | None, reason: str, now: datetime
) -> Price:
    plan = assortment.lock()[plan.pk]
    former = check(plan, terms)
    before = {_slot(terms): None} if former is None else _facts(former)
    if former is not None and former.unit_amount == terms.unit_amount:
        # The same, at another address.
        price = former
    else:
        if former is not None:
            _retire(former)
        price = terms.price_of(plan)
        price.save(force_insert=True)
    if at_stripe is not None:
        price = publishing.adopt(price, at_stripe, "linked" if terms.stripe_price_id else "made").price
    after = _facts(price)
    audit.record("set price", target=plan, reason=reason, actor=actor, now=now, before=before, after=after)
    return price


def _retire(price: Price) -> None:
    if price.stripe_price_id is None:
        # Nobody could ever pay by it.
        price.delete()
    else:
        Price.objects.filter(pk=price.pk).update(is_active=False)


def _publish(prices: list[Price], *, actor: User | None, reason: str, now: datetime) -> list[Outcome]:
    outcomes = []
    for intention in publishing.intentions(prices):
        at_stripe = publishing.bring(intention)
        publishing.keep_in_mirror([at_stripe])
        with transaction.atomic():
            plan = assortment.lock()[intention.price.plan_id]
            outcome = publishing.adopt(intention.price, at_stripe, intention.how)
            audit.record(
                "publish price",
                target=plan,
                reason=reason,
                actor=actor,
                now=now,
                before={"at_stripe": None},
                after=_facts(outcome.price),
            )
        outcomes.append(outcome)
    return outcomes


@transaction.atomic
def _show(plan: Plan, *, actor: User | None, reason: str, now: datetime) -> None:
    plan = assortment.lock()[plan.pk]
    check_shown(plan)
    Plan.objects.filter(pk=plan.pk).update(is_public=True)
    audit.record(
        "show plan",
        target=plan,
        reason=reason,
        actor=actor,
        now=now,
        before={"is_public": False},
        after={"is_public": True},
    )


def _slot(price: Price | Terms) -> str:
    return f"price by the {price.interval} in {price.currency.upper()}"


def _facts(price: Price) -> dict[str, Any]:
    """As the trail keeps it."""
    return {_slot(price): price.in_words, "at_stripe": price.stripe_price_id}


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    try:
        with turn("billing:prices"):
            yield
    except TurnNotCome as error:
        raise PricesBusy from error
