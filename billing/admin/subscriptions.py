"""Subscriptions as a list: who is on what, and what Stripe says. One of them is its workspace's page."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts import clock
from billing.admin.base import MISSING, Desk, ReadOnly, at
from billing.admin.filters import MovedFilter, StandingFilter, TrialFilter
from billing.entitlements import entitlement
from billing.models import Plan, Subscription
from billing.money import amount_in_words
from billing.snapshots import ENDED, LIVE


class StatusFilter(admin.SimpleListFilter):
    title, parameter_name = "status at Stripe", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word.replace("_", " ").capitalize()) for word in sorted(LIVE | ENDED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(stripe_status=self.value()) if self.value() else queryset


class PaidPlanFilter(admin.SimpleListFilter):
    title, parameter_name = "plan that is paid for", "paid_plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Plan.objects.filter(prices__isnull=False).distinct().values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(paid_plan__slug=self.value()).exclude(stripe_status="")


class CompFilter(admin.SimpleListFilter):
    title, parameter_name = "comp", "comp"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("running", "Running"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "running":
                return queryset.filter(comp_end__gt=clock.now())
            case "over":
                return queryset.filter(comp_end__lte=clock.now())
            case _:
                return queryset


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, Desk):
    list_display = ("workspace", "plan", "source", "until", "status", "pays")
    list_filter = (StandingFilter, StatusFilter, PaidPlanFilter, CompFilter, TrialFilter, MovedFilter)
    search_path = "workspace_id"

    def get_queryset(self, request: HttpRequest) -> Any:
        return Subscription.objects.with_plans().select_related("workspace", "paid_price")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        try:
            found = get_object_or_404(Subscription, pk=UUID(object_id))
        except ValueError as error:
            raise Http404 from error
        if request.method != "GET":
            return HttpResponse(status=403)
        return HttpResponseRedirect(reverse("admin:accounts_workspace_change", args=[found.workspace_id]))

    @admin.display(description="Plan now")
    def plan(self, subscription: Subscription) -> str:
        return entitlement(subscription, clock.now()).plan.name

    @admin.display(description="From")
    def source(self, subscription: Subscription) -> str:
        return entitlement(subscription, clock.now()).source.label

    @admin.display(description="Period ends")
    def until(self, subscription: Subscription) -> str:
        return at(entitlement(subscription, clock.now()).period.end)

    @admin.display(description="At Stripe")
    def status(self, subscription: Subscription) -> str:
        return subscription.stripe_status.replace("_", " ") or MISSING

    @admin.display(description="A month")
    def pays(self, subscription: Subscription) -> str:
        if not subscription.monthly_amount:
            return MISSING
        return amount_in_words(subscription.monthly_amount, subscription.currency)
