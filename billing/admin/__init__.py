"""The desk from which staff steer billing: everything is shown, and what is done is done by acts."""

from django.contrib import admin

from billing.acts import pages as act_pages
from billing.admin import (
    audit,
    batches,
    deliveries,
    dunning,
    mirror,
    people,
    plans,
    reconciliation,
    subscriptions,
    usage,
    workspaces,
)

admin.site.add_pages(*act_pages.PAGES)  # type: ignore[attr-defined]  # of accounts.staff.StaffSite

__all__ = [
    "audit",
    "batches",
    "deliveries",
    "dunning",
    "mirror",
    "people",
    "plans",
    "reconciliation",
    "subscriptions",
    "usage",
    "workspaces",
]
