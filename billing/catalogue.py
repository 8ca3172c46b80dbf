"""The plans as they are shipped, and how they are brought into the database without undoing what staff changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import assortment, limits
from billing.assortment import Mistake
from billing.models import Feature, Interval, Plan, Price


@dataclass(frozen=True)
class Offer:
    """A price: `unit_amount` in minor units."""

    unit_amount: int
    interval: Interval = Interval.MONTH
    currency: str = "usd"


@dataclass(frozen=True)
class Entry:
    slug: str
    values: dict[str, Any]
    offers: tuple[Offer, ...] = field(default=())


PRO_FEATURES = [
    Feature.BASIC_AGENT,
    Feature.PRIORITY_SUPPORT,
    Feature.PRIORITY_PROCESSING,
    Feature.ADVANCED_FEATURES,
    Feature.API_KEYS,
]

CATALOGUE = (
    Entry(
        Plan.FREE,
        {
            "name": "AI-Manus FREE",
            "description": "10 agent runs per month",
            "rank": 0,
            "runs_limit": 10,
            "features": [Feature.BASIC_AGENT, Feature.COMMUNITY_SUPPORT],
        },
    ),
    Entry(
        Plan.TRIAL,
        {
            "name": "AI-Manus TRIAL",
            "description": "50 agent runs in 14 days, no card needed",
            "rank": 10,
            "runs_limit": 50,
            "features": PRO_FEATURES,
            "job_priority": 10,
        },
    ),
    Entry(
        Plan.BASIC,
        {
            "name": "AI-Manus BASIC",
            "description": "1,000 agent runs per month",
            "rank": 20,
            "runs_limit": 1000,
            "features": [Feature.BASIC_AGENT, Feature.EMAIL_SUPPORT, Feature.PRIORITY_PROCESSING],
            "job_priority": 10,
        },
        # A year costs ten months.
        (Offer(1900), Offer(19000, Interval.YEAR)),
    ),
    Entry(
        Plan.PRO,
        {
            "name": "AI-Manus PRO",
            "description": "5,000 agent runs per month",
            "rank": 30,
            "runs_limit": 5000,
            "features": PRO_FEATURES,
            "job_priority": 20,
        },
        (Offer(4900), Offer(49000, Interval.YEAR)),
    ),
    Entry(
        Plan.ENTERPRISE,
        {
            "name": "AI-Manus ENTERPRISE",
            "description": "Unlimited agent runs, by agreement",
            "rank": 40,
            "runs_limit": None,
            "features": list(Feature),
            "grace_runs": 1000,
            "job_priority": 30,
        },
    ),
)


@dataclass(frozen=True)
class Difference:
    """One value of one plan that is not the catalogue's, and whether it was staff who changed it."""

    slug: str
    name: str
    found: Any
    wanted: Any
    is_by_staff: bool

    def __str__(self) -> str:
        kept = " (changed by staff)" if self.is_by_staff else ""
        return f"{self.slug}.{self.name} is {self.found!r}, the catalogue has {self.wanted!r}{kept}"


def differences() -> list[Difference]:
    """How the database differs from the catalogue: one line a value, plans and prices."""
    plans = {plan.slug: plan for plan in Plan.objects.prefetch_related("prices")}
    return [difference for entry in CATALOGUE for difference in _compare(entry, plans.get(entry.slug))]


@transaction.atomic
def load(*, now: datetime, overwrite: bool = False) -> list[Difference]:
    """Bring the catalogue into the database; idempotent. Returns what was changed.

    A value that staff edited since the last load is left alone, unless `overwrite`. Another number of runs
    holds from the next period, as it does by the hand of staff. Raises Mistake where a rank is not to be had.
    """
    assortment.lock()
    written = [d for d in differences() if overwrite or not d.is_by_staff]
    _make_room({d.slug: d.wanted for d in written if d.name == "rank"})
    for entry in CATALOGUE:
        mine = {d.name: d.wanted for d in written if d.slug == entry.slug}
        if not mine:
            continue
        plan, _ = Plan.objects.get_or_create(slug=entry.slug, defaults={**entry.values, "loaded": _plain(entry.values)})
        if "runs_limit" in mine and plan.runs_limit != mine["runs_limit"]:
            plan.earlier_limits = limits.earlier_limits(plan, now=now)
        for name in entry.values.keys() & mine.keys():
            setattr(plan, name, mine[name])
        plan.loaded = plan.loaded | _plain(entry.values) | {_key(offer): offer.unit_amount for offer in entry.offers}
        plan.save()
        for offer in entry.offers:
            if _key(offer) in mine:
                _load_price(plan, offer)
    return written


def _make_room(ranks: dict[str, int]) -> None:
    """Staff may have put the plans in another order: those that get another rank let go of theirs first."""
    taken = Plan.objects.exclude(slug__in=ranks).filter(rank__in=ranks.values()).first()
    if taken is not None:
        slug = next(slug for slug, rank in ranks.items() if rank == taken.rank)
        raise Mistake(f"{taken.name} has the number {taken.rank}, which {slug} is to have: move one of them first.")
    for aside, plan in enumerate(Plan.objects.filter(slug__in=ranks), start=assortment.MOST_RANK + 1):
        Plan.objects.filter(pk=plan.pk).update(rank=aside)


def _compare(entry: Entry, plan: Plan | None) -> Iterator[Difference]:
    for name, wanted in _plain(entry.values).items():
        found = getattr(plan, name, None)
        if plan is None or found != wanted:
            is_by_staff = plan is not None and name in plan.loaded and plan.loaded[name] != found
            yield Difference(entry.slug, name, found, wanted, is_by_staff)
    prices = {(p.interval, p.currency): p.unit_amount for p in plan.prices.all() if p.is_active} if plan else {}
    for offer in entry.offers:
        found = prices.get((offer.interval, offer.currency))
        if found != offer.unit_amount:
            is_by_staff = plan is not None and _key(offer) in plan.loaded and plan.loaded[_key(offer)] != found
            yield Difference(entry.slug, _key(offer), found, offer.unit_amount, is_by_staff)


def _load_price(plan: Plan, offer: Offer) -> None:
    # A price that somebody may be paying is never changed: it is retired, and a new one made beside it.
    plan.prices.filter(interval=offer.interval, currency=offer.currency, is_active=True).update(is_active=False)
    Price.objects.create(plan=plan, interval=offer.interval, currency=offer.currency, unit_amount=offer.unit_amount)


def _key(offer: Offer) -> str:
    return f"price {offer.interval} {offer.currency}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: [str(v) for v in value] if isinstance(value, list) else value for name, value in values.items()}
