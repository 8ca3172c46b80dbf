"""The plans that are sold: made, edited, put in order, hidden, retired. Each change has its reason and its audit entry.

What depends on prices is in `pricing`, what changes the number of runs in `limits`.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.errors import Problem
from accounts.models import User
from billing import audit
from billing.models import Plan, Price

# Everybody falls back to the one, and is offered the other.
FIXED: Final = (Plan.FREE, Plan.TRIAL)
# Among the offers without a price: who wants it writes to us.
BY_AGREEMENT: Final = (Plan.ENTERPRISE,)
#: Take effect at once, for everybody who has the plan. The number of runs does not: see `limits`.
EDITABLE: Final = (
    "name",
    "description",
    "features",
    "concurrency_limit",
    "storage_limit",
    "members_limit",
    "grace_days",
    "grace_runs",
    "job_priority",
)
MOST_RANK: Final = 9_999
# Between two updates; no plan is given it.
_ASIDE: Final = MOST_RANK + 1


class Mistake(Problem):
    """What would not do. Nothing was changed."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "mistake")


@transaction.atomic
def create(
    *, slug: str, rank: int, runs_limit: int | None, actor: User | None, reason: str, now: datetime, **values: Any
) -> Plan:
    """Hidden until it is shown, for which it needs a price. Raises Mistake."""
    lock()
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        raise Mistake("The word of a plan is of small letters and digits, with hyphens between them: small-team.")
    if holder := Plan.objects.filter(slug=slug).first():
        raise Mistake(f"The word {slug} is {holder.name}'s already.")
    plan = Plan(slug=slug, rank=rank, runs_limit=runs_limit, is_public=False, **_known(values))
    _refuse_name(plan)
    _refuse_rank(plan, rank)
    _save(plan)
    after = _in_words({"slug": slug, "rank": rank, "runs_limit": runs_limit, "is_public": False, **values})
    audit.record("add plan", target=plan, reason=reason, actor=actor, now=now, after=after)
    return plan


@transaction.atomic
def edit(plan: Plan, *, actor: User | None, reason: str, now: datetime, **values: Any) -> Plan:
    """Raises Mistake, also where nothing would change."""
    plan = lock()[plan.pk]
    after = {name: value for name, value in _known(values).items() if getattr(plan, name) != value}
    if not after:
        raise Mistake(f"Nothing of {plan.name} would change.")
    before = {name: getattr(plan, name) for name in after}
    for name, value in after.items():
        setattr(plan, name, value)
    _refuse_name(plan)
    _save(plan, *after)
    audit.record(
        "edit plan",
        target=plan,
        reason=reason,
        actor=actor,
        now=now,
        before=_in_words(before),
        after=_in_words(after),
    )
    return plan


@transaction.atomic
def move(plan: Plan, *, rank: int, actor: User | None, reason: str, now: datetime) -> Plan:
    """To a number that is free. Raises Mistake."""
    plan = lock()[plan.pk]
    if plan.rank == rank:
        raise Mistake(f"{plan.name} has the number {rank} already.")
    _refuse_rank(plan, rank)
    before, plan.rank = plan.rank, rank
    _save(plan, "rank")
    _record_order(plan, {plan.slug: before}, {plan.slug: rank}, actor=actor, reason=reason, now=now)
    return plan


@transaction.atomic
def exchange(plan: Plan, *, with_plan: Plan, actor: User | None, reason: str, now: datetime) -> Plan:
    """The numbers of the two, so that one goes up where the other goes down. Raises Mistake."""
    plans = lock()
    plan, other = plans[plan.pk], plans[with_plan.pk]
    if Plan.FREE in (plan.slug, other.slug):
        raise _free_is_lowest(plans)
    if plan == other:
        raise Mistake(f"{plan.name} is where it is.")
    before = {plan.slug: plan.rank, other.slug: other.rank}
    plan.rank, other.rank = other.rank, plan.rank
    Plan.objects.filter(pk=other.pk).update(rank=_ASIDE)
    _save(plan, "rank")
    _save(other, "rank")
    _record_order(plan, before, {plan.slug: plan.rank, other.slug: other.rank}, actor=actor, reason=reason, now=now)
    return plan


@transaction.atomic
def hide(plan: Plan, *, actor: User | None, reason: str, now: datetime) -> Plan:
    """Neither shown nor sold, until it is shown again. Raises Mistake."""
    plan = lock()[plan.pk]
    _refuse_fixed(plan, "hidden")
    if not plan.is_public:
        raise Mistake(f"{plan.name} is hidden already.")
    plan.is_public = False
    _save(plan, "is_public")
    _record_state("hide plan", plan, {"is_public": True}, actor=actor, reason=reason, now=now)
    return plan


