"""The way about the desk: what a member of staff may not see is not in it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        {
            "items": [
                _item("Overview", "dashboard", "admin:index"),
            ],
        },
        {
            "title": "Customers",
            "separator": True,
            "items": [
                _item("Workspaces", "domain", "admin:accounts_workspace_changelist", "accounts.view_workspace"),
                _item("People", "group", "admin:accounts_user_changelist", "accounts.view_user"),
                _item("Sessions", "smart_toy", "admin:sessions_app_session_changelist", "sessions_app.view_session"),
            ],
        },
        {
            "title": "Billing",
            "separator": True,
            "items": [
                _item(
                    "Subscriptions", "autorenew", "admin:billing_subscription_changelist", "billing.view_subscription"
                ),
                _item("Dunning", "assignment_late", "admin:dunning", "billing.view_subscription"),
                _item("Plans and prices", "sell", "admin:billing_plan_changelist", "billing.view_plan"),
            ],
        },
        {
            "title": "Usage",
            "separator": True,
            "items": [
                _item("Periods", "calendar_month", "admin:billing_usageperiod_changelist", "billing.view_usageperiod"),
                _item("Credits", "redeem", "admin:billing_creditgrant_changelist", "billing.view_creditgrant"),
                _item("Ledger", "receipt_long", "admin:billing_ledgerentry_changelist", "billing.view_ledgerentry"),
                _item("Refusals", "block", "admin:billing_refusal_changelist", "billing.view_refusal"),
            ],
        },
        {
            "title": "Stripe",
            "separator": True,
            "items": [
                _item("Deliveries", "inbox", "admin:billing_stripeevent_changelist", "billing.view_stripeevent"),
                _item(
                    "Operations", "outbox", "admin:billing_stripeoperation_changelist", "billing.view_stripeoperation"
                ),
                _item("Reconciliation", "balance", "admin:reconciliation", "billing.view_reconciliationreport"),
                _item("Mirror", "database", "admin:app_list", "djstripe.view_customer", app_label="djstripe"),
            ],
        },
        {
            "title": "Staff",
            "separator": True,
            "items": [
                _item("Batches", "library_add_check", "admin:billing_batch_changelist", "billing.view_batch"),
                _item("Audit", "history", "admin:billing_auditentry_changelist", "billing.view_auditentry"),
            ],
        },
    ]


def icon(request: HttpRequest) -> str:
    return static("icon.svg")


def style(request: HttpRequest) -> str:
    return static("staff.css")


def _item(title: str, icon: str, name: str, permission: str = "", **where: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(name, kwargs=where or None),
        "permission": _may(permission),
    }


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: not permission or request.user.has_perm(permission)
