"""Plans and prices: what is sold, to whom it is shown, and what it allows."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest

from accounts import clock
from accounts.models import User
from billing import audit
from billing.admin.base import Desk, Rows
from billing.models import Feature, Plan, Price


class Audited:
    """An edit by staff leaves an AuditEntry: who, when, before, after."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            before = model_to_dict(type(obj).objects.get(pk=obj.pk)) if change else {}
            super().save_model(request, obj, form, change)  # type: ignore[misc]  # mixed into a ModelAdmin
            audit.record(
                f"{'change' if change else 'add'} {obj._meta.model_name}",
                target=obj,
                now=clock.now(),
                actor=cast(User, request.user),
                reason="Edited in the admin",
                before={name: before[name] for name in form.changed_data if name in before},
                after={name: form.cleaned_data[name] for name in form.changed_data if name in before or not change},
            )


class PlanForm(forms.ModelForm):
    features = forms.MultipleChoiceField(choices=Feature.choices, widget=forms.CheckboxSelectMultiple, required=False)


class PricesOfPlan(Rows):
    model = Price
    fields = ("interval", "currency", "unit_amount", "stripe_price_id", "is_active")


@admin.register(Plan)
class PlanAdmin(Audited, Desk):
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