@transaction.atomic
def retire(plan: Plan, *, actor: User | None, reason: str, now: datetime) -> Plan:
    """Neither shown nor sold any more; who has it keeps it. Raises Mistake."""
    plan = lock()[plan.pk]
    _refuse_fixed(plan, "retired")
    if plan.retired_at is not None:
        raise Mistake(f"{plan.name} is retired already.")
    before = {"is_public": plan.is_public, "retired_at": None}
    plan.is_public, plan.retired_at = False, now
    _save(plan, "is_public", "retired_at")
    _record_state("retire plan", plan, before, actor=actor, reason=reason, now=now)
    return plan


@transaction.atomic
def bring_back(plan: Plan, *, actor: User | None, reason: str, now: datetime) -> Plan:
    """From retirement; it is hidden until it is shown. Raises Mistake."""
    plan = lock()[plan.pk]
    if plan.retired_at is None:
        raise Mistake(f"{plan.name} is not retired.")
    before, plan.retired_at = {"retired_at": plan.retired_at}, None
    _save(plan, "retired_at")
    _record_state("bring plan back", plan, before, actor=actor, reason=reason, now=now)
    return plan


def lock() -> dict[uuid.UUID, Plan]:
    """Every plan as it is now, held until the transaction ends: rules look at several, and changes are few.

    Runs that open a period at this instant are not kept waiting: their foreign keys need less than this lock takes.
    """
    return {plan.pk: plan for plan in Plan.objects.order_by("pk").select_for_update(no_key=True)}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    unknown = values.keys() - set(EDITABLE)
    if unknown:
        raise TypeError(f"Not edited here: {', '.join(sorted(unknown))}")
    return {name: values[name] for name in EDITABLE if name in values}


def _save(plan: Plan, *names: str) -> None:
    """Raises Mistake for a value that the column does not take."""
    try:
        plan.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise Mistake(f"{name.replace('_', ' ').capitalize()}: {messages[0]}") from error
    plan.save(update_fields=names or None)


def _refuse_name(plan: Plan) -> None:
    if Plan.objects.filter(name__iexact=plan.name).exclude(pk=plan.pk).exists():
        raise Mistake(f"There is a plan of the name {plan.name} already.")


def _refuse_rank(plan: Plan, rank: int) -> None:
    if not 0 <= rank <= MOST_RANK:
        raise Mistake(f"The number is 0 to {MOST_RANK:,}.")
    others = {other.rank: other for other in Plan.objects.exclude(slug=plan.slug)}
    if rank in others:
        raise Mistake(f"{others[rank].name} has the number {rank}: give {plan.name} another, or move that one first.")
    free = plan if plan.slug == Plan.FREE else next(one for one in others.values() if one.slug == Plan.FREE)
    lowest = min(others) if plan == free else rank
    if (rank if plan == free else free.rank) > lowest:
        raise _free_is_lowest({free.pk: free})


def _free_is_lowest(plans: Mapping[uuid.UUID, Plan]) -> Mistake:
    free = next(plan for plan in plans.values() if plan.slug == Plan.FREE)
    return Mistake(f"{free.name} stays the lowest plan: it is what remains when everything else has ended.")


def _refuse_fixed(plan: Plan, what: str) -> None:
    if plan.slug == Plan.FREE:
        raise Mistake(f"{plan.name} cannot be {what}: it is what remains when everything else has ended.")
    if plan.slug == Plan.TRIAL:
        raise Mistake(f"{plan.name} cannot be {what}: everybody has one trial.")


def _record_order(
    plan: Plan,
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    actor: User | None,
    reason: str,
    now: datetime,
) -> None:
    audit.record("order plans", target=plan, reason=reason, actor=actor, now=now, before=before, after=after)


def _record_state(
    action: str, plan: Plan, before: Mapping[str, Any], *, actor: User | None, reason: str, now: datetime
) -> None:
    after = {name: getattr(plan, name) for name in before}
    audit.record(action, target=plan, reason=reason, actor=actor, now=now, before=before, after=after)


def _in_words(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the trail keeps them: that there is no limit is not the same as none."""
    return {name: _limit(name, value) if name.endswith("_limit") else value for name, value in values.items()}


def _limit(name: str, value: int | None) -> str:
    unit = {"runs_limit": " runs", "storage_limit": " bytes"}.get(name, "")
    return "unlimited" if value is None else f"{value:,}{unit}"


def prices_of(plan: Plan) -> list[Price]:
    """What it is sold at."""
    return list(plan.prices.filter(is_active=True).order_by("interval", "currency"))
