"""What came of an act on the plan, as a message on the page where the person goes on."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.errors import Problem
from billing import gateway, lifecycle, words
from billing.quotas import Quota, short_name


def told(request: HttpRequest, problem: Problem, again: str) -> HttpResponse:
    """An act that did not come off, or not wholly, said where the person goes on."""
    target = reverse("billing:subscription")
    if isinstance(problem, gateway.PaymentFailed):
        # Stripe says why in English alone.
        text = (problem.reason if get_language() == "en" else "") or _(
            "The payment did not go through: the card was declined or asks for your confirmation."
        )
        text = _("%(reason)s Your plan stays as it is.") % {"reason": text}
        say_with_link(request, text, _("Complete the payment"), problem.payment_url)
    elif problem.code == "payment_required":
        text = _("A payment of this workspace is open. Complete it first.")
        say_with_link(request, text, _("Complete the payment"), problem.members["payment_url"])
    elif isinstance(problem, lifecycle.EmailNotVerified):
        say_with_link(request, str(problem.detail), _("Verify your address"), reverse("accounts:account"))
    elif problem.code in ("already_subscribed", "not_subscribed"):
        messages.warning(request, _("Your plan has changed since this was shown. Look at it again, and then decide."))
        target = again
    elif isinstance(problem, lifecycle.NotShownYet):
        messages.info(request, str(problem.detail))
    elif problem.status_code == 400 and "errors" in problem.members:
        messages.error(request, str(next(iter(problem.members["errors"].values()))[0]))
    else:
        messages.error(request, str(problem.detail))
        target = again
    return redirect(target)


def say_present(request: HttpRequest, quota: Quota) -> None:
    subscription, held = quota.subscription, quota.entitlement
    plan = short_name(held.plan)
    if subscription.pending_plan is not None and subscription.pending_at is not None:
        text = _("Your plan changes to %(pending)s on %(day)s. Until then you keep the %(plan)s plan.") % {
            "pending": short_name(subscription.pending_plan),
            "day": words.day(subscription.pending_at),
            "plan": plan,
        }
    elif quota.remaining is None:
        text = _("You are on the %(plan)s plan, with unlimited runs.") % {"plan": plan}
    else:
        text = _("You are on the %(plan)s plan, with %(runs)s left until %(day)s.") % {
            "plan": plan,
            "runs": words.runs(quota.remaining),
            "day": words.day(held.period.end),
        }
    messages.success(request, text)


def say_cancelled(request: HttpRequest, quota: Quota) -> None:
    subscription = quota.subscription
    if subscription.cancel_at is None:
        messages.success(request, _("Your plan has ended, and nothing more is charged."))
    else:
        text = _("Your plan is cancelled. You keep it until %(day)s, and nothing more is charged.")
        messages.success(request, text % {"day": words.day(subscription.cancel_at)})


def say_with_link(request: HttpRequest, text: str, label: str, url: str) -> None:
    messages.error(request, format_html('{} <a href="{}">{}</a>', text, url, label))
