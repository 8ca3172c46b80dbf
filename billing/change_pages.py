"""Choosing a plan, ending it and going on with it in a browser: each act is a form of its own, sent once."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once, once_beyond
from accounts.models import Role
from accounts.pages import page
from accounts.roles import Act
from billing import lifecycle, words
from billing.forms import CancelForm, ChoiceForm
from billing.lifecycle.changes import STUCK
from billing.models import Feature, Interval, Plan, Price, Source, Subscription
from billing.offers import change_url, is_live
from billing.outcomes import say_cancelled, say_present, told
from billing.quotas import Quota, quota_for
from billing.snapshots import ENDED

POST = ("POST",)
GET_AND_POST = ("GET", "HEAD", "POST")


@page(act=Act.BILL, methods=GET_AND_POST)
def change(request: HttpRequest, held: Access) -> HttpResponse:
    """The upgrade dialog: what would change, what it costs, and one button. A page by itself without JavaScript."""
    if request.method == "POST":
        return _choose(request, held)
    subscription = held.workspace.subscription
    if request.GET.get("plan") == Plan.FREE:
        return _lead(request, reverse("billing:cancel" if is_live(subscription) else "billing:subscription"))
    sold = _sold(subscription)
    chosen = _chosen(request, subscription, sold)
    context: dict[str, Any] = {
        "section": "billing",
        "quota": quota_for(subscription, now=held.now),
        "row": subscription,
        "sold": sold,
        "chosen": chosen,
        "support": settings.SUPPORT_EMAIL,
    }
    if chosen is not None:
        context |= _comparison(held, chosen, sold)
    return _show(request, "billing/change", context)


@page(act=Act.BILL, methods=GET_AND_POST)
def cancel(request: HttpRequest, held: Access) -> HttpResponse:
    """Says what happens and asks why, before it does it."""
    subscription = held.workspace.subscription
    form = CancelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():

        def work() -> None:
            lifecycle.cancel(subscription, reason=form.words, actor=held.user, now=held.now)

        return _act(request, held, work, say=say_cancelled)
    if subscription.stripe_status in ("", *ENDED) or subscription.cancel_at is not None:
        messages.info(request, _("There is nothing to cancel: no plan goes on being paid for."))
        return _lead(request, reverse("billing:subscription"))
    # Where nothing is paid there is nothing to run out.
    is_at_once = subscription.stripe_status in ("incomplete", "unpaid", "paused")
    context = {
        "section": "billing",
        "row": subscription,
        "form": form,
        "is_at_once": is_at_once,
        "until": None if is_at_once else subscription.paid_end,
    }
    return _show(request, "billing/cancel", context)


@page(act=Act.BILL, methods=POST)
def resume(request: HttpRequest, held: Access) -> HttpResponse:
    """Take back what is scheduled."""

    def work() -> None:
        lifecycle.resume(held.workspace.subscription, actor=held.user, now=held.now)

    return _act(request, held, work, say=say_present)


@page(act=Act.BILL, methods=POST)
def trial(request: HttpRequest, held: Access) -> HttpResponse:
    subscription = held.workspace.subscription

    def work() -> str:
        lifecycle.activate_trial(subscription, actor=held.user, now=held.now)
        return reverse("billing:subscription")

    try:
        target = once(request, held, work)
    except (lifecycle.TrialAlreadyUsed, lifecycle.AlreadySubscribed) as problem:
        messages.error(request, str(problem.detail))
        return redirect("billing:subscription")
    except Problem as problem:
        return told(request, problem, reverse("billing:subscription"))
    quota = _fresh(held)
    text = _("Your trial has begun: %(runs)s until %(day)s.")
    messages.success(request, text % {"runs": words.runs(quota.limit), "day": words.day(quota.entitlement.period.end)})
    return redirect(target)


@page(act=Act.BILL, methods=POST)
def portal(request: HttpRequest, held: Access) -> HttpResponse:
    """To Stripe's pages for the card, the invoices and the plan."""
    back = f"{settings.SITE_URL}{reverse('billing:subscription')}"
    try:
        opened = lifecycle.open_portal(held.workspace.subscription, return_url=back, now=held.now)
    except Problem as problem:
        return told(request, problem, reverse("billing:subscription"))
    return redirect(opened.url)


def _choose(request: HttpRequest, held: Access) -> HttpResponse:
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        raise Problem(
            _("This form was not complete. Load the page again, and send it from there."), "invalid", status=400
        )
    plan, interval = form.cleaned_data["plan"], form.cleaned_data["interval"]
    again = f"{reverse('billing:change')}?plan={plan}&interval={interval}"
    if form.cleaned_data["act"] == ChoiceForm.CHECKOUT:
        # Twice the same, it is one session: what is open for the price is handed out again.
        here = f"{settings.SITE_URL}{reverse('billing:subscription')}"
        try:
            checkout = lifecycle.start_checkout(
                held.workspace.subscription,
                plan=plan,
                interval=interval,
                currency=None,
                success_url=here,
                cancel_url=here,
                now=held.now,
            )
        except Problem as problem:
            return told(request, problem, again)
        return redirect(checkout.url)

    def work() -> None:
        lifecycle.change_plan(held.workspace.subscription, plan=plan, interval=interval, actor=held.user, now=held.now)

    return _act(request, held, work, say=say_present, again=again)


