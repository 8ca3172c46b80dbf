"""What a customer sees of plan, usage and money in a browser."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.access import Access
from accounts.models import Role
from accounts.pages import page
from accounts.roles import Act, may
from billing import charts, gateway, lifecycle, payments, refusals, reports
from billing.advice import advice_of, badge_of
from billing.models import Interval, Plan, Price, Source, Subscription
from billing.offers import is_live, offers_for, rows_of
from billing.quotas import quota_for
from billing.snapshots import ENDED

MOST_REFUSALS = 6
MOST_CREDITS = 6


@page(sign_in=False)
def pricing(request: HttpRequest, held: Access | None) -> HttpResponse:
    """Public: the plans side by side, by the month or by the year."""
    subscription = held.workspace.subscription if held else None
    plans = list(
        Plan.objects.filter(is_public=True).prefetch_related(Prefetch("prices", Price.objects.filter(is_active=True)))
    )
    interval = interval_of(request, subscription)
    currency = currency_of(plans, subscription)
    trial = next((plan for plan in plans if plan.slug == Plan.TRIAL), None)
    sold = [plan for plan in plans if plan != trial]
    context = {
        "section": "pricing",
        "offers": offers_for(sold, interval=interval, currency=currency, held=held, support=settings.SUPPORT_EMAIL),
        "rows": rows_of(sold, currency=currency),
        "interval": interval,
        "intervals": Interval,
        "currency": currency,
        "trial": trial,
        "trial_days": lifecycle.TRIAL_LENGTH.days,
        "like": next((plan for plan in reversed(sold) if trial and plan.features == trial.features), None),
        "has_trial": trial is not None and (held is None or may_start_trial(held)),
        "may_bill": held is not None and may(held, Act.BILL),
        "is_configured": gateway.is_configured(),
    }
    return render(request, "billing/pricing.html", context)


@page(act=Act.SEE_USAGE)
def subscription(request: HttpRequest, held: Access) -> HttpResponse:
    """Plan, usage and money of the workspace. Stripe is not asked: what is shown is what we hold."""
    now, row = held.now, held.workspace.subscription
    quota = quota_for(row, now=now)
    sees_money = may(held, Act.SEE_LEDGER)
    money = payments.payments_of(row, with_invoices=sees_money)
    days = reports.days_of(quota.entitlement.period, row, zone=timezone.get_current_timezone())
    context: dict[str, Any] = {
        "section": "billing",
        "quota": quota,
        "row": row,
        "badge": badge_of(quota),
        "advice": advice_of(quota, now=now),
        "money": money,
        "next": payments.next_payment(row, money, now=now),
        "credits": reports.credits_by_day(row, now=now)[:MOST_CREDITS] if quota.credits else [],
        "chart": charts.chart_of(days),
        "days": [(day, runs) for day, runs in days.items() if runs],
        "exhausted_on": reports.exhausted_on(quota, now=now),
        "days_to_reset": max(1, -(-(quota.entitlement.period.end - now) // timedelta(days=1))),
        "refusals": refusals.recent(held.workspace, now=now)[:MOST_REFUSALS],
        "has_trial": may_start_trial(held),
        "trial_days": lifecycle.TRIAL_LENGTH.days,
        "is_live": is_live(row),
        "can_cancel": row.stripe_status not in ("", *ENDED) and row.cancel_at is None,
        "has_customer": row.stripe_customer_id is not None,
        "sees_money": sees_money,
        "may_bill": may(held, Act.BILL),
        "is_configured": gateway.is_configured(),
        # The owner's address counts; whether another's is verified is found out when the trial begins.
        "needs_verification": settings.TRIAL_REQUIRES_VERIFIED_EMAIL
        and held.role is Role.OWNER
        and not held.user.is_email_verified,
        "support": settings.SUPPORT_EMAIL,
    }
    return render(request, "billing/subscription.html", context)


def interval_of(request: HttpRequest, subscription: Subscription | None) -> str:
    """What the address asks for, or how the workspace pays, or the month."""
    asked = request.GET.get("interval", "")
    if asked in Interval.values:
        return asked
    if subscription is not None and is_live(subscription):
        return subscription.paid_interval
    return Interval.MONTH


def currency_of(plans: list[Plan], subscription: Subscription | None) -> str:
    """The one in which the workspace pays, where that is among what is sold."""
    paid = subscription.paid_price_id if subscription is not None else None
    prices = [price for plan in plans for price in plan.prices.all()]
    return next((price.currency for price in prices if price.pk == paid), settings.DEFAULT_CURRENCY)


def may_start_trial(held: Access) -> bool:
    """At most one statement."""
    row = held.workspace.subscription
    if not may(held, Act.BILL) or row.first_paid_at is not None or row.trial_plan_id is not None:
        return False
    if quota_for(row, now=held.now).entitlement.source != Source.FREE:
        return False
    return not lifecycle.standing_of(row).is_trial_used
