"""The desk from which staff steer billing: everything is shown, and what is done is done by acts."""

from billing.admin import (
    audit,
    batches,
    deliveries,
    mirror,
    people,
    plans,
    reconciliation,
    subscriptions,
    usage,
    workspaces,
)

__all__ = [
    "audit",
    "batches",
    "deliveries",
    "mirror",
    "people",
    "plans",
    "reconciliation",
    "subscriptions",
    "usage",
    "workspaces",
]
