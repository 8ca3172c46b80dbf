"""Another number of runs: first whom it will affect and when, then the change."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from accounts import clock
from billing import limits
from billing.admin.plans.desk import CHANGE, LookAgain, address_of, allowed, form_page, plan_of, wish_of
from billing.admin.plans.forms import LimitForm
from billing.holders import Count
from billing.limits import Effect, When
from billing.models import Plan, Source
from billing.periods import calendar_month
from billing.templatetags.desk import when as told_when

HAVE_IT = {
    Source.PAID: "Pay for it",
    Source.COMP: "Have it as a comp",
    Source.TRIAL: "Try it",
    Source.FREE: "Have it for free",
}


@dataclass(frozen=True)
class Row:
    who: str
    count: Count
    from_when: str


@allowed(CHANGE)
def limited(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    plan, now = plan_of(pk), clock.now()
    initial = {"runs_limit": plan.runs_limit, "when": When.NEXT, "description": plan.description}
    form = LimitForm(request.POST or None, initial=initial)
    context: dict[str, Any] = {
        "title": f"{plan.name}: runs a period",
        "plan": plan,
        "earlier": limits.earlier_in_words(plan),
    }

    def change() -> dict[str, Any]:
        data = form.cleaned_data
        return {"runs_limit": data["runs_limit"], "when": When(data["when"]), "chosen": data["workspaces"]}

    def look() -> dict[str, Any]:
        effect = limits.foresee(plan, **change(), now=now)
        return {"effect": effect, "seen": _seen(plan, form), **_in_words(plan, form, effect, now)}

    def work() -> str:
        if request.POST.get("seen") != _seen(plan, form):
            raise LookAgain
        wish, wanted = wish_of(request, form), change()
        changed = limits.change(plan, **wanted, description=form.cleaned_data["description"], **wish.by)
        return f"{changed.name} has {limits.in_words(changed.runs_limit)} a period: {limits.IN_WORDS[wanted['when']]}."

    return form_page(request, "admin/plans/limit.html", form, context, work=work, back=address_of(plan), look=look)


def _seen(plan: Plan, form: LimitForm) -> str:
    data = form.cleaned_data
    named = ",".join(str(one.workspace_id) for one in data["workspaces"])
    return f"{plan.runs_limit}>{data['runs_limit']} {data['when']} {named}"


def _in_words(plan: Plan, form: LimitForm, effect: Effect, now: datetime) -> dict[str, Any]:
    data = form.cleaned_data
    when, number = When(data["when"]), data["runs_limit"]
    rows = [Row(HAVE_IT[source], count, _from(source, when, now)) for source, count in effect.holders.items() if count]
    former = "" if plan.runs_limit is None else f"{plan.runs_limit:,}"
    return {
        "before": limits.in_words(plan.runs_limit),
        "after": limits.in_words(number),
        "rows": rows,
        "is_now": when == When.NOW,
        "chosen": data["workspaces"],
        "is_description_old": bool(former) and former in data["description"] and number != plan.runs_limit,
        "former": former,
    }


def _from(source: Source, when: When, now: datetime) -> str:
    if when == When.NOW:
        return "Now"
    match source:
        case Source.FREE:
            return format_html("From {} on, when the month of UTC is over", told_when(calendar_month(now).end))
        case Source.PAID:
            return "Each as its paid period ends, or its month of a paid year: within a month"
        case Source.COMP:
            return "Each as its month of the comp ends, or the paid period in which it runs: within a month"
        case Source.TRIAL:
            return "Not at all: a running trial keeps its number. Trials that begin from now on have the new one"
