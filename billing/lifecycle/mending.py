"""Two live subscriptions of one customer: one stays, the other is ended and given back (invariant 10)."""

import logging
from datetime import datetime, timedelta

from billing import gateway
from billing.lifecycle import operations, standing
from billing.models import AuditEntry, StripeOperation, Subscription, SubscriptionChange
from billing.snapshots import Held, Snapshot

log = logging.getLogger(__name__)

# A purchase that is older than this was not made by accident just now: staff decide.
FRESH = timedelta(days=1)


def mend_double_purchase(subscription: Subscription, *, now: datetime) -> None:
    """The higher plan stays, then the older; the others are cancelled and their first invoice is refunded.

    Only where that was bought within a day and is on a price of ours; otherwise staff are told.
    Safe to repeat, whatever was done of it before.
    """
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        if snapshot is None:
            return
        for extra in snapshot.charged[1:]:
            if extra.price is None or now - extra.created > FRESH:
                log.error(
                    "Workspace %s has a second live subscription, %s, which is not ours to end: staff must look.",
                    subscription.workspace_id,
                    extra.id,
                )
                continue
            _give_back(subscription, snapshot, extra, now=now)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)


def _give_back(subscription: Subscription, snapshot: Snapshot, extra: Held, *, now: datetime) -> None:
    refunded = 0
    # The money first: a subscription that is cancelled is not looked at again.
    for invoice in snapshot.invoices_of(extra):
        if invoice["status"] == "paid" and invoice["amount_paid"] > 0:
            refunded += refund_invoice(subscription, invoice["id"])
    gateway.cancel_now(extra.id, reason="Bought twice")
    AuditEntry.objects.create(
        at=now,
        actor=None,
        action="mend double purchase",
        workspace_id=subscription.workspace_id,
        target=f"stripe:{extra.id}",
        reason="Two live subscriptions of one workspace",
        before={"subscriptions": [held.id for held in snapshot.charged]},
        after={"cancelled": extra.id, "refunded": refunded},
    )
    log.warning("Workspace %s had bought twice: %s was cancelled and refunded.", subscription.workspace_id, extra.id)


def refund_invoice(subscription: Subscription, invoice: str) -> int:
    """Give back what was paid of an invoice and not given back before; the minor units. Safe to repeat."""
    total = 0
    for payment in gateway.payments_of(invoice):
        intent = payment.payment.payment_intent
        if intent is None:
            log.error("The payment %s of %s was made outside of Stripe: staff must give it back.", payment.id, invoice)
            continue
        intent_id = intent if isinstance(intent, str) else intent.id
        given = sum(one.amount for one in gateway.refunds_of(intent_id) if one.status not in ("failed", "canceled"))
        left = (payment.amount_paid or 0) - given
        if left <= 0:
            continue
        operation = operations.begin(
            StripeOperation.Kind.REFUND,
            workspace=subscription.workspace,
            intent={"invoice": invoice, "payment_intent": intent_id, "amount": left},
            parameters=lambda operation, intent_id=intent_id, left=left: {  # type: ignore[misc]
                "payment_intent": intent_id,
                "amount": left,
                "reason": "duplicate",
                "metadata": {"workspace_id": str(operation.workspace_id), "operation_id": str(operation.pk)},
            },
        )
        operations.carry_out(operation)
        total += left
    return total
