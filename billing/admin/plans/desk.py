"""What the pages of plans have in common: who may open them, and a form whose work is done once."""

import functools
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import clock
from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once_beyond
from accounts.models import User
from accounts.pages import held_by
from billing.acts.forms import ActForm
from billing.models import Plan

VIEW, ADD, CHANGE = ("billing.view_plan",), ("billing.add_plan",), ("billing.change_plan",)
# An amount is never changed: another price is made.
PRICE = ("billing.add_price", "billing.change_price")

type View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Wish:
    """Who wants it, why and when, as the functions of `billing` take it."""

    actor: User
    reason: str
    now: datetime

    @property
    def by(self) -> dict[str, Any]:
        return {"actor": self.actor, "reason": self.reason, "now": self.now}


def wish_of(request: HttpRequest, form: ActForm) -> Wish:
    return Wish(cast(User, request.user), form.cleaned_data["reason"], clock.now())


def allowed(permissions: tuple[str, ...]) -> Callable[[View], View]:
    """For whose role has it; anybody else is answered 403."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not cast(User, request.user).has_perms(permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return shown

    return decorate


def plan_of(pk: uuid.UUID | str) -> Plan:
    return get_object_or_404(Plan, pk=pk)


def address_of(plan: Plan | None, act: str = "change") -> str:
    """Of a page about the plan; without one, of the list."""
    if plan is None:
        return reverse("admin:billing_plan_changelist")
    return reverse(f"admin:billing_plan_{act}", args=[plan.pk])


def page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context}, status=status)


class LookAgain(Exception):
    """What is to be done is not what was looked at: other fields were sent, or somebody changed the plan meanwhile."""


def form_page(
    request: HttpRequest,
    template: str,
    form: Form,
    context: dict[str, Any],
    *,
    work: Callable[[], str],
    back: str,
    look: Callable[[], dict[str, Any]] | None = None,
) -> HttpResponse:
    """The form; sent and sound, `work` is done once, and its sentence is shown at `back`.

    With `look` it is done in two steps: first the page says what `look` finds, and changes nothing. What either
    refuses is said above the form. A second press of the button is answered as the first before anything is looked at.
    """
    problem: Problem | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if look is None or request.POST.get("step") == "do":
                with suppress(LookAgain):
                    return HttpResponseRedirect(
                        once_beyond(request, _held(request), lambda: _say(request, work(), back))
                    )
            context |= look() if look else {}
        except Problem as error:
            problem = error
            form.add_error(None, str(error.detail))
    status = problem.status_code if problem else (400 if form.is_bound and not form.is_valid() else 200)
    return page(request, template, {"form": form, "back": back, **context}, status=status)


def _held(request: HttpRequest) -> Access:
    held = held_by(request)
    if held is None:
        raise PermissionDenied
    return held


def _say(request: HttpRequest, sentence: str, back: str) -> str:
    messages.success(request, sentence)
    return back
