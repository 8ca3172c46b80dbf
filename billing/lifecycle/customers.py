"""One Stripe customer a workspace, made before anything is bought (invariant 10)."""

from datetime import UTC, datetime

from django.db import transaction

from billing import gateway
from billing.lifecycle import operations, standing
from billing.models import StripeOperation, Subscription, SubscriptionChange


def ensure_customer(subscription: Subscription, *, now: datetime) -> str:
    """The customer's id. However many ask at once, all send one and the same call."""
    gateway.client()
    while (customer := subscription.stripe_customer_id) is None:
        with transaction.atomic():
            subscription.lock()
            forgotten = _forgotten(subscription)
            operation = None if subscription.stripe_customer_id or forgotten else _begin(subscription)
        if operation is not None:
            # Stripe may have made it and failed after; under another key it would make a second one.
            left = gateway.customer_made_by(operation) if operation.keys_spent else None
            _adopt(subscription, operation, (left or operations.send(operation)).id, now=now)
        elif forgotten is not None:
            _settle(subscription, forgotten, now=now)
    return customer


def address_invoices(subscription: Subscription) -> None:
    """The owner of now has them sent to their address. Safe to repeat; of two at once the later is right."""
    with standing.turn_of(subscription):
        subscription.refresh_from_db(fields=["stripe_customer_id"])
        if subscription.stripe_customer_id is not None:
            gateway.address_customer(subscription.stripe_customer_id, subscription.workspace.email)


def _begin(subscription: Subscription) -> StripeOperation:
    workspace = subscription.workspace
    return operations.begin(
        StripeOperation.Kind.CUSTOMER,
        workspace=workspace,
        intent={},
        parameters=lambda operation: {
            "email": workspace.email,
            "name": workspace.name,
            "metadata": {"workspace_id": str(workspace.pk), "operation_id": str(operation.pk)},
        },
    )


def _forgotten(subscription: Subscription) -> StripeOperation | None:
    """An open one whose key Stripe has forgotten: sent again, it would make a second customer."""
    return StripeOperation.objects.filter(
        workspace=subscription.workspace_id,
        kind=StripeOperation.Kind.CUSTOMER,
        finished_at=None,
        created_at__lte=datetime.now(UTC) - operations.KEPT,
    ).first()


def _settle(subscription: Subscription, forgotten: StripeOperation, *, now: datetime) -> None:
    left = gateway.customer_made_by(forgotten)
    if left is None:
        operations.give_up(forgotten, "Nothing came of it")
    else:
        _adopt(subscription, forgotten, left.id, now=now)


@transaction.atomic
def _adopt(subscription: Subscription, operation: StripeOperation, customer: str, *, now: datetime) -> None:
    subscription.lock()
    operations.finish(operation, customer)
    if subscription.stripe_customer_id is None:
        subscription.change(cause=SubscriptionChange.CUSTOMER, now=now, stripe_customer_id=customer)
