"""Counters, credits, ledger and refusals, as they were written down. Numbers are runs."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from billing.admin import search
from billing.admin.base import MISSING, Desk, ReadOnly, at
from billing.admin.filters import LedgerWhenFilter, RefusalWhenFilter
from billing.models import CreditGrant, LedgerEntry, Refusal, UsagePeriod


def number(value: int | None, *, none: str = "unlimited") -> str:
    return none if value is None else f"{value:,}"


@admin.register(UsagePeriod)
class UsagePeriodAdmin(ReadOnly, Desk):
    list_display = ("workspace", "source", "plan", "since", "until", "used_of", "limit")
    list_filter = ("source", "plan")
    list_select_related = ("workspace", "plan")
    search_path = "workspace_id"

    @admin.display(description="From")
    def since(self, row: UsagePeriod) -> str:
        return at(row.starts_at)

    @admin.display(description="To")
    def until(self, row: UsagePeriod) -> str:
        return at(row.ends_at)

    @admin.display(description="Used")
    def used_of(self, row: UsagePeriod) -> str:
        return number(row.used)

    @admin.display(description="Limit")
    def limit(self, row: UsagePeriod) -> str:
        return number(row.runs_limit)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly, Desk):
    list_display = ("when", "customer", "kind", "quantity", "left", "bucket", "run_id")
    list_filter = ("kind", LedgerWhenFilter)
    list_select_related = ("workspace", "period", "grant")
    search_path = "workspace_id"

    def search_here(self, text: str) -> Q:
        run = search.uuid_of(text)
        return Q(run_id=run) if run is not None else Q(pk__in=[])

    @admin.display(description="When")
    def when(self, entry: LedgerEntry) -> str:
        return at(entry.created_at)

    @admin.display(description="Left")
    def left(self, entry: LedgerEntry) -> str:
        return number(entry.balance)

    @admin.display(description="Bucket")
    def bucket(self, entry: LedgerEntry) -> str:
        if entry.grant is not None:
            return f"Credits: {entry.grant.get_kind_display().lower()}"
        return (
            f"{entry.period.get_source_display()} from {entry.period.starts_at:%Y-%m-%d}" if entry.period else MISSING
        )


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnly, Desk):
    list_display = ("customer", "kind", "left", "quantity", "expires", "reason", "by", "when")
    list_display_links = ("when",)
    list_filter = ("kind",)
    list_select_related = ("workspace", "created_by")
    search_path = "workspace_id"

    @admin.display(description="Left")
    def left(self, grant: CreditGrant) -> str:
        return number(grant.left)

    @admin.display(description="Expire")
    def expires(self, grant: CreditGrant) -> str:
        return at(grant.expires_at) if grant.expires_at else "Never"

    @admin.display(description="By")
    def by(self, grant: CreditGrant) -> str:
        return grant.created_by.email if grant.created_by else "The service"

    @admin.display(description="Given")
    def when(self, grant: CreditGrant) -> str:
        return at(grant.created_at)


class CodeFilter(admin.SimpleListFilter):
    title, parameter_name = "why", "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(CODES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(code=self.value()) if self.value() else queryset


CODES = {
    "quota_exceeded": "Runs are spent",
    "concurrency_exceeded": "Too many at once",
    "feature_not_in_plan": "Not in the plan",
    "seats_exceeded": "No seat left",
    "storage_exceeded": "No storage left",
}


@admin.register(Refusal)
class RefusalAdmin(ReadOnly, Desk):
    list_display = ("when", "customer", "why", "count", "plan", "user", "used")
    list_filter = (CodeFilter, RefusalWhenFilter)
    list_select_related = ("workspace", "plan", "user")
    search_path = "workspace_id"

    @admin.display(description="When")
    def when(self, refusal: Refusal) -> str:
        return at(refusal.last_at)

    @admin.display(description="Why")
    def why(self, refusal: Refusal) -> str:
        return CODES.get(refusal.code, refusal.code)

    @admin.display(description="Used then")
    def used(self, refusal: Refusal) -> str:
        held = refusal.held
        return f"{number(held['used'])} of {number(held['limit'])}" if held else MISSING
