"""What staff decide beside Stripe: overrides, longer trials and grace, the end of a comp, suspension."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import User, Workspace
from billing import audit, gateway, quotas, sync
from billing.lifecycle import standing
from billing.models import Source, Subscription, SubscriptionChange, UsagePeriod
from billing.snapshots import CHARGED

MOST_RUNS = 2_000_000_000


def override_runs(
    subscription: Subscription, *, runs: int, until: datetime, reason: str, actor: User | None, now: datetime
) -> None:
    """Another number of runs a period until an instant, whatever the plan. Raises ValueError for a past end."""
    if until <= now:
        raise ValueError("An override must end in the future.")
    if not 0 <= runs <= MOST_RUNS:
        raise ValueError(f"An override is 0 to {MOST_RUNS:,} runs.")
    _write(
        "override runs",
        subscription,
        SubscriptionChange.OVERRIDE,
        {"runs_override": runs, "runs_override_end": until},
        reason=reason,
        actor=actor,
        now=now,
    )


def end_override(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """Raises NoChange where none holds."""
    with transaction.atomic():
        subscription.lock()
        if subscription.runs_override_end is None or subscription.runs_override_end <= now:
            raise standing.NoChange("No override holds here.")
        _write(
            "end override",
            subscription,
            SubscriptionChange.OVERRIDE,
            {"runs_override": None, "runs_override_end": None},
            reason=reason,
            actor=actor,
            now=now,
        )


def end_comp(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """Raises NoChange where none runs."""
    with transaction.atomic():
        subscription.lock()
        start, end = subscription.comp_start, subscription.comp_end
        if start is None or end is None or end <= now:
            raise standing.NoChange("No comp runs here.")
        # That it was there stays in the history; its beginning, in case another follows, in the row.
        facts = {"comp_end": now} if start < now else {"comp_plan": None, "comp_start": None, "comp_end": None}
        _write("end comp", subscription, SubscriptionChange.COMP, facts, reason=reason, actor=actor, now=now)


def extend_trial(
    subscription: Subscription, *, until: datetime, reason: str, actor: User | None, now: datetime
) -> None:
    """The same trial goes on, with what was used of it. Raises NoChange without one, ValueError for a past end."""
    with transaction.atomic():
        subscription.lock()
        start, end = subscription.trial_start, subscription.trial_end
        if start is None or end is None:
            raise standing.NoChange("This workspace never had a trial. Give it a comp or credits instead.")
        if subscription.first_paid_at is not None:
            raise standing.NoChange("This workspace has paid before, and the first payment ends a trial for good.")
        if until <= now:
            raise ValueError("A trial must end in the future.")
        _write(
            "extend trial",
            subscription,
            SubscriptionChange.TRIAL,
            {"trial_end": until},
            reason=reason,
            actor=actor,
            now=now,
        )
        # The bucket is the trial's, from start to end: its end moves without its start.
        UsagePeriod.objects.filter(workspace=subscription.workspace_id, source=Source.TRIAL, starts_at=start).update(
            ends_at=until
        )
        quotas.forget_counters(subscription)


def extend_grace(
    subscription: Subscription, *, until: datetime, reason: str, actor: User | None, now: datetime
) -> None:
    """Past due keeps the plan until then. Raises NoChange where nothing is past due, ValueError for a past end."""
    if until <= now:
        raise ValueError("Grace must end in the future.")
    with transaction.atomic():
        subscription.lock()
        if subscription.stripe_status != "past_due":
            raise standing.NoChange("Nothing is past due here.")
        _write(
            "extend grace",
            subscription,
            SubscriptionChange.GRACE,
            {"grace_until": until},
            reason=reason,
            actor=actor,
            now=now,
        )


def suspend(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """Every write is refused, and Stripe collects nothing meanwhile (invariant 14). Raises NoChange, and what
    `gateway` raises: then nothing has changed here."""
    with standing.turn_of(subscription):
        if _now(subscription).suspended_at is not None:
            raise standing.NoChange("This workspace is suspended already.")
        if subscription.stripe_status in CHARGED:
            live = standing.live(subscription, now=now)[1]
            if not live.is_collection_paused:
                sync.ring_by(subscription, now)
                gateway.pause_collection(live.id)
                standing.confirm(subscription, now=now, cause=SubscriptionChange.PAUSE, actor=actor)
        _mark(subscription, now, "suspend", reason=reason, actor=actor, now=now)


def restore(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """The workspace works again, and what it pays is collected again. Raises NoChange, and what `gateway` raises."""
    with standing.turn_of(subscription):
        if _now(subscription).suspended_at is None:
            raise standing.NoChange("This workspace is not suspended.")
        if subscription.stripe_status in CHARGED and subscription.is_collection_paused:
            live = standing.live(subscription, now=now)[1]
            if live.is_collection_paused:
                sync.ring_by(subscription, now)
                gateway.unpause_collection(live.id)
                standing.confirm(subscription, now=now, cause=SubscriptionChange.RESUME, actor=actor)
        _mark(subscription, None, "restore", reason=reason, actor=actor, now=now)


def _now(subscription: Subscription) -> Workspace:
    subscription.refresh_from_db(from_queryset=Subscription.objects.with_plans().select_related("workspace"))
    return subscription.workspace


@transaction.atomic
def _mark(
    subscription: Subscription, at: datetime | None, action: str, *, reason: str, actor: User | None, now: datetime
) -> None:
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=subscription.workspace_id)
    before, workspace.suspended_at = workspace.suspended_at, at
    workspace.save(update_fields=["suspended_at"])
    subscription.workspace = workspace
    audit.record(
        action,
        target=workspace,
        workspace=workspace,
        reason=reason,
        actor=actor,
        now=now,
        before={"suspended_at": before},
        after={"suspended_at": at},
    )


@transaction.atomic
def _write(
    action: str,
    subscription: Subscription,
    cause: str,
    facts: Mapping[str, Any],
    *,
    reason: str,
    actor: User | None,
    now: datetime,
) -> None:
    subscription.lock()
    before = subscription.facts()
    subscription.change(cause=cause, now=now, actor=actor, **facts)
    audit.record(
        action,
        target=subscription,
        workspace=subscription.workspace,
        reason=reason,
        actor=actor,
        now=now,
        before=before,
        after=subscription.facts(),
    )
