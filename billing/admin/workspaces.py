"""Workspaces, and everything about one customer on one screen."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from djstripe.models import Invoice

from accounts import clock
from accounts.models import Membership, MembershipChange, Role, User, Workspace
from billing import acts, audit, explanations, quotas
from billing.acts.pages import offered_to
from billing.acts.workspaces import what_stripe_charges
from billing.admin.base import Desk, ReadOnly
from billing.entitlements import entitlement
from billing.models import (
    AuditEntry,
    CreditGrant,
    LedgerEntry,
    Refusal,
    StripeEvent,
    StripeOperation,
    Subscription,
    SubscriptionChange,
    UsagePeriod,
)

# Of each kind, the latest; a list of its own has the others.
SHOWN = 12

type Section = Callable[[Workspace, Sequence[UUID]], tuple[str, dict[str, Any]]]
_sections: list[Section] = []


def add_section(section: Section) -> None:
    """For another app: of the workspace and its latest runs, a template and its context."""
    _sections.append(section)


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnly, Desk):
    list_display = ("name", "owner", "plan", "stripe_status", "suspended_at", "created_at")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter),)
    search_path = "pk"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        owners = Membership.objects.filter(role=Role.OWNER).select_related("user")
        subscriptions = Subscription.objects.with_plans()
        return (
            super()
            .get_queryset(request)
            .prefetch_related(
                Prefetch("membership_set", queryset=owners, to_attr="owners"),
                Prefetch("subscription", queryset=subscriptions),
            )
        )

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Each act that can be done to many, for who may do it."""
        return {
            one.name: (_choose(one.name), one.name, f"{one.label} …")
            for one in acts.WORKSPACE.values()
            if one.is_for_many and one.may(cast(User, request.user))
        }

    @admin.display(description="Owner")
    def owner(self, workspace: Any) -> str:
        return workspace.owners[0].user.email if workspace.owners else "Nobody"

    @admin.display(description="Plan now")
    def plan(self, workspace: Any) -> str:
        held = entitlement(workspace.subscription, clock.now())
        return f"{held.plan.name} ({held.source.label})"

    @admin.display(description="At Stripe")
    def stripe_status(self, workspace: Any) -> str:
        return str(workspace.subscription.stripe_status.replace("_", " ") or "\u2013")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        workspace = get_object_or_404(Workspace.objects.select_related("personal_user"), pk=_uuid(object_id))
        if request.method != "GET":
            # Nothing is edited here: what is done is an act.
            return HttpResponse(status=403)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": workspace,
            "title": workspace.name,
            "is_fullwidth": "1",
            **everything(workspace, request=request, now=clock.now()),
        }
        return TemplateResponse(request, "admin/workspace.html", context)


def everything(workspace: Workspace, *, request: HttpRequest, now: datetime) -> dict[str, Any]:
    """Of one customer. A bounded number of statements, whatever there is of it."""
    rows = Subscription.objects.with_plans().select_related("workspace", "paid_price")
    subscription = rows.get(workspace=workspace)
    quota = quotas.quota_for(subscription, now=now)
    ledger = list(LedgerEntry.objects.filter(workspace=workspace).select_related("period", "grant")[:SHOWN])
    runs = [line.run_id for line in ledger if line.run_id is not None]
    at = _asked_instant(request)
    members = Membership.objects.filter(workspace=workspace).select_related("user").order_by("created_at")[:50]
    customer = subscription.stripe_customer_id
    changes = list(
        SubscriptionChange.objects.filter(subscription=subscription).select_related("actor").order_by("-id")[:SHOWN]
    )
    return {
        "workspace": workspace,
        "subscription": subscription,
        "quota": quota,
        "held": quota.entitlement,
        "steps": explanations.explain(subscription, now=now),
        "limits": explanations.limit_in_words(quota),
        "charges": what_stripe_charges(subscription),
        "past": _past(subscription, at),
        "asked": at,
        "members": members,
        "periods": UsagePeriod.objects.filter(workspace=workspace)
        .select_related("plan")
        .order_by("-starts_at")[:SHOWN],
        "grants": CreditGrant.objects.filter(workspace=workspace).select_related("created_by")[:SHOWN],
        "ledger": ledger,
        "refusals": Refusal.objects.filter(workspace=workspace).select_related("user", "plan")[:SHOWN],
        "invoices": Invoice.objects.filter(customer_id=customer).order_by("-created")[:SHOWN] if customer else [],
        "events": StripeEvent.objects.filter(customer=customer)[:SHOWN] if customer else [],
        "operations": StripeOperation.objects.filter(workspace=workspace)[:SHOWN],
        "history": [(one, _differences(one)) for one in changes],
        "people_changes": MembershipChange.objects.filter(workspace=workspace).select_related("user", "actor")[:SHOWN],
        "trail": [
            (one, audit.in_words(one.before, one.after)[:8])
            for one in AuditEntry.objects.filter(workspace_id=workspace.pk)[:SHOWN]
        ],
        "acts": offered_to(cast(User, request.user), acts.WORKSPACE, subscription, now),
        "sections": [section(workspace, runs) for section in _sections],
        "more": urlencode({"q": str(workspace.pk)}),
        "dashboard": "https://dashboard.stripe.com/",
    }


def _past(subscription: Subscription, at: datetime | None) -> dict[str, Any] | None:
    """What held at an instant that was asked for."""
    if at is None:
        return None
    was = explanations.as_it_was(subscription, at)
    if was is None:
        return {"steps": [], "held": None}
    return {"steps": explanations.explain(was, now=at), "held": entitlement(was, at)}


def _asked_instant(request: HttpRequest) -> datetime | None:
    try:
        found = parse_datetime(request.GET.get("at", ""))
    except ValueError:
        return None
    if found is None:
        return None
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _differences(change: SubscriptionChange) -> list[tuple[str, Any, Any]]:
    return audit.in_words(change.before, change.after)[:8]


def _choose(name: str) -> Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse]:
    def go(_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        from billing.acts import batches

        ids = ",".join(str(id) for id in queryset.order_by("pk").values_list("pk", flat=True)[: batches.MOST])
        return HttpResponseRedirect(f"{reverse('admin:act_many', args=[name])}?{urlencode({batches.CHOSEN: ids})}")

    return go


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404 from error
