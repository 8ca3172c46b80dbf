"""Plans and prices: what is sold, to whom it is shown, and what it allows."""

import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from billing.admin.base import Desk
from billing.admin.plans import limit_pages, pages, price_pages
from billing.models import Plan


@admin.register(Plan)
class PlanAdmin(Desk):
    """The addresses of a table, and pages of their own at them: nothing is edited here without its rule."""

    def get_urls(self) -> list[URLPattern]:
        own = {
            "publish/": (price_pages.published, "publish"),
            "<uuid:pk>/edit/": (pages.edited, "edit"),
            "<uuid:pk>/order/": (pages.ordered, "order"),
            "<uuid:pk>/hide/": (pages.hidden, "hide"),
            "<uuid:pk>/show/": (pages.offered, "show"),
            "<uuid:pk>/retire/": (pages.retired, "retire"),
            "<uuid:pk>/bring-back/": (pages.brought_back, "bring_back"),
            "<uuid:pk>/limit/": (limit_pages.limited, "limit"),
            "<uuid:pk>/price/": (price_pages.priced, "price"),
            "<uuid:pk>/price/<uuid:price>/withdraw/": (price_pages.withdrawn, "withdraw"),
        }
        return [
            *(
                path(route, self.admin_site.admin_view(view), name=f"billing_plan_{name}")
                for route, (view, name) in own.items()
            ),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return pages.listed(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return pages.added(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        try:
            pk = uuid.UUID(object_id)
        except ValueError as error:
            raise Http404 from error
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return pages.shown(request, pk)
