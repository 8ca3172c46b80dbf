"""The page to which Stripe's pages lead back."""

import uuid
from datetime import UTC, datetime, timedelta

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from billing import gateway, lifecycle
from billing.models import Source, StripeOperation
from billing.quotas import Quota, day_in_words, quota_for, short_name

# Whoever comes later finds what the worker has brought up to date since.
RETURNS = timedelta(days=2)


@require_safe
@never_cache
def come_back(request: HttpRequest, operation_id: uuid.UUID) -> HttpResponse:
    """Needs no sign-in: it shows what a plan allows, and makes our rows follow Stripe, whoever opens it."""
    kinds = (StripeOperation.Kind.CHECKOUT, StripeOperation.Kind.PORTAL)
    operation = (
        StripeOperation.objects.filter(pk=operation_id, kind__in=kinds, created_at__gt=datetime.now(UTC) - RETURNS)
        .exclude(stripe_id="")
        .first()
    )
    if operation is None:
        raise Http404
    now = clock.now()
    try:
        back = lifecycle.returned(operation, is_canceled="canceled" in request.GET, now=now)
    except (gateway.StripeUnavailable, gateway.StripeRefused, gateway.BillingNotConfigured):
        return _notice(
            request,
            "One moment",
            "The payment service cannot be reached just now. If you have paid, your plan changes by itself as soon as"
            " it answers, and nothing is charged twice.",
            status=503,
        )
    if back is None:
        raise Http404
    if back.target:
        return HttpResponseRedirect(back.target)
    return _notice(request, *_outcome(back.status, quota_for(back.subscription, now=now)))


def _outcome(status: str | None, quota: Quota) -> tuple[str, str]:
    plan = f"{short_name(quota.entitlement.plan)} plan"
    until = day_in_words(quota.entitlement.period.end)
    runs = "unlimited runs" if quota.limit is None else f"{quota.limit:,} runs"
    present = f"This workspace is on the {plan}, with {runs} until {until}.{_what_follows(quota)}"
    match status:
        case "complete":
            return "Thank you", f"Your payment is complete. {present}"
        case "open":
            return "Not paid yet", f"The payment was not completed, and nothing was charged. {present}"
        case "canceled" | "expired":
            return "Nothing was bought", f"The payment was not made, and nothing was charged. {present}"
        case _:
            return "Your plan", present


def _what_follows(quota: Quota) -> str:
    subscription = quota.subscription
    if quota.entitlement.source != Source.PAID:
        return ""
    if subscription.cancel_at is not None:
        return f" It is cancelled and ends on {day_in_words(subscription.cancel_at)}."
    if subscription.pending_plan is not None and subscription.pending_at is not None:
        return f" From {day_in_words(subscription.pending_at)} it is the {short_name(subscription.pending_plan)} plan."
    return ""


def _notice(request: HttpRequest, title: str, text: str, *, status: int = 200) -> HttpResponse:
    return render(request, "accounts/notice.html", {"title": title, "text": text}, status=status)
