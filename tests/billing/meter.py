"""Consuming and returning runs without sessions around them, and the books that must be right afterwards."""

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Sum

from accounts.models import Workspace
from billing import quotas
from billing.models import CreditGrant, LedgerEntry, Plan, Subscription, SubscriptionChange, UsagePeriod
from billing.quotas import Making, Quota, QuotaExceeded


def subscription_of(workspace: Workspace) -> Subscription:
    return Subscription.objects.with_plans().get(workspace=workspace)


def change(workspace: Workspace, **facts: Any) -> None:
    now = facts.pop("now", datetime.fromisoformat("2026-03-01T00:00:00Z"))
    subscription_of(workspace).change(cause=SubscriptionChange.STRIPE, now=now, **facts)


def plan(slug: str, **values: Any) -> Plan:
    """A plan of the catalogue, edited as staff would."""
    Plan.objects.filter(slug=slug).update(**values)
    return Plan.objects.get(slug=slug)


def quota(workspace: Workspace, now: datetime) -> Quota:
    return quotas.quota_for(subscription_of(workspace), now=now)


def consume(workspace: Workspace, now: datetime) -> uuid.UUID:
    """The id of the run. Raises QuotaExceeded, and then nothing was written."""
    run_id = uuid.uuid4()
    with transaction.atomic():
        quotas.consume(subscription_of(workspace), Making.of(run_id), now=now)
    return run_id


def consume_all(workspace: Workspace, now: datetime, *, at_most: int = 100) -> list[uuid.UUID]:
    """Until it is refused; the runs that were granted."""
    granted: list[uuid.UUID] = []
    while len(granted) < at_most:
        try:
            granted.append(consume(workspace, now))
        except QuotaExceeded:
            break
    return granted


def give(
    workspace: Workspace,
    quantity: int,
    now: datetime,
    *,
    expires_at: datetime | None = None,
    kind: CreditGrant.Kind = CreditGrant.Kind.GIVEN,
) -> CreditGrant:
    return quotas.give(
        subscription_of(workspace), quantity=quantity, kind=kind, reason="Test", now=now, expires_at=expires_at
    )


def line(run_id: uuid.UUID, kind: str = LedgerEntry.Kind.CONSUME) -> LedgerEntry:
    return LedgerEntry.objects.get(run_id=run_id, kind=kind)


def rows(workspace: Workspace) -> list[list[tuple[Any, ...]]]:
    """Everything that metering writes, to see that nothing of it changed."""
    tables = (UsagePeriod, CreditGrant, LedgerEntry)
    return [list(table.objects.filter(workspace=workspace).order_by("id").values_list()) for table in tables]


def assert_books_are_right(workspace: Workspace) -> None:
    """Invariant 2, added up here and not by `proofs`."""
    lines = LedgerEntry.objects.filter(workspace=workspace)
    for period in UsagePeriod.objects.filter(workspace=workspace):
        assert -(lines.filter(period=period).aggregate(Sum("quantity"))["quantity__sum"] or 0) == period.used
    for grant in CreditGrant.objects.filter(workspace=workspace):
        assert lines.filter(grant=grant).aggregate(Sum("quantity"))["quantity__sum"] == grant.quantity - grant.used
    assert not lines.filter(kind=LedgerEntry.Kind.CONSUME, balance__lt=0).exists()
