"""What Stripe holds of one workspace otherwise than we do, and its mending."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Model, QuerySet

from billing import gateway, mirror, sync
from billing.lifecycle import schedules, standing
from billing.models import Price, StripeOperation, Subscription
from billing.money import amount_in_words
from billing.snapshots import Held, Snapshot

NOTHING: Final = "-"


@dataclass(frozen=True)
class Difference:
    what: str
    ours: str
    theirs: str


def differences_of(subscription: Subscription) -> list[Difference]:
    """What Stripe holds otherwise than our row, or than the mirror where the row is right. Changes nothing."""
    found: list[Difference] = []
    for _ in range(2):
        subscription.refresh_from_db(from_queryset=rows())
        if subscription.stripe_customer_id is None:
            return []
        held = gateway.held_of(subscription.stripe_customer_id)
        found = _compared(subscription, held)
        unmoved = Subscription.objects.filter(pk=subscription.pk, sync_number=subscription.sync_number)
        if not found or unmoved.exists():
            break
        # A sync came between the row and the answer, which differ for no other reason.
    return found


def _compared(subscription: Subscription, held: gateway.Held) -> list[Difference]:
    snapshot = sync.snapshot_of(held)
    if snapshot.is_deleted:
        return [Difference("customer", str(subscription.stripe_customer_id), "deleted")]
    facts = snapshot.facts(subscription)
    found = [
        Difference(name, _fact(name, ours, subscription.currency), _fact(name, theirs, facts["currency"]))
        for name, theirs in facts.items()
        if (ours := getattr(subscription, name)) != theirs
    ]
    half = _half_made(subscription, snapshot)
    found += [Difference("schedule", NOTHING, f"of {one.id}, with one phase") for one in half]
    return found or _unlike_the_mirror(held)


def _unlike_the_mirror(held: gateway.Held) -> list[Difference]:
    having = {one["id"]: one for one in held.objects if one.get("status") is not None}
    known = statuses_of((one["object"], id) for id, one in having.items())
    return [
        Difference(f"{id} in the mirror", words(known.get(id)), words(one["status"]))
        for id, one in having.items()
        if one["status"] != known.get(id)
    ]


def mend(subscription: Subscription, *, now: datetime) -> bool:
    """Whether nothing differs any more. Acts on the same workspace wait meanwhile."""
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        half = _half_made(subscription, snapshot) if snapshot else []
        for held in half:
            schedules.release(subscription, held)
        if half:
            standing.look(subscription, now=now)
    return not differences_of(subscription)


def _half_made(subscription: Subscription, snapshot: Snapshot) -> list[Held]:
    """With a schedule of ours that has one phase: of the two calls that make one the second never came. See STRIPE.md.

    It changes nothing, and stands in the way of the portal.
    """
    found = []
    for held in snapshot.subscriptions:
        schedule = held.schedule
        if schedule is not None and len(schedule["phases"]) == 1 and not schedule["metadata"]:
            asked = StripeOperation.objects.filter(
                workspace=subscription.workspace_id,
                kind=StripeOperation.Kind.SCHEDULE,
                parameters__from_subscription=held.id,
                stripe_id="",
            )
            if asked.exists():
                found.append(held)
    return found


def rows() -> QuerySet[Subscription]:
    return Subscription.objects.with_plans().select_related("workspace", "paid_price")


def statuses_of(objects: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """By the mirror, of those that are in it; each is told by its `object` and its id."""
    ids: dict[type[Model], list[str]] = {}
    for kind, id in objects:
        if model := mirror.MODELS.get(kind):
            ids.setdefault(model, []).append(id)
    found: dict[str, str | None] = {}
    for model, some in ids.items():
        found |= dict(model._default_manager.filter(id__in=some).values_list("id", "stripe_data__status"))
    return found


def _fact(name: str, value: Any, currency: str) -> str:
    return amount_in_words(value, currency) if name == "monthly_amount" and currency else words(value)


def words(value: Any) -> str:
    """Instants in UTC."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case Price():
            return str(value.stripe_price_id)
        case _:
            return str(value)
