"""What was asked of Stripe and never heard of again: found by what we wrote there, and finished or given up."""

from collections.abc import Iterable
from datetime import datetime

import stripe

from billing import gateway, lifecycle, sync
from billing.lifecycle import operations
from billing.models import StripeOperation, Subscription
from billing.snapshots import Held


def what_became_of(operation: StripeOperation, subscription: Subscription | None) -> str:
    """The id of what Stripe made of it, found by what we wrote there; empty where it made nothing."""
    kinds = StripeOperation.Kind
    customer = subscription.stripe_customer_id if subscription else None
    match operation.kind:
        case kinds.CUSTOMER:
            made = gateway.customer_made_by(operation)
            return made.id if made else ""
        case kinds.CHECKOUT if customer:
            return _made_by(operation, gateway.checkouts_of(customer))
        case kinds.REFUND:
            return _made_by(operation, gateway.refunds_of(operation.intent["payment_intent"]))
        case kinds.UPGRADE | kinds.SCHEDULE if customer:
            snapshot = sync.snapshot_of(gateway.held_of(customer))
            found = (_effect_of(operation, held) for held in snapshot.subscriptions)
            return next((id for id in found if id), "")
        case kinds.PRODUCT:
            product = gateway.product(operation.parameters["id"])
            return product.id if product else ""
        case kinds.PRICE:
            key = operation.parameters["lookup_key"]
            price = gateway.prices_by_lookup_key([key]).get(key)
            return price.id if price else ""
        case _:
            # A page to which nobody was led, or of a customer that is gone; or an act that was cut short.
            return ""


def _effect_of(operation: StripeOperation, held: Held) -> str:
    if operation.kind == StripeOperation.Kind.UPGRADE:
        # It leaves no word of its own: that the subscription is as it was to be is its effect.
        is_done = held.id == operation.intent["subscription"] and held.item["price"]["id"] == operation.intent["price"]
        return held.id if is_done else ""
    made_by = (held.schedule["metadata"] or {}).get("operation_id") if held.schedule else None
    return str(held.schedule["id"]) if held.schedule and made_by == str(operation.pk) else ""


def _made_by(operation: StripeOperation, found: Iterable[stripe.checkout.Session | stripe.Refund]) -> str:
    return next((one.id for one in found if gateway.operation_of(one) == str(operation.pk)), "")


def settle(operation: StripeOperation, subscription: Subscription | None, made: str, *, now: datetime) -> None:
    if (
        operation.kind == StripeOperation.Kind.CUSTOMER
        and made
        and subscription
        and not subscription.stripe_customer_id
    ):
        # Becomes the workspace's, with the history that this takes.
        lifecycle.ensure_customer(subscription, now=now)
    elif operation.kind == StripeOperation.Kind.RESTORE and subscription:
        lifecycle.settle(subscription, now=now)
    elif made:
        operations.finish(operation, made)
    else:
        operations.give_up(operation, "Nothing came of it")
