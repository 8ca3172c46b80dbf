"""Billing's tables, by noun."""

from billing.models.audit import AuditEntry
from billing.models.batches import Batch, BatchItem
from billing.models.events import EventCursor, StripeEvent
from billing.models.figures import DailyFigures
from billing.models.plans import Feature, Interval, Plan, Price
from billing.models.reconciliation import ReconciliationReport
from billing.models.refusals import Refusal
from billing.models.stripe import StripeOperation
from billing.models.subscriptions import Subscription, SubscriptionChange, TrialUse
from billing.models.usage import CreditGrant, LedgerEntry, Source, UsagePeriod

__all__ = [
    "AuditEntry",
    "Batch",
    "BatchItem",
    "CreditGrant",
    "DailyFigures",
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
