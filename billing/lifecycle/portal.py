"""Stripe's portal, on a Configuration of our own."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import gateway, sync
from billing.lifecycle import operations, standing
from billing.lifecycle.customers import ensure_customer
from billing.lifecycle.returns import LOOK_AGAIN, return_page
from billing.models import Price, StripeOperation, Subscription

Kind = StripeOperation.Kind


@dataclass(frozen=True)
class Portal:
    url: str


def open_portal(subscription: Subscription, *, return_url: str, now: datetime) -> Portal:
    """Stripe's portal on our own Configuration; makes the customer where it is missing."""
    gateway.client()
    with standing.turn_of(subscription):
        customer = ensure_customer(subscription, now=now)
        configuration = portal_configuration()
        operation = operations.begin(
            Kind.PORTAL,
            workspace=subscription.workspace,
            # Each is for once: a session that was handed out is not handed out again.
            intent={"return_url": return_url, "once": str(uuid.uuid4())},
            parameters=lambda operation: {
                "customer": customer,
                "configuration": configuration,
                "return_url": return_page(operation),
            },
        )
        sync.ring_by(subscription, now + LOOK_AGAIN)
        return Portal(operations.carry_out(operation).url)


def portal_configuration() -> str:
    """The id of the Configuration that says what we allow, made or changed at Stripe when that changes."""
    wanted = _portal_parameters()
    made = StripeOperation.objects.filter(kind=Kind.PORTAL_CONFIGURATION, error="").exclude(stripe_id="")
    latest: StripeOperation | None = made.first()
    if latest is None:
        operation = operations.begin(Kind.PORTAL_CONFIGURATION, intent=wanted, parameters=wanted)
        return str(operations.carry_out(operation).id)
    if latest.intent != wanted:
        gateway.update_portal_configuration(latest.stripe_id, wanted)
        latest.intent = wanted
        latest.save(update_fields=["intent"])
    return latest.stripe_id


def _portal_parameters() -> dict[str, Any]:
    """Cancel at the period's end, larger now and in full, smaller or shorter at the period's end. See STRIPE.md."""
    products: dict[str, list[str]] = {}
    sold = Price.objects.filter(is_active=True, plan__is_public=True, stripe_price_id__isnull=False)
    for price in sold.order_by("plan__rank", "interval", "currency"):
        products.setdefault(price.stripe_product_id, []).append(str(price.stripe_price_id))
    update: dict[str, Any] = {"enabled": False}
    if products:
        update = {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "products": [{"product": product, "prices": prices} for product, prices in products.items()],
            "proration_behavior": "always_invoice",
            "billing_cycle_anchor": "now",
            "schedule_at_period_end": {
                "conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]
            },
        }
    return {
        "business_profile": {"headline": "AI-Manus"},
        "features": {
            "customer_update": {"enabled": True, "allowed_updates": ["email", "address", "tax_id"]},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {
                "enabled": True,
                "mode": "at_period_end",
                "proration_behavior": "none",
                "cancellation_reason": {
                    "enabled": True,
                    "options": ["too_expensive", "missing_features", "switched_service", "unused", "other"],
                },
            },
            "subscription_update": update,
        },
    }
