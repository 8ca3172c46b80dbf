"""Workspaces: who belongs to one, and which one a browser is in."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.access import Access
from accounts.models import Membership, Workspace
from accounts.pages import back_to, page, switch_to


@page()
def workspace(request: HttpRequest, held: Access) -> HttpResponse:
    members = Membership.objects.filter(workspace=held.workspace).select_related("user").order_by("created_at", "id")
    return render(request, "accounts/workspace.html", {"section": "workspace", "members": members})


@page(methods=("POST",))
def switch(request: HttpRequest, held: Access) -> HttpResponse:
    """Into another of one's workspaces. A foreign and a missing one are the same 404 (invariant 13)."""
    try:
        wanted = uuid.UUID(request.POST.get("workspace", ""))
    except ValueError as error:
        raise Http404 from error
    found = Workspace.objects.filter(pk=wanted, members=held.user, closed_at=None).first()
    if found is None:
        raise Http404
    switch_to(request, found)
    return back_to(request, "/")
