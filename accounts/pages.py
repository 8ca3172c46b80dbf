"""What every page goes by: who is signed in, in which workspace and role, and the sentence when it does not work."""

import functools
import uuid
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import access, clock
from accounts.access import Access
from accounts.errors import Problem
from accounts.models import Workspace
from accounts.roles import Act, RoleRequired, Suspended, may

# Of the browser session: the workspace that was switched to.
WORKSPACE_KEY = "workspace"

type View = Callable[..., HttpResponse]


def page(
    act: Act | None = None,
    *,
    methods: tuple[str, ...] = ("GET", "HEAD"),
    sign_in: bool = True,
    writes: bool = True,
) -> Callable[[View], View]:
    """Make a view a page of the workspace: it is given the Access beside the request.

    `act` is what the role must allow, for every method. Who is not signed in is led to do so, and back;
    with `sign_in=False` the view is given None then. A Problem that the view raises becomes a page
    with its sentence and status. A suspended workspace can be read, and nothing in it written; `writes=False`
    says of a view that whatever it does is done elsewhere. A form that names the workspace for which it was
    shown, in `for_workspace`, is taken there only: in another window the browser may have switched.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            held = held_by(request)
            try:
                if held is None:
                    return view(request, None, *args, **kwargs) if not sign_in else _to_sign_in(request)
                if act is not None and not may(held, act):
                    raise RoleRequired
                if request.method not in ("GET", "HEAD"):
                    if writes and held.workspace.suspended_at is not None:
                        raise Suspended
                    _refuse_elsewhere(request, held)
                return view(request, held, *args, **kwargs)
            except Problem as problem:
                return problem_page(request, problem)

        return cast(View, never_cache(require_http_methods(list(methods))(shown)))

    return decorate


def held_by(request: HttpRequest) -> Access | None:
    """Who is signed in with this browser and where, in one statement a request; None for nobody."""
    if not hasattr(request, "_held"):
        request._held = _load(request)  # type: ignore[attr-defined]
    return cast(Access | None, request._held)  # type: ignore[attr-defined]


def switch_to(request: HttpRequest, workspace: Workspace) -> None:
    request.session[WORKSPACE_KEY] = str(workspace.pk)
    if hasattr(request, "_held"):
        del request._held


def context(request: HttpRequest) -> dict[str, Any]:
    """For every template. Nothing is read until it is asked for."""
    return {"held": SimpleLazyObject(lambda: held_by(request)), "support": settings.SUPPORT_EMAIL}


def back_to(request: HttpRequest, fallback: str) -> HttpResponseRedirect:
    """After a POST: to its `next`, when that is an address of ours, or to `fallback` (a URL's name or a path)."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = resolve_url(fallback)
    return HttpResponseRedirect(target)


def problem_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    return with_problem(request, render(request, "problem.html", {"problem": problem}), problem)


def form_again(request: HttpRequest, template: str, form: Form, problem: Problem, **context: Any) -> HttpResponse:
    """The page of the form once more, with the sentence that says why it was refused."""
    form.add_error(None, str(problem.detail))
    return with_problem(request, render(request, template, {"form": form, "problem": problem, **context}), problem)


def with_problem(request: HttpRequest, response: HttpResponse, problem: Problem) -> HttpResponse:
    """With its status and headers: for a page that says the sentence itself."""
    response.status_code = problem.status_code
    for name, value in problem.headers.items():
        response[name] = value
    problem.answered(response, request.user.pk)
    return response


def _load(request: HttpRequest) -> Access | None:
    try:
        user_id = uuid.UUID(request.session[SESSION_KEY])
    except (KeyError, ValueError, AttributeError):
        return None
    found = _in_workspace(request, user_id)
    if found is None or not constant_time_compare(
        request.session.get(HASH_SESSION_KEY, ""), found.user.get_session_auth_hash()
    ):
        # Password, sign-out everywhere and deactivation end browser sessions as they end tokens.
        request.session.flush()
        return None
    # What Django's own middleware would read with a statement of its own.
    request._cached_user = found.user  # type: ignore[attr-defined]
    request.user = found.user
    return found


def _in_workspace(request: HttpRequest, user_id: uuid.UUID) -> Access | None:
    chosen = request.session.get(WORKSPACE_KEY)
    now = clock.now()
    try:
        try:
            return access.load(user_id, workspace_id=uuid.UUID(chosen) if chosen else None, now=now, is_session=True)
        except Http404:
            # Removed from it, or it was closed: at home one always is.
            request.session.pop(WORKSPACE_KEY, None)
            return access.load(user_id, workspace_id=None, now=now, is_session=True)
    except access.NoSuchUser:
        return None


def _refuse_elsewhere(request: HttpRequest, held: Access) -> None:
    if request.POST.get("for_workspace", str(held.workspace.pk)) != str(held.workspace.pk):
        raise Problem(
            _("You have switched to another workspace since this page was shown, so nothing was changed."),
            "workspace_switched",
        )


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    response = redirect_to_login(request.get_full_path() if request.method in ("GET", "HEAD") else "/")
    if request.headers.get("HX-Request"):
        # A fragment is no place for the sign-in page.
        return HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
    return response
