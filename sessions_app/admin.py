"""Sessions and runs, as staff see them: without prompts and answers, which are the customer's."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet

from accounts.models import Workspace
from billing.admin import search, workspaces
from billing.admin.base import Desk, ReadOnly, Rows
from sessions_app.models import Run, Session


class RunsOfSession(Rows):
    model = Run
    fields = ("status", "failure_kind", "is_charged", "created_at", "started_at", "finished_at")


@admin.register(Session)
class SessionAdmin(ReadOnly, Desk):
    list_display = ("id", "workspace", "status", "last_activity_at", "created_at")
    list_filter = ("status",)
    list_select_related = ("workspace",)
    search_path = "workspace_id"
    fields = ("id", "workspace", "created_by", "status", "last_activity_at", "created_at", "deleted_at")
    inlines = (RunsOfSession,)


def _workspaces_of(id: UUID) -> QuerySet[Session, UUID]:
    return Session.objects.filter(pk=id).values_list("workspace_id", flat=True)


def _latest_runs(workspace: Workspace, runs: Sequence[UUID]) -> tuple[str, dict[str, Any]]:
    """For the page of a workspace: those that its latest ledger lines are of."""
    found = Run.objects.filter(workspace=workspace, pk__in=runs).select_related("session__created_by")
    return "admin/runs.html", {"runs": found.order_by("-pk")}


search.add(_workspaces_of)
workspaces.add_section(_latest_runs)
