"""What staff did: searchable, exportable, and never changed."""

import csv
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse

from accounts.models import User, Workspace
from billing import audit
from billing.admin.base import MISSING, Desk, ReadOnly, at, linked
from billing.ledger_pages import AT_ONCE, Echo, cell
from billing.models import AuditEntry

COLUMNS = ("at", "who", "action", "workspace", "workspace id", "target", "reason", "what changed")


class ActionFilter(admin.SimpleListFilter):
    title, parameter_name = "what was done", "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.replace("-", " ").capitalize()) for name in audit.actions()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, Desk):
    list_display = ("when", "who", "action", "where", "reason")
    list_display_links = ("action",)
    list_filter = (ActionFilter,)
    search_path = "workspace_id"
    search_help_text = "A name, an e-mail address, or any id; of a member of staff, what they did"
    change_list_template = "admin/audit/change_list.html"

    def search_here(self, text: str) -> Q:
        actors = User.objects.filter(email__startswith=text.lower(), is_staff=True).values_list("pk", flat=True)
        return Q(actor_id__in=list(actors[:50])) | Q(target=text)

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export)
        return [path("export.csv", export, name="billing_auditentry_export"), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponse:
        """What the list shows with its search and filters, all of it, from the newest; sent as it is read."""
        if not self.has_view_permission(request):
            raise Http404
        rows = self.get_changelist_instance(request).get_queryset(request).order_by("-pk")
        answer = StreamingHttpResponse(_csv(rows), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return answer  # type: ignore[return-value]  # an HttpResponseBase, as every view's

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        address = reverse("admin:billing_auditentry_export")
        query = request.GET.urlencode()
        more = {"export": f"{address}?{query}" if query else address}
        answer: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **more})
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise Http404
        try:
            entry = get_object_or_404(AuditEntry, pk=UUID(object_id))
        except ValueError as error:
            raise Http404 from error
        if request.method != "GET":
            return HttpResponse(status=403)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": entry,
            "title": str(entry),
            "entry": entry,
            "changes": audit.in_words(entry.before, entry.after),
        }
        return TemplateResponse(request, "admin/audit/entry.html", context)

    @admin.display(description="When")
    def when(self, entry: AuditEntry) -> str:
        return at(entry.at)

    @admin.display(description="Who")
    def who(self, entry: AuditEntry) -> str:
        return linked(User(pk=entry.actor_id), entry.actor_name) if entry.actor_id else "The service"

    @admin.display(description="Where")
    def where(self, entry: AuditEntry) -> str:
        if entry.workspace_id is None:
            return entry.target or MISSING
        return linked(Workspace(pk=entry.workspace_id), entry.workspace_name)


def _csv(rows: QuerySet[AuditEntry]) -> Iterator[str]:
    echo = csv.writer(Echo())
    yield echo.writerow(COLUMNS)
    for entry in rows.iterator(chunk_size=AT_ONCE):
        changed = "; ".join(f"{name}: {was} > {now}" for name, was, now in audit.changes(entry.before, entry.after))
        row = (
            entry.at.astimezone(UTC).isoformat(),
            entry.actor_name or "The service",
            entry.action,
            entry.workspace_name,
            entry.workspace_id or "",
            entry.target,
            entry.reason,
            changed,
        )
        yield echo.writerow([cell(str(value)) for value in row])