def _act(
    request: HttpRequest,
    held: Access,
    work: Callable[[], None],
    *,
    say: Callable[[HttpRequest, Quota], None],
    again: str = "",
) -> HttpResponse:
    """Does it once, and says on the page of the subscription what it came to, as our rows have it now."""
    target = reverse("billing:subscription")

    def reach() -> str:
        work()
        return target

    try:
        once_beyond(request, held, reach)
    except Problem as problem:
        return told(request, problem, again or target)
    say(request, _fresh(held))
    return redirect(target)


def _fresh(held: Access) -> Quota:
    """As our rows are now: what was done may have been done by an earlier copy of the same form."""
    return quota_for(Subscription.objects.with_plans().get(workspace=held.workspace), now=held.now)


def _sold(subscription: Subscription) -> list[Price]:
    """What can be bought in the workspace's currency, and what it pays now even where that is not sold any more."""
    offered = Q(is_active=True, plan__is_public=True)
    found = list(
        Price.objects.filter(offered | Q(pk=subscription.paid_price_id))
        .select_related("plan")
        .order_by("plan__rank", "interval")
    )
    currency = next((one.currency for one in found if one.pk == subscription.paid_price_id), settings.DEFAULT_CURRENCY)
    return [one for one in found if one.currency == currency]


def _chosen(request: HttpRequest, subscription: Subscription, sold: list[Price]) -> Price | None:
    """What the address names; else the next larger plan, paid as it is paid now."""
    offered = [price for price in sold if price.is_active and price.plan.is_public]
    interval = request.GET.get("interval") or (subscription.paid_interval if is_live(subscription) else "")
    named = [price for price in offered if price.plan.slug == request.GET.get("plan", "").lower()]
    rank = subscription.paid_plan.rank if subscription.paid_plan is not None and is_live(subscription) else -1
    larger = [price for price in offered if price.plan.rank > rank]
    candidates = named or larger or offered
    preferred = interval if interval in Interval.values else Interval.MONTH
    candidates = [price for price in candidates if price.plan == candidates[0].plan]
    return next((price for price in candidates if price.interval == preferred), next(iter(candidates), None))


def _comparison(held: Access, chosen: Price, sold: list[Price]) -> dict[str, Any]:
    subscription = held.workspace.subscription
    live = is_live(subscription)
    paid = next((price for price in sold if price.pk == subscription.paid_price_id), None) if live else None
    quota = quota_for(subscription, now=held.now)
    present = quota.entitlement.plan
    is_same = paid is not None and (paid.plan, paid.interval) == (chosen.plan, chosen.interval)
    is_pending = (subscription.pending_plan, subscription.pending_interval) == (chosen.plan, chosen.interval)
    found: dict[str, Any] = {
        "present": present,
        "paid": paid,
        "is_live": live,
        "is_same": is_same,
        "is_pending": is_pending,
        "is_stuck": live and subscription.stripe_status in STUCK,
        # What was used of FREE or a trial is not carried into what is paid for (invariant 7).
        "is_carried": quota.entitlement.bucket_source == Source.PAID,
        "act": ChoiceForm.CHANGE if live else ChoiceForm.CHECKOUT,
        "plans": [(price, change_url(price.plan, price.interval)) for price in _one_a_plan(sold, chosen.interval)],
        "intervals": [
            (price, change_url(price.plan, price.interval))
            for price in sold
            if price.plan == chosen.plan and price.is_active
        ],
        "gained": [feature for feature in Feature if chosen.plan.has(feature) and not present.has(feature)],
        "lost": [feature for feature in Feature if present.has(feature) and not chosen.plan.has(feature)],
        "needs_verification": not live
        and settings.BUYING_REQUIRES_VERIFIED_EMAIL
        and held.role is Role.OWNER
        and not held.user.is_email_verified,
        "may_differ": settings.STRIPE_AUTOMATIC_TAX or settings.STRIPE_PROMOTION_CODES,
    }
    if is_same or is_pending or found["is_stuck"]:
        return found
    try:
        found["preview"] = lifecycle.preview_change(
            subscription, plan=chosen.plan.slug, interval=chosen.interval, now=held.now
        )
    except Problem as problem:
        found["problem"] = problem
    return found


def _one_a_plan(sold: list[Price], interval: str) -> list[Price]:
    """For each plan its price by that interval, or the one that it has."""
    found: dict[Any, Price] = {}
    for price in sold:
        if price.is_active and price.plan.is_public and (price.plan_id not in found or price.interval == interval):
            found[price.plan_id] = price
    return list(found.values())


def _show(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """The page, or for htmx what stands in the dialog."""
    is_dialog = bool(request.htmx) and request.htmx.target == "dialog"  # type: ignore[attr-defined]  # of its middleware
    template = f"{name}_body.html" if is_dialog else f"{name}.html"
    return render(request, template, context | {"is_dialog": is_dialog})


def _lead(request: HttpRequest, url: str) -> HttpResponse:
    """Away from the dialog too: htmx would put the page that it is led to into it."""
    return HttpResponseClientRedirect(url) if request.htmx else HttpResponseRedirect(url)  # type: ignore[attr-defined]
