"""Subscriptions: the facts from which an entitlement is computed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.formats import date_format

from accounts import clock
from billing import quotas
from billing.admin.base import Desk, ReadOnly, Rows
from billing.entitlements import entitlement
from billing.models import Subscription, SubscriptionChange


class ChangesOfSubscription(Rows):
    model = SubscriptionChange
    fields = ("at", "cause", "actor", "monthly_amount", "currency")


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, Desk):
    list_display = ("workspace", "plan", "source", "period_ends", "stripe_status")
    list_filter = ("stripe_status", "comp_plan", "paid_plan")
    search_path = "workspace_id"
    inlines = (ChangesOfSubscription,)
    fieldsets = (
        (None, {"fields": ("workspace", "plan", "source", "used", "period_ends", "base_plan")}),
        ("Trial", {"fields": ("trial_plan", "trial_start", "trial_end")}),
        ("Comp", {"fields": ("comp_plan", "comp_start", "comp_end", "comp_reason")}),
        ("Override", {"fields": ("runs_override", "runs_override_end")}),
        (
            "Stripe",
            {
                "fields": (
                    "stripe_customer_id",
                    "stripe_subscription_id",
                    "stripe_status",
                    "paid_plan",
                    "paid_price",
                    "paid_start",
                    "paid_end",
                    "is_period_paid",
                    "is_collection_paused",
                    "oldest_unpaid_at",
                    "first_paid_at",
                    "cancel_at",
                    "canceled_at",
                    "pending_plan",
                    "pending_at",
                    "synced_at",
                    "sync_due_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return Subscription.objects.with_plans().select_related("workspace", "paid_price")

    @admin.display(description="Plan now")
    def plan(self, subscription: Subscription) -> str:
        return entitlement(subscription, clock.now()).plan.name

    @admin.display(description="From")
    def source(self, subscription: Subscription) -> str:
        return entitlement(subscription, clock.now()).source.label

    @admin.display(description="Period ends")
    def period_ends(self, subscription: Subscription) -> str:
        return date_format(entitlement(subscription, clock.now()).period.end, "DATETIME_FORMAT")

    # Shown for one subscription only: it costs a statement.
    @admin.display(description="Runs")
    def used(self, subscription: Subscription) -> str:
        quota = quotas.quota_for(subscription, now=clock.now())
        limit = "unlimited" if quota.limit is None else f"of {quota.limit:,}"
        return f"{quota.used:,} {limit}, and {quota.credits:,} credits"
