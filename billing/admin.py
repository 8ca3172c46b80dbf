"""Plans, subscriptions, periods and ledger, as staff see them. What the application writes is shown, not edited."""

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.utils.formats import date_format

from accounts import clock
from accounts.admin import ReadOnly
from accounts.models import User
from billing import quotas
from billing.entitlements import entitlement
from billing.models import (
    AuditEntry,
    CreditGrant,
    Feature,
    LedgerEntry,
    Plan,
    Price,
    ReconciliationReport,
    StripeEvent,
    StripeOperation,
    Subscription,
    SubscriptionChange,
    UsagePeriod,
)


class Audited:
    """An edit by staff leaves an AuditEntry: who, when, before, after."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            before = model_to_dict(type(obj).objects.get(pk=obj.pk)) if change else {}
            super().save_model(request, obj, form, change)  # type: ignore[misc]  # mixed into a ModelAdmin
            AuditEntry.objects.create(
                at=clock.now(),
                actor=cast(User, request.user),
                action=f"{'change' if change else 'add'} {obj._meta.model_name}",
                target=f"{obj._meta.model_name}:{obj.pk}",
                reason="Edited in the admin",
                before={name: before[name] for name in form.changed_data if name in before},
                after={name: form.cleaned_data[name] for name in form.changed_data if name in before or not change},
            )


class PlanForm(forms.ModelForm):
    features = forms.MultipleChoiceField(choices=Feature.choices, widget=forms.CheckboxSelectMultiple, required=False)


class PricesOfPlan(ReadOnly, admin.TabularInline):
    model = Price
    fields = ("interval", "currency", "unit_amount", "stripe_price_id", "is_active")
    extra = 0


@admin.register(Plan)
class PlanAdmin(Audited, admin.ModelAdmin):
    form = PlanForm
    list_display = ("name", "slug", "rank", "runs_limit", "job_priority", "is_public")
    inlines = (PricesOfPlan,)
    fieldsets = (
        (None, {"fields": ("slug", "name", "description", "features", "is_public")}),
        ("Limits", {"fields": ("runs_limit", "concurrency_limit", "storage_limit", "members_limit")}),
        ("Order", {"fields": ("rank", "job_priority")}),
        ("Unpaid", {"fields": ("grace_days", "grace_runs")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ChangesOfSubscription(ReadOnly, admin.TabularInline):
    model = SubscriptionChange
    fields = ("at", "cause", "actor", "monthly_amount", "currency")
    extra = 0


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("workspace", "plan", "source", "period_ends", "stripe_status")
    list_filter = ("stripe_status", "comp_plan", "paid_plan")
    search_fields = ("workspace__name", "workspace__id", "workspace__members__email", "stripe_customer_id")
    search_help_text = "A workspace's name or id, a member's e-mail address, or a Stripe customer"
    ordering: ClassVar = ["-created_at"]
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
        return Subscription.objects.with_plans().select_related("workspace")

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


@admin.register(UsagePeriod)
class UsagePeriodAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("workspace", "source", "plan", "starts_at", "ends_at", "used", "runs_limit")
    list_filter = ("source", "plan")
    list_select_related = ("workspace", "plan")
    search_fields = ("workspace__name", "workspace__id", "workspace__members__email")
    search_help_text = "A workspace's name or id, or a member's e-mail address"
    ordering: ClassVar = ["-starts_at"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("created_at", "workspace", "kind", "quantity", "balance", "bucket", "run_id")
    list_filter = ("kind",)
    list_select_related = ("workspace", "period", "grant")
    search_fields = ("workspace__name", "workspace__id", "workspace__members__email", "run_id")
    search_help_text = "A workspace's name or id, a member's e-mail address, or a run's id"
    # Counting millions of lines to number the pages would take longer than anybody waits.
    show_full_result_count = False

    @admin.display(description="Bucket")
    def bucket(self, entry: LedgerEntry) -> str:
        return str(entry.period or entry.grant)


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("workspace", "kind", "quantity", "used", "expires_at", "reason", "created_at")
    list_filter = ("kind",)
    list_select_related = ("workspace",)
    search_fields = ("workspace__name", "workspace__id", "workspace__members__email")


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("received_at", "type", "customer", "state", "attempts", "is_caught_up", "error")
    list_filter = ("state", "is_caught_up", "type")
    search_fields = ("stripe_id", "customer", "type")
    search_help_text = "An event's or customer's id at Stripe, or a type"
    show_full_result_count = False


@admin.register(StripeOperation)
class StripeOperationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("created_at", "workspace", "kind", "stripe_id", "finished_at", "error")
    list_filter = ("kind", ("finished_at", admin.EmptyFieldListFilter))
    list_select_related = ("workspace",)
    search_fields = ("stripe_id", "workspace__name", "workspace__id", "workspace__members__email")
    search_help_text = "An id of Stripe's, a workspace's name or id, or a member's e-mail address"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("at", "actor", "action", "target", "reason")
    list_filter = ("action",)
    list_select_related = ("actor",)
    search_fields = ("target", "actor__email", "reason")


@admin.register(ReconciliationReport)
class ReconciliationReportAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("started_at", "finished_at", "is_whole", "workspaces", "drifted", "mended", "orphaned", "failed")
    list_filter = ("is_whole",)
    fields = ("started_at", "finished_at", "is_whole", "workspaces", "drifted", "mended", "for_staff", "not_looked_at")

    @admin.display(description="Orphans")
    def orphaned(self, report: ReconciliationReport) -> int:
        return len(report.orphans)

    @admin.display(description="Failures")
    def failed(self, report: ReconciliationReport) -> int:
        return len(report.failures)

    @admin.display(description="For staff to decide")
    def for_staff(self, report: ReconciliationReport) -> str:
        return "\n".join(f"The {one['kind']} {one['id']} {one['sentence']}" for one in report.orphans) or "Nothing"

    @admin.display(description="Could not be looked at")
    def not_looked_at(self, report: ReconciliationReport) -> str:
        return "\n".join(f"{one['subject']}: {one['sentence']}" for one in report.failures) or "Nothing"
