"""Another number of runs for a plan: whom that affects, and from when.

By default a period that has begun keeps the number that held as it began, also where its bucket is opened
later: `Plan.earlier_limits` says what it was. So nobody who has paid for a period has less of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from billing import assortment, audit, quotas
from billing.assortment import Mistake
from billing.holders import Count, count, holders_of
from billing.models import Plan, Source, Subscription, UsagePeriod
from billing.quotas import Quota

# As much as the column holds.
MOST_RUNS: Final = 2_000_000_000
# No period that still runs began longer ago; a trial that staff extend may, and then has the oldest that is kept.
KEPT: Final = timedelta(days=400)
# Each costs a few statements; more than these are everybody, or a matter for credits.
MOST_CHOSEN: Final = 200


class When(StrEnum):
    NEXT = "next"
    NOW = "now"
    CHOSEN = "chosen"


@dataclass(frozen=True)
class Effect:
    """Of a change, before it is made: who has the plan, how many have begun their period, or used more of it than that.

    `above` is None where there will be no limit.
    """

    holders: Mapping[Source, Count]
    begun: Count
    above: Count | None


def foresee(
    plan: Plan,
    runs_limit: int | None,
    *,
    when: When = When.NEXT,
    chosen: Sequence[Subscription] = (),
    now: datetime,
) -> Effect:
    """Raises what `change` would. Eight statements at most, whatever there is, and one for each that is chosen."""
    _refuse(plan, runs_limit, when, chosen, now)
    for subscription in chosen:
        present_of(subscription, plan, now=now)
    running = _running(plan, now)
    return Effect(
        holders=holders_of(plan, now=now),
        begun=count(running),
        above=None if runs_limit is None else count(running.filter(used__gt=runs_limit)),
    )


def change(
    plan: Plan,
    *,
    runs_limit: int | None,
    when: When = When.NEXT,
    chosen: Sequence[Subscription] = (),
    description: str | None = None,
    actor: User | None,
    reason: str,
    now: datetime,
) -> Plan:
    """`runs_limit` None is unlimited. Raises Mistake, and then nothing has changed.

    A `description` goes with it, for one that says the number.
    Whatever the number is cut to, what was used stays used: who has used more has nothing left.
    """
    with transaction.atomic():
        plan = assortment.lock()[plan.pk]
        _refuse(plan, runs_limit, when, chosen, now)
        before = {"runs_limit": in_words(plan.runs_limit)}
        if when == When.NOW:
            plan.earlier_limits = []
        elif runs_limit != plan.runs_limit:
            plan.earlier_limits = earlier_limits(plan, now=now)
        plan.runs_limit = runs_limit
        plan.save(update_fields=["runs_limit", "earlier_limits"])
        if when == When.NOW:
            _adjust(plan, now)
        for subscription in chosen:
            _give_now(plan, subscription, actor=actor, reason=reason, now=now)
        after: dict[str, Any] = {"runs_limit": in_words(runs_limit), "holds": IN_WORDS[when]}
        if chosen:
            after["workspaces"] = [str(subscription.workspace_id) for subscription in chosen]
        audit.record("change runs limit", target=plan, reason=reason, actor=actor, now=now, before=before, after=after)
        if description is not None and description != plan.description:
            assortment.edit(plan, description=description, actor=actor, reason=reason, now=now)
    if when == When.NOW:
        _overtake(plan, now)
    return plan


IN_WORDS: Final = {
    When.NEXT: "from the next period",
    When.NOW: "now, for all",
    When.CHOSEN: "now, for chosen workspaces; from the next period for the others",
}


def in_words(runs_limit: int | None) -> str:
    return "unlimited" if runs_limit is None else f"{runs_limit:,} runs"


def earlier_limits(plan: Plan, *, now: datetime) -> list[dict[str, Any]]:
    """With the present one, which ends now."""
    kept = [earlier for earlier in plan.earlier_limits if datetime.fromisoformat(earlier["until"]) > now - KEPT]
    # Stripe's periods begin on whole seconds: one that begins in this very second has the new one.
    until = now.replace(microsecond=0)
    return [*kept, {"until": until.isoformat(), "runs_limit": plan.runs_limit}]


def earlier_in_words(plan: Plan) -> list[tuple[datetime, str]]:
    """Until when, and what it was; the newest first."""
    earlier = reversed(plan.earlier_limits)
    return [(datetime.fromisoformat(one["until"]), in_words(one["runs_limit"])) for one in earlier]


def present_of(subscription: Subscription, plan: Plan, *, now: datetime) -> Quota:
    """What it may start. Raises Mistake where another plan than this one holds."""
    quota = quotas.quota_for(subscription, now=now)
    held = quota.entitlement.plan
    if held.pk != plan.pk:
        raise Mistake(f"{subscription.workspace.name} is on {held.name}, and not on {plan.name}.")
    return quota


def _refuse(plan: Plan, runs_limit: int | None, when: When, chosen: Sequence[Subscription], now: datetime) -> None:
    if runs_limit is not None and not 0 <= runs_limit <= MOST_RUNS:
        raise Mistake(f"A limit is 0 to {MOST_RUNS:,} runs, or none.")
    if (when == When.CHOSEN) != bool(chosen):
        raise Mistake("Name the workspaces for which it is to hold now.")
    if len(chosen) > MOST_CHOSEN:
        raise Mistake(f"At most {MOST_CHOSEN} workspaces can be named at once.")
    if runs_limit != plan.runs_limit or when == When.CHOSEN:
        return
    words = "has no limit" if runs_limit is None else f"has {runs_limit:,} runs a period"
    if when == When.NEXT:
        raise Mistake(f"{plan.name} {words} already, from the next period at the latest.")
    if not plan.earlier_limits and not _differing(plan, now).exists():
        raise Mistake(f"{plan.name} {words} already, for everybody.")


def _running(plan: Plan, now: datetime) -> QuerySet[UsagePeriod]:
    return UsagePeriod.objects.filter(plan=plan, ends_at__gt=now)


def _differing(plan: Plan, now: datetime) -> QuerySet[UsagePeriod]:
    return _running(plan, now).exclude(runs_limit=plan.runs_limit)


def _adjust(plan: Plan, now: datetime) -> None:
    """Every bucket that is open, in one statement."""
    _differing(plan, now).update(runs_limit=plan.runs_limit)


def _overtake(plan: Plan, now: datetime) -> None:
    """Buckets that were being opened while the number changed, by runs that had read the former one.

    Each holds the plan's row by its foreign key: once that can be had whole, they are there to be seen. It is let
    go before they are changed, because such a run may hold a bucket and wait for the row.
    """
    with transaction.atomic():
        current = Plan.objects.select_for_update().get(pk=plan.pk)
    if (current.runs_limit, current.earlier_limits) == (plan.runs_limit, []):
        _adjust(plan, now)


def _give_now(plan: Plan, subscription: Subscription, *, actor: User | None, reason: str, now: datetime) -> None:
    fresh = Subscription.objects.with_plans().select_related("workspace").get(pk=subscription.pk)
    quota = present_of(fresh, plan, now=now)
    if quota.bucket is None:
        quotas.open_period(quota, now=now)
    held = quota.entitlement
    bucket = UsagePeriod.objects.select_for_update().get(
        workspace=fresh.workspace_id, source=held.bucket_source, starts_at=held.period.start
    )
    before = {"plan_id": bucket.plan_id, "runs_limit": in_words(bucket.runs_limit)}
    # One that was opened on another plan becomes this one's: only then its own number counts.
    UsagePeriod.objects.filter(pk=bucket.pk).update(plan=plan, runs_limit=plan.runs_limit)
    quotas.forget_counters(fresh)
    audit.record(
        "change runs limit",
        target=bucket,
        workspace=fresh.workspace,
        reason=reason,
        actor=actor,
        now=now,
        before=before,
        after={"plan_id": plan.pk, "runs_limit": in_words(plan.runs_limit)},
    )
