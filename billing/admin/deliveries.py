"""The inbox of Stripe's deliveries, and what was asked of Stripe."""

from django.contrib import admin

from billing.admin.base import Desk, ReadOnly
from billing.admin.filters import DeliveryWhenFilter, WaitingFilter
from billing.models import StripeEvent, StripeOperation


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly, Desk):
    list_display = ("received_at", "type", "customer", "state", "attempts", "is_caught_up", "error")
    list_filter = ("state", WaitingFilter, DeliveryWhenFilter)
    search_path = "pk"


@admin.register(StripeOperation)
class StripeOperationAdmin(ReadOnly, Desk):
    list_display = ("created_at", "workspace", "kind", "stripe_id", "finished_at", "error")
    list_filter = ("kind",)
    list_select_related = ("workspace",)
    search_path = "workspace_id"
