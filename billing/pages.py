"""What a customer sees of plan, usage and money in a browser."""

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.access import Access
from accounts.pages import page
from billing.models import Plan, Price
from billing.quotas import quota_for


@page(sign_in=False)
def pricing(request: HttpRequest, held: Access | None) -> HttpResponse:
    """Public: the plans side by side."""
    active = Prefetch("prices", Price.objects.filter(is_active=True))
    plans = Plan.objects.filter(is_public=True).prefetch_related(active)
    return render(request, "billing/pricing.html", {"section": "pricing", "plans": plans})


@page()
def subscription(request: HttpRequest, held: Access) -> HttpResponse:
    quota = quota_for(held.workspace.subscription, now=held.now)
    return render(request, "billing/subscription.html", {"section": "billing", "quota": quota})
