"""The pages of acts: what it is about, its form, what it will do, and on many the dry run before it."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse

from accounts import clock
from accounts.errors import Problem
from accounts.idempotency import once, once_beyond
from accounts.models import User
from accounts.pages import held_by
from accounts.sign_up_pages import next_of
from billing.acts import BY_NAME, PERSON, WORKSPACE, Act, PersonAct, Wish, batches
from billing.models import Batch, Subscription

# Told of so many in a dry run one by one; of the others it is counted.
SHOWN = 20


def act(request: HttpRequest, name: str, pk: uuid.UUID) -> HttpResponse:
    """One act on one workspace or person; `pk` is the workspace's, or the person's."""
    found = _act(request, name)
    target = _target(found, pk)
    now = clock.now()
    if found.is_grave:
        raise_if_reauthentication_required(request, app="accounts")
    # What led here may have chosen already, and wants to be come back to.
    form = found.form(request.POST or None, initial=request.GET.dict(), **found.form_arguments(target, now))
    back = next_of(request) or _back(found, pk)
    problem: Problem | ValueError | None = None
    if request.method == "POST" and form.is_valid():
        wish = Wish(form.cleaned_data, form.cleaned_data["reason"], cast(User, request.user), now, request)
        try:
            found.refuse(wish.actor, wish.data)
            if isinstance(found, PersonAct) and found.name == "sign-in-as":
                # The browser itself changes hands: nothing of it can be kept for a second press.
                messages.success(request, found.carry_out(target, wish))
                return HttpResponseRedirect(found.page_after(target) or back)
            return HttpResponseRedirect(
                _once(found)(request, _held(request), lambda: _do(request, found, target, wish, back))
            )
        except (Problem, ValueError) as error:
            problem = error
            form.add_error(None, sentence_of(error))
            target = _target(found, pk)
    context = {
        "title": found.label,
        "act": found,
        "form": form,
        "target": target,
        "name": str(target.workspace if isinstance(target, Subscription) else target),
        "notes": found.notes(target, now),
        "is_offered": found.is_offered(target, now),
        "back": back,
    }
    status = getattr(problem, "status_code", 409) if problem else (400 if form.errors else 200)
    return _page(request, "admin/act.html", context, status=status)


def many(request: HttpRequest, name: str) -> HttpResponse:
    """The same on many workspaces: first what it would do to each, then a batch for the worker."""
    found = _act(request, name)
    if not found.is_for_many or name not in WORKSPACE:
        raise Http404
    now = clock.now()
    if found.is_grave:
        raise_if_reauthentication_required(request, app="accounts")
    ids = batches.chosen(request)
    form = found.form(request.POST or None, **found.form_arguments(None, now))
    context: dict[str, Any] = {"title": f"{found.label}: many", "act": found, "form": form, "ids": ids}
    if request.method == "POST" and form.is_valid() and ids:
        wish = Wish(form.cleaned_data, form.cleaned_data["reason"], cast(User, request.user), now, request)
        try:
            found.refuse(wish.actor, wish.data)
        except Problem as error:
            form.add_error(None, sentence_of(error))
            return _page(request, "admin/act_many.html", context, status=error.status_code)
        foreseen = batches.foresee(WORKSPACE[name], ids, wish)
        if request.POST.get("step") == "do":
            address = once(request, _held(request), lambda: _begin(request, WORKSPACE[name], form, foreseen, wish))
            return HttpResponseRedirect(address)
        context |= {
            "foreseen": foreseen[:SHOWN],
            "more": max(0, len(foreseen) - SHOWN),
            "would": sum(one.is_possible for one in foreseen),
            "would_not": sum(not one.is_possible for one in foreseen),
        }
    return _page(request, "admin/act_many.html", context, status=400 if form.errors else 200)


def sentence_of(error: Exception) -> str:
    return str(error.detail) if isinstance(error, Problem) else str(error)


def offered_to(user: User, kind: dict[str, Any], target: Any, now: datetime) -> dict[str, list[Act[Any]]]:
    """By group, those that the role allows and that would do something."""
    groups: dict[str, list[Act[Any]]] = {}
    for one in kind.values():
        if one.may(user) and one.is_offered(target, now):
            groups.setdefault(one.group, []).append(one)
    return groups


def _once(found: Act[Any]) -> Callable[..., str]:
    """What stays within the database is undone with the claim of the form, if this process dies in between."""
    return once_beyond if found.is_at_stripe else once


def _do(request: HttpRequest, found: Act[Any], target: Any, wish: Wish, back: str) -> str:
    messages.success(request, found.carry_out(target, wish))
    return found.page_after(target) or back


def _begin(request: HttpRequest, found: Any, form: Form, foreseen: list[batches.Foreseen], wish: Wish) -> str:
    batch = batches.begin(found, form, foreseen, wish)
    count = sum(one.is_possible for one in foreseen)
    messages.success(request, f"{found.label}: {count} workspaces are being worked on. This page shows how far it is.")
    return reverse("admin:billing_batch_change", args=[batch.pk])


def _act(request: HttpRequest, name: str) -> Act[Any]:
    found = BY_NAME.get(name)
    if found is None:
        raise Http404
    if not found.may(cast(User, request.user)):
        raise PermissionDenied
    return found


def _target(found: Act[Any], pk: uuid.UUID) -> Any:
    if isinstance(found, PersonAct):
        return get_object_or_404(User, pk=pk)
    rows = Subscription.objects.with_plans().select_related("workspace", "paid_price")
    return get_object_or_404(rows, workspace_id=pk)


def _back(found: Act[Any], pk: uuid.UUID) -> str:
    table = "user" if found.name in PERSON else "workspace"
    return reverse(f"admin:accounts_{table}_change", args=[pk])


def _held(request: HttpRequest) -> Any:
    held = held_by(request)
    if held is None:
        raise PermissionDenied
    return held


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context}, status=status)


PAGES = (
    path("acts/<slug:name>/many/", admin.site.admin_view(many), name="act_many"),
    path("acts/<slug:name>/<uuid:pk>/", admin.site.admin_view(act), name="act"),
)

__all__ = ["PAGES", "Batch", "act", "many", "offered_to"]
