"""What staff do about the money of a subscription: pause its collection, and give back what was paid."""

from datetime import datetime

from django.db import transaction

from accounts.models import User
from billing import audit, gateway, sync
from billing.lifecycle import standing
from billing.lifecycle.refunds import give_back
from billing.models import Subscription, SubscriptionChange
from billing.snapshots import subscription_of


def pause_collection(
    subscription: Subscription, *, until: datetime | None, reason: str, actor: User | None, now: datetime
) -> None:
    """No money is taken and nothing is granted for it, until the instant or until it is resumed.

    Raises NotSubscribed, NoChange, ValueError for an end that is past, and what `gateway` raises.
    """
    if until is not None and until <= now:
        raise ValueError("A pause must end in the future.")
    with standing.turn_of(subscription):
        live = standing.live(subscription, now=now)[1]
        if live.is_collection_paused:
            raise standing.NoChange("Collection is paused already.")
        before = subscription.facts()
        sync.ring_by(subscription, now)
        gateway.pause_collection(live.id, until=until)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.PAUSE, actor=actor)
        _audit("pause collection", subscription, before=before, reason=reason, actor=actor, now=now)


def resume_collection(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """Raises NotSubscribed, NoChange, and what `gateway` raises."""
    with standing.turn_of(subscription):
        live = standing.live(subscription, now=now)[1]
        if not live.is_collection_paused:
            raise standing.NoChange("Collection is not paused.")
        before = subscription.facts()
        sync.ring_by(subscription, now)
        gateway.unpause_collection(live.id)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.RESUME, actor=actor)
        _audit("resume collection", subscription, before=before, reason=reason, actor=actor, now=now)


def refund(
    subscription: Subscription,
    *,
    invoice: str,
    amount: int | None = None,
    ends_access: bool = False,
    reason: str,
    actor: User | None,
    now: datetime,
) -> int:
    """Give back an invoice of this workspace, in whole or `amount` minor units of it; the units given back.

    With `ends_access` its subscription is cancelled at Stripe now; without it what was paid runs out.
    Raises ValueError for an invoice that is not this workspace's and for more than is left of it.
    """
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        found = snapshot.invoice(invoice) if snapshot else None
        if found is None or subscription_of(found) is None:
            raise ValueError(f"{invoice} is no invoice of this workspace's subscription.")
        before = subscription.facts()
        sync.ring_by(subscription, now)
        given = give_back(subscription, invoice, amount=amount, reason="requested_by_customer")
        if ends_access and snapshot and snapshot.live and snapshot.live.id == subscription_of(found):
            gateway.cancel_now(snapshot.live.id, reason=reason)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=actor)
        _audit("refund", subscription, before=before, reason=reason, actor=actor, now=now, invoice=invoice, given=given)
    return given


def release_hold(subscription: Subscription, *, reason: str, actor: User | None, now: datetime) -> None:
    """The dispute or warning that holds the workspace was looked at, and holds it no longer. Raises NoChange."""
    with transaction.atomic():
        subscription.lock()
        if subscription.on_hold_since is None:
            raise standing.NoChange("This workspace is not on hold.")
        before = subscription.facts()
        subscription.change(
            cause=SubscriptionChange.RELEASE,
            now=now,
            actor=actor,
            hold_released=subscription.hold_reason,
            on_hold_since=None,
            hold_reason="",
        )
        _audit("release hold", subscription, before=before, reason=reason, actor=actor, now=now)


def end_after_lost_dispute(subscription: Subscription, *, now: datetime) -> None:
    """The subscription whose payment was taken back for good is cancelled at Stripe; another, bought since, is not."""
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        if snapshot is not None and snapshot.live is not None and snapshot.is_lost:
            sync.ring_by(subscription, now)
            gateway.cancel_now(snapshot.live.id, reason="Payment disputed and lost")
            standing.confirm(subscription, now=now, cause=SubscriptionChange.CANCEL, actor=None)


def _audit(
    action: str,
    subscription: Subscription,
    *,
    before: dict[str, object],
    reason: str,
    actor: User | None,
    now: datetime,
    **more: object,
) -> None:
    audit.record(
        action,
        target=subscription,
        workspace=subscription.workspace,
        reason=reason,
        actor=actor,
        now=now,
        before=before,
        after=subscription.facts() | more,
    )
