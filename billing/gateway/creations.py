"""What makes something at Stripe, keyed by its stored operation."""

from collections.abc import Callable
from typing import Any

import stripe

from billing.gateway.connection import PAGE, client, errors
from billing.models import StripeOperation

Kind = StripeOperation.Kind


def create(operation: StripeOperation) -> Any:
    """Make what the operation describes, once: Stripe knows a repetition by the operation's key."""
    options: Any = {"idempotency_key": operation.key}
    v1 = client().v1
    creations: dict[str, Callable[..., Any]] = {
        Kind.CUSTOMER: v1.customers.create,
        Kind.CHECKOUT: v1.checkout.sessions.create,
        Kind.PORTAL: v1.billing_portal.sessions.create,
        Kind.PORTAL_CONFIGURATION: v1.billing_portal.configurations.create,
        Kind.UPGRADE: lambda params, options: v1.subscriptions.update(
            operation.intent["subscription"], params, options
        ),
        Kind.SCHEDULE: v1.subscription_schedules.create,
        Kind.REFUND: v1.refunds.create,
        Kind.PRODUCT: v1.products.create,
        Kind.PRICE: v1.prices.create,
    }
    with errors(f"create a {operation.kind}"):
        return creations[operation.kind](operation.parameters, options)


def customer_made_by(operation: StripeOperation) -> stripe.Customer | None:
    """What a creation left behind whose key Stripe has forgotten, found by its metadata."""
    with errors("look for a customer"):
        listed = client().v1.customers.list({"email": operation.parameters["email"], "limit": PAGE})
    return next((one for one in listed.data if operation_of(one) == str(operation.pk)), None)


def operation_of(made: stripe.Customer | stripe.checkout.Session | stripe.Refund) -> str:
    """The id of the operation that made it; empty where none of ours did."""
    return str((made.to_dict()["metadata"] or {}).get("operation_id", ""))
