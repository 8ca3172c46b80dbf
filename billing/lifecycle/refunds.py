"""Giving back what was paid of an invoice, never more and never twice."""

import logging
from dataclasses import dataclass

import stripe

from billing import gateway
from billing.lifecycle import operations
from billing.models import StripeOperation, Subscription

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Payment:
    """That went through; `left` is what was not given back of it, in minor units."""

    intent: str
    refunds: list[stripe.Refund]
    left: int


def give_back(subscription: Subscription, invoice: str, *, reason: str, amount: int | None = None) -> int:
    """What is left of an invoice, or `amount` minor units of it; returns what was given back by this act.

    A try whose answer was lost counts as part of it. Raises ValueError, before anything is given
    back, where less than the amount is left.
    """
    payments = list(_payments(invoice))
    total = _found_again(subscription, invoice, payments)
    left = sum(payment.left for payment in payments)
    wanted = left if amount is None else amount - total
    if wanted > left:
        raise ValueError(f"Of {invoice} {left} can still be given back, and not {wanted}.")
    for payment in payments:
        part = min(payment.left, wanted)
        if part > 0:
            _refund(subscription, invoice, payment.intent, part, reason)
            total += part
            wanted -= part
    return total


def _payments(invoice: str) -> list[Payment]:
    found = []
    for paid in gateway.payments_of(invoice):
        intent = paid.payment.payment_intent
        if intent is None:
            log.error("A payment of %s was made outside of Stripe: staff must give it back.", invoice)
            continue
        id = intent if isinstance(intent, str) else intent.id
        refunds = [one for one in gateway.refunds_of(id) if one.status not in ("failed", "canceled")]
        found.append(Payment(id, refunds, (paid.amount_paid or 0) - sum(one.amount for one in refunds)))
    return found


def _found_again(subscription: Subscription, invoice: str, payments: list[Payment]) -> int:
    """Of operations whose answer was lost, what they gave back all the same."""
    made_by = {gateway.operation_of(refund): refund for payment in payments for refund in payment.refunds}
    total = 0
    waiting = StripeOperation.objects.filter(
        workspace=subscription.workspace_id, kind=StripeOperation.Kind.REFUND, finished_at=None, intent__invoice=invoice
    )
    for operation in waiting:
        refund = made_by.get(str(operation.pk))
        if refund is not None:
            operations.finish(operation, refund.id)
            total += refund.amount
    return total


def _refund(subscription: Subscription, invoice: str, intent: str, amount: int, reason: str) -> None:
    operation = operations.begin(
        StripeOperation.Kind.REFUND,
        workspace=subscription.workspace,
        intent={"invoice": invoice, "payment_intent": intent, "amount": amount},
        parameters=lambda operation: {
            "payment_intent": intent,
            "amount": amount,
            "reason": reason,
            "metadata": {"workspace_id": str(operation.workspace_id), "operation_id": str(operation.pk)},
        },
    )
    operations.carry_out(operation)
