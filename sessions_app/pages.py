"""Sessions in a browser: start one, see what the agent does, go on, stop it, delete it."""

import uuid
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from accounts import health
from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once
from accounts.pages import held_by, page, with_problem
from accounts.roles import Act
from billing.pages import pricing
from sessions_app import lifecycle, transcript, words
from sessions_app.api import SessionPages
from sessions_app.forms import EXAMPLES, PromptForm, box_for
from sessions_app.models import Run, Session
from sessions_app.serializers import PROMPT_LENGTH

# Seconds until the next look at what is new, longer with every look that finds nothing.
PAUSES = [1, 2, 3, 5, 8, 13]

# Of a message, to those who hear the page.
SAID_AT_MOST = 300

READS_AND_STARTS = ("GET", "HEAD", "POST")


@require_safe
def root(request: HttpRequest) -> HttpResponseBase:
    """Programs learn that the service is there; a browser gets its home, or the prices while signed out."""
    if "text/html" not in request.headers.get("Accept", ""):
        response: HttpResponseBase = health.service(request)
    elif held_by(request) is None:
        response = pricing(request)
    else:
        response = sessions(request)
    patch_vary_headers(response, ["Accept"])
    return response


@page(Act.RUN, methods=READS_AND_STARTS)
def sessions(request: HttpRequest, held: Access) -> HttpResponse:
    """Home: the box to start with, and what was started, the newest activity first. A POST starts a session."""
    if request.method != "POST":
        return _home(request, held, PromptForm(initial={"prompt": _proposed(request)}))
    form = PromptForm(request.POST)

    def start() -> str:
        session, _run, _quota = lifecycle.open_session(held, title="", prompt=form.cleaned_data["prompt"])
        return reverse("sessions:session", args=[session.pk])

    if not form.is_valid():
        return _home(request, held, form, status=400)
    try:
        return redirect(once(request, held, start))
    except Problem as problem:
        return with_problem(request, _home(request, held, form, problem=problem), problem)


