"""What the lists and pages of the desk have in common."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.contrib.admin import ShowFacets, display
from django.contrib.admin.options import ActionLocation
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator

from accounts.admin import ReadOnly
from billing.admin import search
from billing.templatetags.desk import when

__all__ = ["MISSING", "Desk", "ReadOnly", "Rows", "at", "linked"]


MISSING = "\u2013"


def linked(row: Model, text: str) -> str:
    """To the page of a row of ours."""
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, text)


def at(instant: datetime | None) -> str:
    """In the reader's zone, and in UTC for who points at it."""
    return str(when(instant))


class Desk(ModelAdmin):
    """A list without a count of its rows: over millions that would take longer than anybody waits.

    The newest comes first, by the primary key, in which the instant is; other orders only where an index has them.
    """

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    # Numbers beside the filters would count all of it.
    show_facets = ShowFacets.NEVER
    ordering: ClassVar = ["-pk"]
    sortable_by: ClassVar = ()
    list_fullwidth = True
    # From a row to the id of its workspace; a list without one is not searched.
    search_path: ClassVar[str] = ""
    search_help_text = "A name, an e-mail address, or any id of ours or of Stripe's"
    actions: Any = None
    # Who deletes what is on the desk deletes history.
    actions_selection_counter = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Workspace")
    def customer(self, row: Any) -> str:
        """With the way to all that is known of it; the row's workspace was read with it."""
        workspace = getattr(row, "workspace", None)
        return linked(workspace, str(workspace)) if workspace is not None else MISSING

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = ActionLocation.CHANGE_LIST
    ) -> Any:
        # As Django has it: unfold's own does not know of the last argument yet.
        return DjangoModelAdmin.get_action_choices(
            self, request, default_choices=[("", "Choose an act")], action_location=action_location
        )

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        # Only whether there is a field to search by: see `get_search_results`.
        return ("pk",) if self.search_path else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By whose it is: every list is searched in the same words, each by an index."""
        if not search_term or not self.search_path:
            return queryset, False
        by_customer = Q(**{f"{self.search_path}__in": search.workspaces(search_term)})
        return queryset.filter(by_customer | self.search_here(search_term.strip())), False

    def search_here(self, text: str) -> Q:
        """What else may be meant in this list."""
        return Q(pk__in=[])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)
        return found


class Rows(ReadOnly, TabularInline):
    """Rows beside the one that is shown."""

    extra = 0
    show_change_link = False
