"""The webhook desk: the inbox of Stripe's deliveries with what came of each, and what was asked of Stripe."""

from datetime import date, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.contrib.filters.admin import DropdownFilter

from accounts import clock
from accounts.idempotency import once
from accounts.models import User, Workspace
from accounts.pages import held_by
from billing import deliveries, payloads, replays
from billing.acts.forms import ActForm
from billing.admin import search
from billing.admin.base import MISSING, Desk, ReadOnly, at, linked
from billing.admin.filters import DeliveryWhenFilter, WaitingFilter
from billing.models import StripeEvent, StripeOperation, Subscription
from billing.webhooks import EFFECTS

State = StripeEvent.State
TONES = {State.DONE: "good", State.WAITING: "info", State.DEAD: "bad", State.UNMATCHED: "warn"}
# In the choice of days; any other can be named in the address.
DAYS = 30
# As many as are shown on one page can be ticked.
MOST_TICKED = 1000


class TypeFilter(DropdownFilter):
    """Of those that Stripe must send: what else comes is not kept."""

    title, parameter_name = "type", "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(EFFECTS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(type=self.value()) if self.value() else queryset


class DayFilter(DropdownFilter):
    title, parameter_name = "day received", "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        days = [timezone.localdate() - timedelta(days=back) for back in range(DAYS)]
        return [(day.isoformat(), date_format(day, "l, j F")) for day in days]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            day = date.fromisoformat(self.value() or "")
        except ValueError:
            return queryset
        return queryset.filter(deliveries.received_on(day))


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly, Desk):
    list_display = ("when", "kind", "whose", "standing", "tries", "told")
    list_display_links = ("kind",)
    list_filter = ("state", TypeFilter, DayFilter, WaitingFilter, DeliveryWhenFilter)
    list_filter_submit = True
    search_path = "pk"
    actions = ("replay_ticked",)
    # A page of what is ticked; all that a filter finds has a button of its own.
    list_disable_select_all = True
    change_list_template = "admin/deliveries/change_list.html"

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return cast(User, request.user).has_perm("billing.replay_events")

    def get_urls(self) -> list[Any]:
        replay = self.admin_site.admin_view(self.replay)
        return [path("replay/", replay, name="billing_stripeevent_replay"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        owner = Subscription.objects.filter(stripe_customer_id=OuterRef("customer"))
        listed: QuerySet[Any] = super().get_queryset(request)
        found: QuerySet[Any] = listed.defer("payload").annotate(
            workspace_id=Subquery(owner.values("workspace_id")[:1]),
            workspace_name=Subquery(owner.values("workspace__name")[:1]),
        )
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        customers = Subscription.objects.filter(
            workspace__in=search.workspaces(text), stripe_customer_id__isnull=False
        ).values_list("stripe_customer_id", flat=True)
        return queryset.filter(Q(customer__in=[*customers, text]) | Q(stripe_id=text)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        address, query = reverse("admin:billing_stripeevent_replay"), request.GET.urlencode()
        more = {"replay": f"{address}?{query}" if query else address} if self.has_replay_permission(request) else {}
        answer: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **more})
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or not object_id.isdecimal():
            raise Http404
        if request.method != "GET":
            return HttpResponse(status=403)
        event = get_object_or_404(self.get_queryset(request).defer(None), pk=object_id)
        may = self.has_replay_permission(request) and event.state in deliveries.ENDED
        data = event.payload.get("data") or {}
        replay = f"{reverse('admin:billing_stripeevent_replay')}?{urlencode({'ids': event.pk})}"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": event,
            "title": event.type,
            "event": event,
            "tone": TONES[State(event.state)],
            "effect": EFFECTS.get(event.type, ""),
            "replay": replay if may else "",
            "about": payloads.rows_of({name: value for name, value in event.payload.items() if name != "data"}),
            "rows": payloads.rows_of(data.get("object") or {}),
            "before": payloads.rows_of(data.get("previous_attributes") or {}),
        }
        return TemplateResponse(request, "admin/deliveries/event.html", context)

    def replay(self, request: HttpRequest) -> HttpResponse:
        """Those that `ids` names, or all that the list shows by the same address; first what it would change."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        chosen, form = self._chosen(request), ActForm(request.POST or None)
        back = reverse("admin:billing_stripeevent_changelist")
        if request.method == "POST" and form.is_valid():
            held = held_by(request)
            if held is None:
                raise PermissionDenied
            return HttpResponseRedirect(once(request, held, lambda: self._replay(request, chosen, form, back)))
        count = chosen.count()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Replay",
            "count": count,
            "some": chosen.defer("payload").order_by("-pk")[: self.list_per_page] if count else [],
            "outlook": replays.outlook(chosen) if count else None,
            "form": form,
            "back": back,
        }
        return TemplateResponse(request, "admin/deliveries/replay.html", context, status=400 if form.errors else 200)

    def _chosen(self, request: HttpRequest) -> QuerySet[StripeEvent]:
        if "ids" in request.GET:
            words = request.GET["ids"].split(",")
            return deliveries.ended().filter(pk__in=[word for word in words if word.isdecimal()][:MOST_TICKED])
        listed = self.get_changelist_instance(request).get_queryset(request)
        return deliveries.ended().filter(pk__in=listed.order_by().values("pk"))

    def _replay(self, request: HttpRequest, chosen: QuerySet[StripeEvent], form: ActForm, back: str) -> str:
        count = deliveries.replay(
            chosen, reason=form.cleaned_data["reason"], actor=cast(User, request.user), now=clock.now()
        )
        if count:
            messages.success(request, f"{count:,} wait again. A worker takes them within 15 seconds.")
        else:
            messages.info(request, "Nothing to replay: none of them is dead or unmatched any more.")
        return back

    @admin.action(description="Replay …", permissions=["replay"])
    def replay_ticked(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        ids = ",".join(str(pk) for pk in queryset.order_by("pk").values_list("pk", flat=True)[:MOST_TICKED])
        return HttpResponseRedirect(f"{reverse('admin:billing_stripeevent_replay')}?{urlencode({'ids': ids})}")

    @admin.display(description="Received")
    def when(self, event: Any) -> str:
        ago = timesince(event.received_at, depth=1)
        late = ", found in Stripe's list" if event.is_caught_up else ""
        return format_html('{}<br><span class="desk-hint desk-whole">{} ago{}</span>', at(event.received_at), ago, late)

    @admin.display(description="Type")
    def kind(self, event: Any) -> str:
        return str(event.type)

    @admin.display(description="Customer")
    def whose(self, event: Any) -> str:
        if event.workspace_id is None:
            return event.customer or MISSING
        return linked(Workspace(pk=event.workspace_id), event.workspace_name)

    @admin.display(description="State")
    def standing(self, event: Any) -> str:
        tone = TONES[State(event.state)]
        return format_html('<span class="desk-badge" data-tone="{}">{}</span>', tone, event.get_state_display())

    @admin.display(description="Failed")
    def tries(self, event: Any) -> str:
        times = f"{event.attempts} times" if event.attempts > 1 else "once"
        return format_html('<span class="desk-whole">{}</span>', times) if event.attempts else MISSING

    @admin.display(description="Why")
    def told(self, event: Any) -> str:
        return event.error or MISSING


@admin.register(StripeOperation)
class StripeOperationAdmin(ReadOnly, Desk):
    list_display = ("created_at", "workspace", "kind", "stripe_id", "finished_at", "error")
    list_filter = ("kind",)
    list_select_related = ("workspace",)
    search_path = "workspace_id"