@page(Act.RUN)
def session(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    """A session: the end of its transcript, or with `?before=` what came before an event."""
    found = lifecycle.find(held, session_id)
    before = _uuid(request.GET.get("before"))
    if before is not None:
        shown = transcript.before(found, before)
        return render(request, "sessions/earlier.html", {"section": "sessions", "session": found, "page": shown})
    return _session(request, held, found, PromptForm())


@page(Act.RUN, methods=("POST",))
def runs(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    """Another run in a session."""
    found = lifecycle.find_own(held, session_id)
    form = PromptForm(request.POST)

    def execute() -> str:
        lifecycle.execute(held, found, prompt=form.cleaned_data["prompt"])
        return _address_of_end(found)

    if not form.is_valid():
        return _session(request, held, found, form, status=400)
    try:
        return redirect(once(request, held, execute))
    except Problem as problem:
        return with_problem(request, _session(request, held, found, form, problem=problem), problem)


@page(Act.RUN)
def news(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    """What has come since the page was shown, as htmx swaps it in; at work, it says when to ask again."""
    if not request.headers.get("HX-Request"):
        return redirect("sessions:session", session_id)
    try:
        found = lifecycle.find(held, session_id)
    except Http404:
        # Deleted meanwhile, which the page itself says best.
        return HttpResponse(headers={"HX-Refresh": "true"})
    known_run = _uuid(request.GET.get("run"))
    shown = transcript.after(found, _uuid(request.GET.get("after")), run_id=known_run)
    looks = 0 if shown.entries else _looks(request) + 1
    context = {
        **_live(held, found, shown, last_run=shown.last_run.pk if shown.last_run else known_run, looks=looks),
        "known_run": known_run,
        "says": _says(shown),
        "is_typing": "typing" in request.GET,
    }
    if context["is_own"] and not context["is_live"]:
        context |= _composing(held, PromptForm(), last_run=shown.last_run)
    return render(request, "sessions/news.html", context)


@page(Act.RUN, methods=("POST",))
def stop(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    found = lifecycle.stop(lifecycle.find_own(held, session_id), now=held.now)
    return redirect(_address_of_end(found))


@page(Act.RUN, methods=READS_AND_STARTS)
def delete(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    """Asks first, on a page or in the dialog; a POST deletes."""
    found = lifecycle.find_own(held, session_id)
    if request.method != "POST":
        template = "sessions/question.html" if request.headers.get("HX-Request") else "sessions/delete.html"
        return render(request, template, {"section": "sessions", "session": found})
    lifecycle.delete(found, now=held.now)
    messages.success(request, _("The session “%(title)s” was deleted.") % {"title": found.title})
    return redirect("sessions:list")


def _home(
    request: HttpRequest, held: Access, form: PromptForm, *, problem: Problem | None = None, status: int = 200
) -> HttpResponse:
    wanted = request.GET.get("status", "")
    if wanted and wanted not in Session.Status.values:
        raise Http404
    found = Session.objects.filter(workspace=held.workspace, deleted_at=None).select_related("created_by")
    pages = SessionPages()
    try:
        shown = pages.paginate_queryset(found.filter(status=wanted) if wanted else found, Request(request)) or []
    except ValidationError as error:
        raise Http404 from error
    context: dict[str, Any] = {
        "section": "sessions",
        "sessions": shown,
        "status": wanted,
        "statuses": words.SESSION,
        "older": _query(pages.get_next_link()),
        "newer": _query(pages.get_previous_link()),
        "is_home": not wanted and "cursor" not in request.GET,
    }
    if context["is_home"]:
        context |= {"box": box_for(held, form, problem=problem), "examples": EXAMPLES}
    return render(request, "sessions/list.html", context, status=status)


def _session(
    request: HttpRequest,
    held: Access,
    session: Session,
    form: PromptForm,
    *,
    problem: Problem | None = None,
    status: int = 200,
) -> HttpResponse:
    shown = transcript.latest(session)
    context = {
        "section": "sessions",
        **_live(held, session, shown, last_run=shown.last_run.pk if shown.last_run else None, looks=0),
    }
    if context["is_own"]:
        # What was typed and refused stays where it is, whatever becomes of the run that is under way.
        context["is_typing"] = form.is_bound and context["is_live"]
        context |= _composing(held, form, last_run=shown.last_run, problem=problem)
    return render(request, "sessions/session.html", context, status=status)


def _live(
    held: Access, session: Session, shown: transcript.Page, *, last_run: uuid.UUID | None, looks: int
) -> dict[str, Any]:
    return {
        "session": session,
        "page": shown,
        "is_own": lifecycle.is_own(held, session),
        "last_run": last_run,
        # What is more than one look can show is looked at again, though the agent be at rest.
        "is_live": session.status == Session.Status.RUNNING or shown.has_later,
        "looks": looks,
        "pause": PAUSES[min(looks, len(PAUSES) - 1)],
    }


def _composing(
    held: Access, form: PromptForm, *, last_run: Run | None, problem: Problem | None = None
) -> dict[str, Any]:
    """The box to go on with; `unused_run` was paid for when the session was opened, and is started first."""
    unused = last_run if last_run and last_run.is_unused and last_run.start_by > held.now else None
    return {"box": box_for(held, form, problem=problem, is_prepaid=unused is not None), "unused_run": unused}


def _says(shown: transcript.Page) -> str:
    """The last of what is new, for those who hear the page."""
    for entry in reversed(shown.entries):
        match entry.kind:
            case "foot":
                return _("The run has ended: %(status)s. %(charge)s") % {
                    "status": entry.status.words,
                    "charge": entry.charge,
                }
            case "message" | "error":
                return entry.text[:SAID_AT_MOST]
            case "step" | "tool":
                return _("The agent is at work: %(step)s") % {"step": entry.text}
    return ""


def _address_of_end(session: Session) -> str:
    return reverse("sessions:session", args=[session.pk]) + "#live"


def _proposed(request: HttpRequest) -> str:
    """A prompt that a link brings along, to be read before it is sent."""
    return request.GET.get("prompt", "").replace("\x00", "")[:PROMPT_LENGTH]


def _query(link: str | None) -> str:
    return urlsplit(link).query if link else ""


def _looks(request: HttpRequest) -> int:
    given = request.GET.get("looks", "")
    return min(int(given), len(PAUSES)) if given.isascii() and given.isdigit() and len(given) < 4 else 0


def _uuid(given: str | None) -> uuid.UUID | None:
    if not given:
        return None
    try:
        return uuid.UUID(given)
    except ValueError as error:
        raise Http404 from error
