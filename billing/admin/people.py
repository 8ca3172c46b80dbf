"""People, as staff see them. Nothing of an account is edited: what is done to it is an act."""

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from accounts import clock, devices, second_factor
from accounts.models import Membership, User
from billing import acts, audit, roles
from billing.acts.pages import offered_to
from billing.admin.base import Desk, ReadOnly
from billing.models import AuditEntry

SHOWN = 12


@admin.register(User)
class UserAdmin(ReadOnly, Desk):
    list_display = ("email", "fullname", "is_email_verified", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff")
    search_path = "pk"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        from billing.admin import search

        return (queryset.filter(pk__in=search.people(search_term)) if search_term.strip() else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            person = get_object_or_404(User, pk=UUID(object_id))
        except ValueError as error:
            raise Http404 from error
        if request.method != "GET":
            return HttpResponse(status=403)
        now = clock.now()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": person,
            "title": person.email,
            "person": person,
            "role": roles.role_of(person),
            "has_second_factor": second_factor.is_on(person),
            "memberships": Membership.objects.filter(user=person)
            .select_related("workspace")
            .order_by("created_at")[:50],
            "browsers": devices.browsers(person, present=None)[:SHOWN],
            "programs": devices.programs(person)[:SHOWN],
            "trail": [
                (one, audit.in_words(one.before, one.after)[:8])
                for one in AuditEntry.objects.filter(target=f"user:{person.pk}")[:SHOWN]
            ],
            "done": AuditEntry.objects.filter(actor_id=person.pk)[:SHOWN] if person.is_staff else [],
            "acts": offered_to(cast(User, request.user), acts.PERSON, person, now),
            "is_fullwidth": "1",
        }
        return TemplateResponse(request, "admin/person.html", context)
