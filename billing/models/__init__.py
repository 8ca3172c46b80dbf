"""Billing's tables, by noun."""

from billing.models.events import EventCursor, StripeEvent
from billing.models.plans import Feature, Interval, Plan, Price
from billing.models.reconciliation import ReconciliationReport
from billing.models.refusals import Refusal
from billing.models.stripe import StripeOperation
from billing.models.subscriptions import AuditEntry, Subscription, SubscriptionChange, TrialUse
from billing.models.usage import CreditGrant, LedgerEntry, Source, UsagePeriod

__all__ = [
    "AuditEntry",
    "CreditGrant",
    "EventCursor",
    "Feature",
    "Interval",
    "LedgerEntry",
    "Plan",
    "Price",
    "ReconciliationReport",
    "Refusal",
    "Source",
    "StripeEvent",
    "StripeOperation",
    "Subscription",
    "SubscriptionChange",
    "TrialUse",
    "UsagePeriod",
]
