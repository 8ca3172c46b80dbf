"""The reconciliation desk: compare with Stripe, see what differs, mend it, and what was found before."""

import uuid
from datetime import timedelta
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from accounts import clock
from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once, once_beyond
from accounts.models import User, Workspace
from accounts.pages import held_by
from billing import audit, gateway, reconciliation, reconciling
from billing.acts.forms import ActForm
from billing.admin import search
from billing.admin.base import Desk, ReadOnly, at
from billing.drift import Difference
from billing.models import AuditEntry, ReconciliationReport
from billing.reconciliation import AlreadyUnderWay
from billing.reports.spans import least_id

# Of past reports on the first page, and of what was mended on a report's.
SHOWN: Final = 10
MOST_MENDED: Final = 200
NO_KEY: Final = "No key of Stripe's is set: there is nothing to compare with."
UNDER_WAY: Final = "Another reconciliation is under way: wait for its end, and ask again."


def overview(request: HttpRequest) -> HttpResponse:
    """How the last one stands, and what can be asked for."""
    _allow_looking(request)
    return _overview(request)


@require_POST
def run(request: HttpRequest) -> HttpResponse:
    """A whole one, by the worker: `compare` changes nothing, `mend` asks for a reason."""
    held = _allow_doing(request)
    is_dry_run = request.POST.get("step") != "mend"
    form = ActForm({"reason": "A dry run"} if is_dry_run else request.POST)
    if not form.is_valid():
        return _overview(request, form=form, status=400)
    reason, here = form.cleaned_data["reason"], reverse("admin:reconciliation")

    def ask() -> str:
        reconciling.ask(is_dry_run=is_dry_run, reason=reason, actor=held.user, now=clock.now())
        messages.success(request, "A worker is at it. This page shows how far it is.")
        return here

    try:
        return HttpResponseRedirect(once(request, held, ask))
    except AlreadyUnderWay:
        return _overview(request, problem=UNDER_WAY, status=409)
    except gateway.BillingNotConfigured as error:
        return _overview(request, problem=NO_KEY, status=error.status_code)
    except Problem as error:
        return _overview(request, problem=str(error.detail), status=error.status_code)


def find(request: HttpRequest) -> HttpResponse:
    """The one workspace that `q` means, or those that it may mean."""
    _allow_doing(request)
    found = search.workspaces(request.GET.get("q", ""))
    if len(found) == 1:
        return HttpResponseRedirect(reverse("admin:reconciliation_workspace", args=[found[0]]))
    rows = Workspace.objects.filter(pk__in=found).select_related("personal_user").order_by("name", "pk")
    return _answer(request, "admin/reconciliation/found.html", {"rows": rows, "q": request.GET.get("q", "")})


def workspace(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One workspace: what differs, by asking Stripe while the page is drawn; and its mending."""
    held = _allow_doing(request)
    target = get_object_or_404(Workspace, pk=pk)
    form, problem = ActForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        try:
            return HttpResponseRedirect(once_beyond(request, held, lambda: _mend(request, target, form)))
        except AlreadyUnderWay:
            problem = UNDER_WAY
        except Problem as error:
            problem = str(error.detail)
    outcome = None
    try:
        outcome = reconciliation.reconcile(now=clock.now(), is_dry_run=True, only=[pk])
    except gateway.BillingNotConfigured:
        problem = problem or NO_KEY
    context = {"workspace": target, "outcome": outcome, "form": form, "problem": problem}
    status = 409 if problem else 400 if form.errors else 200
    return _answer(request, "admin/reconciliation/workspace.html", context, status=status)


def _mend(request: HttpRequest, target: Workspace, form: ActForm) -> str:
    outcome = reconciliation.reconcile(
        now=clock.now(), only=[target.pk], actor=cast(User, request.user), reason=form.cleaned_data["reason"]
    )
    level = messages.SUCCESS if outcome.drifted == outcome.mended and not outcome.failures else messages.WARNING
    messages.add_message(request, level, reconciling.in_words(outcome))
    return reverse("admin:reconciliation_workspace", args=[target.pk])


def _overview(
    request: HttpRequest, *, form: ActForm | None = None, problem: str = "", status: int = 200
) -> HttpResponse:
    asked = reconciling.last()
    context = {
        "asked": asked,
        "may": _may(request),
        "form": form or ActForm(),
        "problem": problem,
        "reports": ReconciliationReport.objects.all()[:SHOWN],
        "trail": f"{reverse('admin:billing_auditentry_changelist')}?action=reconcile",
    }
    return _answer(request, "admin/reconciliation/overview.html", context, status=status)


def _answer(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    more = {"title": "Reconciliation", **context}
    return TemplateResponse(request, template, {**admin.site.each_context(request), **more}, status=status)


def _may(request: HttpRequest) -> bool:
    return cast(User, request.user).has_perm("billing.reconcile")


def _allow_looking(request: HttpRequest) -> None:
    if not cast(User, request.user).has_perm("billing.view_reconciliationreport"):
        raise PermissionDenied


def _allow_doing(request: HttpRequest) -> Access:
    held = held_by(request)
    if held is None or not _may(request):
        raise PermissionDenied
    return held


@admin.register(ReconciliationReport)
class ReconciliationReportAdmin(ReadOnly, Desk):
    list_display = ("begun", "ended", "scope", "workspaces", "drifted", "mended", "orphaned", "failed")
    list_display_links = ("begun",)
    list_filter = ("is_whole",)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or not object_id.isdecimal():
            raise Http404
        if request.method != "GET":
            return HttpResponse(status=403)
        report = get_object_or_404(ReconciliationReport, pk=object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": report,
            "title": str(report),
            "report": report,
            "mended": _mended_by(report),
            "most": MOST_MENDED,
        }
        return TemplateResponse(request, "admin/reconciliation/report.html", context)

    @admin.display(description="Begun")
    def begun(self, report: ReconciliationReport) -> str:
        return at(report.started_at)

    @admin.display(description="Ended")
    def ended(self, report: ReconciliationReport) -> str:
        return at(report.finished_at) if report.finished_at else "Not ended"

    @admin.display(description="Of")
    def scope(self, report: ReconciliationReport) -> str:
        return "Everything" if report.is_whole else "Some workspaces"

    @admin.display(description="For staff")
    def orphaned(self, report: ReconciliationReport) -> int:
        return len(report.orphans)

    @admin.display(description="Not looked at")
    def failed(self, report: ReconciliationReport) -> int:
        return len(report.failures)


def _mended_by(report: ReconciliationReport) -> list[tuple[AuditEntry, list[Difference]]]:
    """By the audit trail, of the lines that were written meanwhile: no other one mends at the same time."""
    if report.finished_at is None or not report.mended:
        return []
    # Ids begin with the instant at which the line was written, by the wall clock as the report.
    since, until = least_id(report.started_at), least_id(report.finished_at + timedelta(seconds=1))
    lines = AuditEntry.objects.filter(action="reconcile", pk__gte=since, pk__lt=until).order_by("pk")
    return [
        (line, [Difference(*change) for change in audit.changes(line.before, line.after)])
        for line in lines[:MOST_MENDED]
    ]


admin.site.add_pages(  # type: ignore[attr-defined]  # of accounts.staff.StaffSite
    path("reconciliation/", admin.site.admin_view(overview), name="reconciliation"),
    path("reconciliation/run/", admin.site.admin_view(run), name="reconciliation_run"),
    path("reconciliation/find/", admin.site.admin_view(find), name="reconciliation_find"),
    path("reconciliation/<uuid:pk>/", admin.site.admin_view(workspace), name="reconciliation_workspace"),
)
