"""Why a workspace is on its plan, step by step, now or at an instant that is past."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format

from billing.entitlements import EDGE, Entitlement, entitlement, grace_end
from billing.models import Plan, Price, Source, Subscription, SubscriptionChange
from billing.quotas import Quota
from billing.snapshots import ENDED


@dataclass(frozen=True)
class Step:
    """One source: whether it is live, and why or why not."""

    source: Source
    plan: Plan | None
    is_live: bool
    is_held: bool
    sentence: str


def explain(subscription: Subscription, *, now: datetime) -> list[Step]:
    """Each source in the order in which ties are broken; the highest live plan holds."""
    held = entitlement(subscription, now)
    told = {
        Source.COMP: (subscription.comp_plan, _comp(subscription, now)),
        Source.PAID: (subscription.paid_plan, _paid(subscription, now)),
        Source.TRIAL: (subscription.trial_plan, _trial(subscription, now)),
        Source.FREE: (subscription.base_plan, (True, "Always there: whatever ends falls back to it.")),
    }
    return [
        Step(source, plan, is_live, is_live and held.source == source, sentence)
        for source, (plan, (is_live, sentence)) in told.items()
    ]


def limit_in_words(quota: Quota) -> list[str]:
    """Where the number of runs comes from."""
    held = quota.entitlement
    return list(_limit(quota, held))


def as_it_was(subscription: Subscription, at: datetime) -> Subscription | None:
    """The subscription's facts at an instant, from its history (invariant 16); None before there was one.

    For the entitlement's sake alone: it is never saved.
    """
    line = SubscriptionChange.objects.filter(subscription=subscription, at__lte=at).order_by("-at", "-id").first()
    if line is None:
        return None
    was = Subscription(id=subscription.pk, workspace=subscription.workspace)
    for field in Subscription.fact_fields():
        if field.attname in line.after:
            value = line.after[field.attname]
            is_instant = field.get_internal_type() == "DateTimeField"
            setattr(was, field.attname, parse_datetime(value) if is_instant and value else value)
    plans = {str(plan.pk): plan for plan in Plan.objects.all()}
    for name in ("base_plan", "trial_plan", "comp_plan", "paid_plan", "pending_plan"):
        setattr(was, name, plans.get(str(getattr(was, f"{name}_id"))))
    was.paid_price = Price.objects.filter(pk=was.paid_price_id).first() if was.paid_price_id else None
    return was


def _comp(subscription: Subscription, now: datetime) -> tuple[bool, str]:
    start, end = subscription.comp_start, subscription.comp_end
    if subscription.comp_plan is None or start is None or end is None:
        return False, "Nobody gave one."
    if now >= end:
        return False, f"Was given until {_day(end)}."
    if now < start:
        return False, f"Begins on {_day(start)}."
    return True, f"Given until {_day(end)}: {subscription.comp_reason}"


def _trial(subscription: Subscription, now: datetime) -> tuple[bool, str]:
    start, end = subscription.trial_start, subscription.trial_end
    if start is None or end is None:
        return False, "Was not started here."
    if subscription.first_paid_at is not None and subscription.first_paid_at <= now:
        return False, f"Ended for good with the first payment, on {_day(subscription.first_paid_at)}."
    if now >= end:
        return False, f"Ran until {_day(end)}."
    return start <= now, f"Runs until {_day(end)}."


def _paid(subscription: Subscription, now: datetime) -> tuple[bool, str]:
    held = entitlement(_only_paid(subscription), now)
    return held.source == Source.PAID, " ".join(_paid_sentences(subscription, now))


def _paid_sentences(subscription: Subscription, now: datetime) -> Iterator[str]:
    status, end = subscription.stripe_status, subscription.paid_end
    if not status:
        yield "Nothing was ever subscribed to."
        return
    yield f"Stripe says {status.replace('_', ' ')}" + (f", for the period until {_day(end)}." if end else ".")
    if subscription.on_hold_since is not None:
        since = _day(subscription.on_hold_since)
        yield f"It is on hold since {since} ({subscription.hold_reason}): it counts as FREE."
    if subscription.is_collection_paused:
        yield "Collection is paused, so it entitles to nothing."
    if status in ENDED:
        yield "It has ended."
    elif status == "past_due" and (grace := grace_end(subscription)) is not None:
        yield f"The plan is kept until {_day(grace)}." if now < grace else f"The grace ended on {_day(grace)}."
    if subscription.cancel_at is not None:
        yield f"It is cancelled for {_day(subscription.cancel_at)}."
    if subscription.pending_plan is not None and subscription.pending_at is not None:
        yield f"{subscription.pending_plan.name} follows on {_day(subscription.pending_at)}."
    if status not in ENDED and end is not None and now >= end:
        over = "it goes on as if renewed" if now < end + EDGE else "for too long: FREE holds"
        yield f"Stripe has said nothing since its end: {over}."


def _only_paid(subscription: Subscription) -> Subscription:
    """The same without what else could win."""
    names = {field.attname: getattr(subscription, field.attname) for field in Subscription.fact_fields()}
    alone = Subscription(**{name: value for name, value in names.items() if not name.startswith(("comp_", "trial_"))})
    for name in ("base_plan", "paid_plan", "pending_plan"):
        setattr(alone, name, getattr(subscription, name))
    # A paid plan wins against any other that remains.
    alone.base_plan = Plan(rank=-1, slug=Plan.FREE, runs_limit=subscription.base_plan.runs_limit)
    return alone


def _limit(quota: Quota, held: Entitlement) -> Iterator[str]:
    if held.override is not None:
        yield f"Staff set {held.override:,} runs a period in place of the plan's own number."
    elif quota.bucket is not None and quota.bucket.plan_id == held.plan.pk:
        limit = "no limit" if quota.bucket.runs_limit is None else f"{quota.bucket.runs_limit:,} runs"
        yield f"The period was opened with {limit}, which it keeps until its end."
    else:
        limit = "no limit" if held.plan_limit is None else f"{held.plan_limit:,} runs"
        yield f"The plan has {limit} for a period that begins like this one."
    if held.cap is not None:
        yield f"The period is not paid yet, so that at most {held.cap:,} of them can be used."
    yield f"{quota.used:,} are used."
    if quota.credits:
        yield f"Credits come after them: {quota.credits:,} are left."


def _day(instant: Any) -> str:
    return date_format(timezone.localtime(instant), "j F Y, H:i")
