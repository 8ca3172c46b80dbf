"""Closing a workspace: whatever is paid for it ends at Stripe first, and then nobody gets in (invariant 14)."""

import logging
from datetime import datetime

from django.db import transaction

from accounts import teams
from accounts.models import User
from billing import gateway, sync
from billing.lifecycle import standing
from billing.models import Subscription, SubscriptionChange
from billing.snapshots import ENDED, Held, Snapshot

log = logging.getLogger(__name__)


def close(subscription: Subscription, *, actor: User, now: datetime) -> None:
    """For good. Raises what `teams.close` raises, Busy, NotShownYet and what `gateway` raises.

    Then the workspace is open as before, though what was paid may have ended. Safe to repeat.
    """
    workspace = subscription.workspace
    # Before anything ends at Stripe; what came between is found by `teams.close` itself.
    teams.refuse_to_close(workspace=workspace, actor=actor)
    # Whoever starts a checkout waits for the turn, and then finds the workspace closed.
    with standing.turn_of(subscription):
        _end_at_stripe(subscription, actor=actor, now=now)
        with transaction.atomic():
            # In the order in which a sync holds rows: the subscription's before those of its buckets.
            subscription.lock()
            teams.close(workspace=workspace, actor=actor, now=now)
            subscription.change(cause=SubscriptionChange.CLOSE, now=now, actor=actor)


def _end_at_stripe(subscription: Subscription, *, actor: User, now: datetime) -> None:
    """Afterwards nothing is live there, and nothing can be paid that would be."""
    subscription.refresh_from_db(fields=["stripe_customer_id", "stripe_status"])
    if subscription.stripe_customer_id is None:
        return
    if not gateway.is_configured() and subscription.stripe_status in ("", *ENDED):
        return
    snapshot = standing.look(subscription, now=now)
    if snapshot is None or snapshot.is_deleted:
        return
    for session in gateway.open_checkouts(subscription.stripe_customer_id):
        try:
            gateway.expire_checkout(session.id)
        except gateway.StripeRefused:
            # Somebody paid in this instant: what they bought is found, and ended.
            snapshot = standing.look(subscription, now=now)
    live = _live(snapshot)
    if not live:
        return
    sync.ring_by(subscription, now)
    refused: gateway.StripeRefused | None = None
    for held in live:
        try:
            gateway.cancel_now(held.id, reason="Workspace closed")
        except gateway.StripeRefused as error:
            # Also said of one that has ended, by a try whose answer was lost.
            refused = error
    if left := _live(standing.confirm(subscription, now=now, cause=SubscriptionChange.CANCEL, actor=actor)):
        log.error("Workspace %s cannot be closed: %s is still live.", subscription.workspace_id, left[0].id)
        raise refused or standing.Busy()


def _live(snapshot: Snapshot | None) -> list[Held]:
    return [held for held in snapshot.subscriptions if held.is_live] if snapshot else []
