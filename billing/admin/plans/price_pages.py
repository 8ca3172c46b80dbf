"""What a plan costs: a price set or linked, one withdrawn, and all that waits published, each with a look before."""

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from accounts.errors import Problem
from billing import gateway, pricing, publishing
from billing.acts.forms import ActForm
from billing.admin.plans.desk import PRICE, LookAgain, address_of, allowed, form_page, plan_of, wish_of
from billing.admin.plans.forms import PriceForm
from billing.models import Interval, Plan, Price
from billing.pricing import Effect
from billing.terms import Terms


@allowed(PRICE)
def priced(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    form = PriceForm(request.POST or None, initial=_initial(request, plan), has_stripe=gateway.is_configured())
    context: dict[str, Any] = {
        "title": f"{plan.name}: set a price",
        "plan": plan,
        "is_configured": gateway.is_configured(),
    }

    def look() -> dict[str, Any]:
        effect = pricing.foresee(plan, form.terms())
        return {"effect": effect, "seen": _seen(plan, form.terms()), "year": _year(plan, effect)}

    def work() -> str:
        terms = form.terms()
        if request.POST.get("seen") != _seen(plan, terms):
            raise LookAgain
        price = pricing.set_price(plan, terms, **wish_of(request, form).by)
        waits = "" if price.stripe_price_id else " It waits to be published to Stripe."
        return f"{plan.name} costs {price.in_words}.{waits}"

    return form_page(request, "admin/plans/price.html", form, context, work=work, back=address_of(plan), look=look)


@allowed(PRICE)
def withdrawn(request: HttpRequest, pk: uuid.UUID, price: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    found = get_object_or_404(Price.objects.select_related("plan"), pk=price, plan=plan)
    form = ActForm(request.POST or None)
    payers = pricing.payers_of(found)
    label = f"Withdraw {found.in_words}"

    def work() -> str:
        pricing.withdraw(found, **wish_of(request, form).by)
        return f"{plan.name} is not sold at {found.in_words} any more."

    context = {
        "title": f"{plan.name}: {label[0].lower()}{label[1:]}",
        "plan": plan,
        "explanation": "Nobody can buy it any more. "
        + (f"Who pays it goes on paying it: {payers} now." if payers else "Nobody pays it now."),
        "label": label,
        "is_harsh": True,
    }
    return form_page(request, "admin/plans/act.html", form, context, work=work, back=address_of(plan))


@allowed(PRICE)
def published(request: HttpRequest) -> HttpResponse:
    """The dry run, and the button that does it."""
    form = ActForm(request.POST or None)

    def work() -> str:
        outcomes = pricing.publish(**wish_of(request, form).by)
        made = ", ".join(str(outcome) for outcome in outcomes)
        return f"Published: {made}." if made else "Stripe has all that is sold, as it is called here."

    # Asked for by the page when it is made: after what was done, where that was refused half way.
    context = {"title": "Publish to Stripe", "dry_run": _dry_run}
    return form_page(request, "admin/plans/publish.html", form, context, work=work, back=address_of(None))


def _dry_run() -> dict[str, Any]:
    if not gateway.is_configured():
        return {}
    sold = Price.objects.filter(is_active=True, plan__is_public=True).select_related("plan")
    try:
        intentions = publishing.intentions(publishing.unpublished())
        return {
            "intentions": intentions,
            "products": list(dict.fromkeys(one.price.plan for one in intentions if not one.is_product_there)),
            "renamings": publishing.renamings(),
            "there": sold.exclude(stripe_price_id=None).order_by("plan__rank", "interval", "currency"),
        }
    except Problem as problem:
        return {"problem": problem}


def _initial(request: HttpRequest, plan: Plan) -> dict[str, Any]:
    """As the price is that the address names."""
    try:
        named = plan.prices.filter(pk=uuid.UUID(request.GET.get("price", ""))).first()
    except ValueError:
        named = None
    return (
        PriceForm.initial_of(named)
        if named
        else {
            "interval": Interval.MONTH,
            "currency": settings.DEFAULT_CURRENCY.upper(),
        }
    )


def _seen(plan: Plan, terms: Terms) -> str:
    former = plan.prices.filter(is_active=True, interval=terms.interval, currency=terms.currency).first()
    return f"{former and former.pk}>{terms.unit_amount} {terms.currency} {terms.interval} {terms.stripe_price_id}"


def _year(plan: Plan, effect: Effect) -> str:
    """How the month and the year stand to each other, for who typed a digit too many."""
    wanted = effect.wanted
    other = Interval.MONTH if wanted.interval == Interval.YEAR else Interval.YEAR
    beside = plan.prices.filter(is_active=True, interval=other, currency=wanted.currency).first()
    if beside is None:
        return ""
    month, year = sorted((wanted, beside), key=lambda price: price.interval == Interval.YEAR)
    return f"A year at {year.in_words} costs as much as {year.unit_amount / month.unit_amount:.1f} months."
