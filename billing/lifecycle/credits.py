"""Credits by the hand of staff: runs beside the plan, given and taken back."""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from billing import audit, quotas
from billing.models import CreditGrant, LedgerEntry, Subscription


@transaction.atomic
def give_credits(
    subscription: Subscription,
    *,
    runs: int,
    expires_at: datetime | None,
    reason: str,
    actor: User | None,
    now: datetime,
) -> CreditGrant:
    """Raises ValueError for no runs, and for an end that is past."""
    if runs < 1:
        raise ValueError("Give at least one run.")
    if expires_at is not None and expires_at <= now:
        raise ValueError("Credits must expire in the future.")
    grant = quotas.give(
        subscription,
        quantity=runs,
        kind=CreditGrant.Kind.GIVEN,
        reason=reason[:200],
        now=now,
        expires_at=expires_at,
        by=actor,
    )
    audit.record(
        "give credits",
        target=grant,
        workspace=subscription.workspace,
        reason=reason,
        actor=actor,
        now=now,
        after={"runs": runs, "expires_at": expires_at},
    )
    return grant


@transaction.atomic
def take_credits(subscription: Subscription, *, runs: int, reason: str, actor: User | None, now: datetime) -> None:
    """From what staff gave, the newest first. Raises ValueError where less is left of it, and then takes nothing.

    What was bought, and what came back of a failed run, is the customer's.
    """
    if runs < 1:
        raise ValueError("Take at least one run.")
    live = CreditGrant.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        workspace=subscription.workspace_id,
        kind=CreditGrant.Kind.GIVEN,
        used__lt=F("quantity"),
    )
    # Held, so that a run that is started at this instant waits, and then sees what is left.
    grants = list(live.order_by("-id").select_for_update())
    left = sum(grant.quantity - grant.used for grant in grants)
    if runs > left:
        raise ValueError(f"Of the credits that were given {left} are left, and {runs} cannot be taken.")
    wanted, taken = runs, {}
    for grant in grants:
        part = min(wanted, grant.quantity - grant.used)
        if part == 0:
            break
        grant.quantity -= part
        grant.save(update_fields=["quantity"])
        LedgerEntry.objects.create(
            workspace_id=subscription.workspace_id,
            kind=LedgerEntry.Kind.ADJUST,
            quantity=-part,
            grant=grant,
            balance=grant.quantity - grant.used,
            created_at=now,
        )
        taken[str(grant.pk)] = part
        wanted -= part
    audit.record(
        "take credits",
        target=subscription,
        workspace=subscription.workspace,
        reason=reason,
        actor=actor,
        now=now,
        before={"credits": left},
        after={"credits": left - runs, "taken": taken},
    )
