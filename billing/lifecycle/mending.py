"""Two live subscriptions of one customer: one stays, the other is ended and given back (invariant 10)."""

import logging
from datetime import datetime

from billing import audit, gateway, sync
from billing.lifecycle import standing
from billing.lifecycle.refunds import give_back
from billing.models import Subscription, SubscriptionChange
from billing.snapshots import Held, Snapshot

log = logging.getLogger(__name__)


def mend_double_purchase(subscription: Subscription, *, now: datetime) -> None:
    """The higher plan stays, then the older; the others are cancelled and their first invoice is refunded.

    Only where that was bought within a day and is on a price of ours; otherwise the sync tells staff.
    Safe to repeat, whatever was done of it before.
    """
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        if snapshot is None:
            return
        # A worker sees to our rows where this one cannot finish.
        sync.ring_by(subscription, now)
        for extra in snapshot.bought_twice(now):
            _give_back(subscription, snapshot, extra, now=now)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)


def _give_back(subscription: Subscription, snapshot: Snapshot, extra: Held, *, now: datetime) -> None:
    refunded = 0
    # The money first: a subscription that is cancelled is not looked at again.
    for invoice in snapshot.invoices_of(extra):
        if invoice["status"] == "paid" and invoice["amount_paid"] > 0:
            refunded += give_back(subscription, invoice["id"], reason="duplicate")
    gateway.cancel_now(extra.id, reason="Bought twice")
    audit.record(
        "mend double purchase",
        target=f"stripe:{extra.id}",
        workspace=subscription.workspace,
        actor=None,
        now=now,
        reason="Two live subscriptions of one workspace",
        before={"subscriptions": [held.id for held in snapshot.charged]},
        after={"cancelled": extra.id, "refunded": refunded},
    )
    log.warning("Workspace %s had bought twice: %s was cancelled and refunded.", subscription.workspace_id, extra.id)
