"""The list of plans, one plan with its prices and its trail, and what changes it without touching prices or runs."""

import uuid
from typing import Any, cast

from django.conf import settings
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse

from accounts.models import User
from billing import assortment, audit, gateway, limits, pricing
from billing.acts.forms import ActForm
from billing.admin.plans.desk import ADD, CHANGE, PRICE, VIEW, address_of, allowed, form_page, page, plan_of, wish_of
from billing.admin.plans.forms import AddForm, DetailsForm, OrderForm
from billing.models import AuditEntry, Feature, Plan, Price

# Of the trail, on the page of a plan.
SHOWN = 20


@allowed(VIEW)
def listed(request: HttpRequest) -> HttpResponse:
    active = Prefetch("prices", Price.objects.filter(is_active=True).order_by("interval", "currency"))
    plans = list(Plan.objects.order_by("rank").prefetch_related(active))
    waiting = [price for plan in plans if plan.is_public for price in plan.prices.all() if not price.stripe_price_id]
    context = {
        "title": "Plans and prices",
        "plans": plans,
        "waiting": len(waiting),
        "is_configured": gateway.is_configured(),
        **_permissions(request),
    }
    return page(request, "admin/plans/list.html", context)


@allowed(VIEW)
def shown(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    prices = list(plan.prices.order_by("interval", "currency", "-id"))
    trail = AuditEntry.objects.filter(target=f"plan:{plan.pk}").order_by("-id")[:SHOWN]
    context = {
        "title": plan.name,
        "plan": plan,
        "sold": [price for price in prices if price.is_active],
        "former": [price for price in prices if not price.is_active],
        "features": [feature.label for feature in Feature if plan.has(feature)],
        "earlier": limits.earlier_in_words(plan),
        "is_fixed": plan.slug in assortment.FIXED,
        "is_by_agreement": plan.slug in assortment.BY_AGREEMENT,
        "dashboard": f"https://dashboard.stripe.com/{'' if settings.STRIPE_LIVE_MODE else 'test/'}",
        "is_configured": gateway.is_configured(),
        "trail": [(entry, audit.in_words(entry.before, entry.after)) for entry in trail],
        **_permissions(request),
    }
    return page(request, "admin/plans/plan.html", context)


@allowed(ADD)
def added(request: HttpRequest) -> HttpResponse:
    plans = list(Plan.objects.order_by("rank"))
    initial = {"job_priority": 0, "grace_days": Plan._meta.get_field("grace_days").default}
    form = AddForm(request.POST or None, initial=initial, plans=plans)

    def work() -> str:
        made = assortment.create(**form.values(), **wish_of(request, form).by)
        return f"{made.name} is made, and hidden. Set a price, and then show it."

    context = {
        "title": "Add a plan",
        "explanation": "It is hidden, and nobody can buy it, until it has a price and is shown.",
        "label": "Add the plan",
    }
    return form_page(request, "admin/plans/act.html", form, context, work=work, back=address_of(None))


@allowed(CHANGE)
def edited(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    form = DetailsForm(request.POST or None, initial=DetailsForm.initial_of(plan))

    def work() -> str:
        changed = assortment.edit(plan, **form.changed_values(), **wish_of(request, form).by)
        return f"{changed.name} is changed."

    context = {
        "title": f"{plan.name}: details",
        "plan": plan,
        "explanation": "What is changed here holds at once, for everybody who has the plan. The number of runs and"
        " the prices have pages of their own.",
        "label": "Change the plan",
    }
    return form_page(request, "admin/plans/act.html", form, context, work=work, back=address_of(plan))


@allowed(CHANGE)
def ordered(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """To a number, or past the neighbour above or below."""
    plan = plan_of(pk)
    plans = list(Plan.objects.order_by("rank"))
    neighbour = _neighbour(plans, plan, request.POST.get("past", request.GET.get("past", "")))
    form = ActForm(request.POST or None) if neighbour else OrderForm(request.POST or None, initial={"rank": plan.rank})

    def work() -> str:
        by = wish_of(request, form).by
        if neighbour is None:
            moved = assortment.move(plan, rank=form.cleaned_data["rank"], **by)
            return f"{moved.name} has the number {moved.rank}."
        moved = assortment.exchange(plan, with_plan=neighbour, **by)
        return f"{moved.name} is {'above' if moved.rank > neighbour.rank else 'below'} {neighbour.name}."

    context = {
        "title": f"{plan.name}: place in the order",
        "plan": plan,
        "plans": plans,
        "neighbour": neighbour,
        "is_higher": neighbour is not None and neighbour.rank > plan.rank,
        "label": "Change the order",
    }
    return form_page(request, "admin/plans/order.html", form, context, work=work, back=address_of(None))


@allowed(CHANGE)
def hidden(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    explanation = (
        "It is not among the offers any more, and nobody can buy it or change to it, until it is shown again."
        " Who has it keeps it, and goes on paying for it."
    )
    return _state(request, plan, "Hide", explanation, lambda by: assortment.hide(plan, **by), "is hidden")


@allowed(CHANGE)
def retired(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    explanation = (
        "It is sold no more, and gets no new prices. Who has it keeps it, and goes on paying for it. A page at Stripe"
        " that is open already can still be paid, for up to a day. It can be brought back."
    )
    return _state(request, plan, "Retire", explanation, lambda by: assortment.retire(plan, **by), "is retired")


@allowed(CHANGE)
def brought_back(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    explanation = "It can have prices again, and stays hidden until it is shown."
    what = "is back, and hidden"
    return _state(request, plan, "Bring back", explanation, lambda by: assortment.bring_back(plan, **by), what)


@allowed(CHANGE)
def offered(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan = plan_of(pk)
    explanation = "It is among the offers, and everybody can buy it and change to it."
    waiting = [price for price in assortment.prices_of(plan) if price.stripe_price_id is None]
    if waiting and gateway.is_configured():
        explanation += f" Before that its prices are published to Stripe: {', '.join(one.in_words for one in waiting)}."
    elif waiting:
        explanation += " It can be bought once Stripe is set up and its prices are published."
    return _state(request, plan, "Show", explanation, lambda by: pricing.show(plan, **by), "is shown")


def _state(request: HttpRequest, plan: Plan, label: str, explanation: str, act: Any, what: str) -> HttpResponse:
    form = ActForm(request.POST or None)

    def work() -> str:
        act(wish_of(request, form).by)
        return f"{plan.name} {what}."

    context = {
        "title": f"{label}: {plan.name}",
        "plan": plan,
        "explanation": explanation,
        "label": f"{label} {plan.name}",
        "is_harsh": label in ("Hide", "Retire"),
    }
    return form_page(request, "admin/plans/act.html", form, context, work=work, back=address_of(plan))


def _neighbour(plans: list[Plan], plan: Plan, past: str) -> Plan | None:
    place = plans.index(plan) + {"higher": 1, "lower": -1}.get(past, 0)
    return plans[place] if 0 <= place < len(plans) and plans[place] != plan else None


def _permissions(request: HttpRequest) -> dict[str, bool]:
    user = cast(User, request.user)
    return {"may_add": user.has_perms(ADD), "may_change": user.has_perms(CHANGE), "may_price": user.has_perms(PRICE)}
