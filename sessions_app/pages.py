"""Sessions in a browser: start one, see what the agent does."""

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts import health
from accounts.access import Access
from accounts.pages import held_by, page
from sessions_app import lifecycle
from sessions_app.models import Session


@require_safe
def root(request: HttpRequest) -> HttpResponseBase:
    """Programs learn that the service is there; a browser gets the sessions, or the prices while signed out."""
    if "text/html" not in request.headers.get("Accept", ""):
        return health.service(request)
    return redirect("sessions:list" if held_by(request) else "pricing")


@page()
def sessions(request: HttpRequest, held: Access) -> HttpResponse:
    recent = Session.objects.filter(workspace=held.workspace, deleted_at=None).order_by("-last_activity_at", "-id")[:20]
    return render(request, "sessions/list.html", {"section": "sessions", "sessions": recent})


@page()
def session(request: HttpRequest, held: Access, session_id: uuid.UUID) -> HttpResponse:
    return render(
        request, "sessions/session.html", {"section": "sessions", "session": lifecycle.find(held, session_id)}
    )
