"""Counters, credits, ledger and refusals, as they were written down."""

from django.contrib import admin

from billing.admin.base import Desk, ReadOnly
from billing.models import CreditGrant, LedgerEntry, Refusal, UsagePeriod


@admin.register(UsagePeriod)
class UsagePeriodAdmin(ReadOnly, Desk):
    list_display = ("workspace", "source", "plan", "starts_at", "ends_at", "used", "runs_limit")
    list_filter = ("source", "plan")
    list_select_related = ("workspace", "plan")
    search_path = "workspace_id"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly, Desk):
    list_display = ("created_at", "workspace", "kind", "quantity", "balance", "bucket", "run_id")
    list_filter = ("kind",)
    list_select_related = ("workspace", "period", "grant")
    search_path = "workspace_id"

    @admin.display(description="Bucket")
    def bucket(self, entry: LedgerEntry) -> str:
        return str(entry.period or entry.grant)


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnly, Desk):
    list_display = ("workspace", "kind", "quantity", "used", "expires_at", "reason", "created_at")
    list_filter = ("kind",)
    list_select_related = ("workspace",)
    search_path = "workspace_id"


@admin.register(Refusal)
class RefusalAdmin(ReadOnly, Desk):
    list_display = ("last_at", "workspace", "code", "count", "plan", "user")
    list_filter = ("code",)
    list_select_related = ("workspace", "plan", "user")
    search_path = "workspace_id"
