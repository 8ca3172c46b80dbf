"""Staff look at pages as a person sees them: for half an hour, and without changing anything.

django-hijack signs in and out; what may be done meanwhile is decided by the middleware here.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from django.conf import settings
from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from hijack.views import AcquireUserView, ReleaseUserView

from accounts import clock
from accounts.models import User, Workspace
from billing import audit

LASTS: Final = timedelta(minutes=30)
# Of the browser's session; the first is django-hijack's own.
HISTORY, UNTIL = "hijack_history", "impersonation_until"
END: Final = "end_impersonation"
# What leads to Stripe in the person's name, and whatever an account is proven or opened by.
CLOSED_PAGES: Final = frozenset({"billing:return", "billing:portal", "billing:change", "accounts:join"})
CLOSED_PATHS: Final = ("/accounts/", "/api/")


def may_sign_in_as(*, hijacker: User, hijacked: User | None) -> bool:
    """Never as staff, whatever their role, and never as oneself."""
    return (
        hijacked is not None
        and hijacked.is_active
        and not (hijacked.is_staff or hijacked.is_superuser)
        and hijacker.pk != hijacked.pk
        and hijacker.has_perm("accounts.sign_in_as")
    )


def begin(request: HttpRequest, person: User, *, reason: str, now: datetime) -> None:
    """This browser sees what the person sees, until it is ended or the time is over."""
    actor = cast(User, request.user)
    # As django-hijack's view reads it.
    fields = request.POST.copy()
    fields["user_pk"] = str(person.pk)
    request.POST = fields  # type: ignore[assignment]
    answer = AcquireUserView.as_view()(request)
    if answer.status_code != 302:
        raise RuntimeError("django-hijack refused what was looked at before.")
    request.session[UNTIL] = (datetime.now(UTC) + LASTS).timestamp()
    _record("sign in as", actor, person, reason, now)


def end(request: HttpRequest) -> HttpResponse:
    """Back to the desk, at the page of who was looked at. POST only."""
    person = cast(User, request.user)
    history = request.session.get(HISTORY, [])
    actor = User.objects.filter(pk=history[-1]).first() if history else None
    if request.method != "POST" or actor is None:
        return HttpResponseRedirect(reverse("root"))
    if not actor.is_active or not actor.is_staff:
        auth.logout(request)
        return HttpResponseRedirect(reverse("admin:index"))
    ReleaseUserView.as_view(raise_exception=False)(request)
    request.session.pop(UNTIL, None)
    _record("sign in as: ended", actor, User.objects.get(pk=person.pk), "Ended by hand", clock.now())
    return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[person.pk]))


class ImpersonationMiddleware:
    """Whoever looks as somebody else changes nothing and opens nothing in their name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Of most requests, which carry no session, nothing is read.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.session.get(HISTORY):
            return self.get_response(request)
        request.impersonated_by = request.session[HISTORY][-1]  # type: ignore[attr-defined]
        if _is_end(request):
            return self.get_response(request)
        if self._is_over(request):
            auth.logout(request)
            messages.info(request, "Half an hour is over: you do not look as somebody else any more. Sign in again.")
            return HttpResponseRedirect(reverse("admin:index"))
        if request.method not in ("GET", "HEAD") or _is_closed(request):
            return render(request, "impersonation_refused.html", status=403)
        return self.get_response(request)

    def _is_over(self, request: HttpRequest) -> bool:
        if datetime.now(UTC).timestamp() >= request.session.get(UNTIL, 0):
            return True
        actor = User.objects.filter(pk=request.session[HISTORY][-1]).first()
        # Who has lost the role meanwhile has lost this too.
        return actor is None or not actor.is_active or not actor.has_perm("accounts.sign_in_as")


def context(request: HttpRequest) -> dict[str, Any]:
    """For the banner of every page."""
    until = request.session.get(UNTIL) if getattr(request, "impersonated_by", None) else None
    return {"impersonated_until": datetime.fromtimestamp(until, UTC) if until else None}


def _is_end(request: HttpRequest) -> bool:
    return request.path == reverse(END)


def _is_closed(request: HttpRequest) -> bool:
    if request.path.startswith(CLOSED_PATHS):
        return True
    try:
        return resolve(request.path).view_name in CLOSED_PAGES
    except Resolver404:
        return False


def _record(action: str, actor: User, person: User, reason: str, now: datetime) -> None:
    audit.record(
        action,
        target=person,
        workspace=Workspace.objects.filter(personal_user=person).first(),
        reason=reason,
        actor=actor,
        now=now,
    )
