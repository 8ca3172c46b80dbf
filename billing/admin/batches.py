"""Acts on many workspaces, and what became of each."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from billing import acts
from billing.admin.base import Desk, ReadOnly, at
from billing.models import Batch, BatchItem

SHOWN = 200


@admin.register(Batch)
class BatchAdmin(ReadOnly, Desk):
    list_display = ("when", "what", "actor", "reason", "ended")
    list_display_links = ("what",)
    list_select_related = ("actor",)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise Http404
        try:
            batch = get_object_or_404(Batch.objects.select_related("actor"), pk=UUID(object_id))
        except ValueError as error:
            raise Http404 from error
        if request.method != "GET":
            return HttpResponse(status=403)
        counted = dict(batch.items.order_by().values_list("state").annotate(Count("pk")))
        # What was refused first: that is what somebody has to see to.
        items = batch.items.select_related("workspace").order_by("-state", "pk")[:SHOWN]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": batch,
            "title": self.what(batch),
            "batch": batch,
            "counted": [(state.label, counted.get(state.value, 0)) for state in BatchItem.State],
            "total": sum(counted.values()),
            "left": counted.get(BatchItem.State.WAITING, 0),
            "done": sum(counted.values()) - counted.get(BatchItem.State.WAITING, 0),
            "items": items,
            "shown": SHOWN,
            "parameters": [(name, value) for name, value in batch.parameters.items() if value and name != "zone"],
        }
        return TemplateResponse(request, "admin/batch.html", context)

    @admin.display(description="When")
    def when(self, batch: Batch) -> str:
        return at(batch.created_at)

    @admin.display(description="What")
    def what(self, batch: Batch) -> str:
        act = acts.WORKSPACE.get(batch.act)
        return act.label if act else batch.act

    @admin.display(description="Ended")
    def ended(self, batch: Batch) -> str:
        return at(batch.finished_at) if batch.finished_at else "At work"
