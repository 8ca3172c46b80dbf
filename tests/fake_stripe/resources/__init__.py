"""The endpoints, a module for each of Stripe's resources; importing them fills the table of routes."""

from tests.fake_stripe.resources import (
    account,
    checkout,
    coupons,
    credit_notes,
    customers,
    disputes,
    events,
    invoice_items,
    invoices,
    payment_methods,
    payments,
    portal,
    products,
    schedules,
    subscriptions,
    webhook_endpoints,
)

__all__ = [
    "account",
    "checkout",
    "coupons",
    "credit_notes",
    "customers",
    "disputes",
    "events",
    "invoice_items",
    "invoices",
    "payment_methods",
    "payments",
    "portal",
    "products",
    "schedules",
    "subscriptions",
    "webhook_endpoints",
]
