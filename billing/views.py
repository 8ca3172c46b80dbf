"""The page to which Stripe's pages lead back."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.pages import held_by
from billing import gateway, lifecycle, words
from billing.models import Source, StripeOperation, SubscriptionChange
from billing.quotas import Quota, quota_for, short_name

# Whoever comes later finds what the worker has brought up to date since.
RETURNS = timedelta(days=2)


@dataclass(frozen=True)
class Outcome:
    """What came of a visit to Stripe's pages, told from what Stripe and our rows hold."""

    level: int
    title: str
    text: str
    is_retried: bool = False


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
    except (gateway.StripeUnavailable, gateway.StripeRefused, gateway.BillingNotConfigured, lifecycle.Busy):
        text = _(
            "The payment service cannot be reached just now. If you have paid, your plan changes by itself as soon as"
            " it answers, and nothing is charged twice."
        )
        return _sheet(request, operation, Outcome(messages.WARNING, _("One moment"), text, is_retried=True), status=503)
    if back is None:
        raise Http404
    own = f"{settings.SITE_URL}{reverse('billing:subscription')}"
    if back.target not in ("", own):
        return HttpResponseRedirect(back.target)
    quota = quota_for(back.subscription, now=now)
    if operation.kind == StripeOperation.Kind.CHECKOUT:
        outcome = _of_checkout(back.status, quota)
    else:
        outcome = _of_portal(operation, quota)
    held = held_by(request)
    if back.target and held is not None and held.workspace.pk == operation.workspace_id:
        messages.add_message(request, outcome.level, outcome.text)
        return HttpResponseRedirect(back.target)
    # Somebody else's browser, or one that is in another workspace by now: the page there would speak of that one.
    return _sheet(request, operation, outcome)


def _of_checkout(status: str | None, quota: Quota) -> Outcome:
    present = _present(quota)
    match status:
        case "complete" if quota.subscription.is_period_paid:
            text = _("Your payment is complete.")
            return Outcome(messages.SUCCESS, _("Thank you"), f"{text} {present}")
        case "complete":
            # By bank debit, for one: ordered today and paid in days.
            text = _("Your order is complete, and its payment is under way. All runs are yours when it has arrived.")
            return Outcome(messages.INFO, _("Thank you"), f"{text} {present}")
        case "open":
            text = _("The payment was not completed, and nothing was charged.")
            return Outcome(messages.WARNING, _("Not paid yet"), f"{text} {present}")
        case _other:
            text = _("The payment was not made, and nothing was charged.")
            return Outcome(messages.INFO, _("Nothing was bought"), f"{text} {present}")


def _of_portal(operation: StripeOperation, quota: Quota) -> Outcome:
    """By the history of our row since the portal was opened; ids are of the database's clock, and in order."""
    since = SubscriptionChange.objects.filter(subscription=quota.subscription, id__gt=operation.pk).order_by("id")
    changes = list(since.values_list("before", "after"))
    before, after = (changes[0][0], changes[-1][1]) if changes else ({}, {})
    title, present = _("Your plan"), _present(quota)

    def is_changed(*names: str) -> bool:
        return any(before.get(name) != after.get(name) for name in names)

    if is_changed("paid_price_id"):
        text = _("Your plan was changed.")
        return Outcome(messages.SUCCESS, title, f"{text} {present}")
    if is_changed("cancel_at"):
        text = _("Your plan was cancelled.") if after.get("cancel_at") else _("Your plan goes on.")
        return Outcome(messages.SUCCESS, title, f"{text} {present}")
    if is_changed("pending_plan_id", "pending_interval"):
        text = (
            _("A change of your plan is arranged.") if after.get("pending_plan_id") else _("Your plan stays as it is.")
        )
        return Outcome(messages.SUCCESS, title, f"{text} {present}")
    if is_changed("oldest_unpaid_at") and not after.get("oldest_unpaid_at"):
        text = _("What was open is paid.")
        return Outcome(messages.SUCCESS, title, f"{text} {present}")
    text = _("Your plan is as it was.")
    return Outcome(messages.INFO, title, f"{text} {present}")


def _present(quota: Quota) -> str:
    held = quota.entitlement
    text = _("This workspace is on the %(plan)s plan, with %(runs)s until %(day)s.") % {
        "plan": short_name(held.plan),
        "runs": words.runs(quota.limit),
        "day": words.day(held.period.end),
    }
    return f"{text} {_what_follows(quota)}".rstrip()


def _what_follows(quota: Quota) -> str:
    subscription = quota.subscription
    if quota.entitlement.source != Source.PAID:
        return ""
    if subscription.cancel_at is not None:
        return _("It is cancelled and ends on %(day)s.") % {"day": words.day(subscription.cancel_at)}
    if subscription.pending_plan is not None and subscription.pending_at is not None:
        return _("From %(day)s on it is the %(plan)s plan.") % {
            "day": words.day(subscription.pending_at),
            "plan": short_name(subscription.pending_plan),
        }
    return ""


def _sheet(request: HttpRequest, operation: StripeOperation, outcome: Outcome, *, status: int = 200) -> HttpResponse:
    held = held_by(request)
    is_elsewhere = held is not None and held.workspace.pk != operation.workspace_id
    context = {"section": "billing", "outcome": outcome, "is_elsewhere": is_elsewhere}
    return render(request, "billing/return.html", context, status=status)
