"""Every call out to Stripe. None of our tables is written here."""

from billing.gateway.connection import (
    BillingNotConfigured,
    PaymentFailed,
    StripeRefused,
    StripeUnavailable,
    client,
    errors,
    is_configured,
)
from billing.gateway.creations import create, customer_made_by, operation_of
from billing.gateway.events import events_after, events_before, newest_event, webhook_endpoints
from billing.gateway.holdings import (
    Held,
    address_customer,
    customer,
    customer_of,
    held_of,
    payments_of,
    refunds_of,
    workspace_of,
)
from billing.gateway.invoices import give_up_invoice, pay_invoice, void_invoice
from billing.gateway.listings import all_customers, all_disputes, all_open_checkouts, all_refunds, all_subscriptions
from billing.gateway.pages import checkout, checkouts_of, expire_checkout, open_checkouts, update_portal_configuration
from billing.gateway.prices import price, prices_by_lookup_key, product, rename_product
from billing.gateway.subscriptions import (
    cancel_now,
    keep,
    pause_collection,
    preview,
    release_schedule,
    resume_paused,
    schedule_cancel,
    set_phases,
    unpause_collection,
)

__all__ = [
    "BillingNotConfigured",
    "Held",
    "PaymentFailed",
    "StripeRefused",
    "StripeUnavailable",
    "address_customer",
    "all_customers",
    "all_disputes",
    "all_open_checkouts",
    "all_refunds",
    "all_subscriptions",
    "cancel_now",
    "checkout",
    "checkouts_of",
    "client",
    "create",
    "customer",
    "customer_made_by",
    "customer_of",
    "errors",
    "events_after",
    "events_before",
    "expire_checkout",
    "give_up_invoice",
    "held_of",
    "is_configured",
    "keep",
    "newest_event",
    "open_checkouts",
    "operation_of",
    "pause_collection",
    "pay_invoice",
    "payments_of",
    "preview",
    "price",
    "prices_by_lookup_key",
    "product",
    "refunds_of",
    "release_schedule",
    "rename_product",
    "resume_paused",
    "schedule_cancel",
    "set_phases",
    "unpause_collection",
    "update_portal_configuration",
    "void_invoice",
    "webhook_endpoints",
    "workspace_of",
]
