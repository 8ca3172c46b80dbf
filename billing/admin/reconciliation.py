"""Reports of reconciliations."""

from django.contrib import admin

from billing.admin.base import Desk, ReadOnly
from billing.models import ReconciliationReport


@admin.register(ReconciliationReport)
class ReconciliationReportAdmin(ReadOnly, Desk):
    list_display = ("started_at", "finished_at", "is_whole", "workspaces", "drifted", "mended", "orphaned", "failed")
    list_filter = ("is_whole",)
    fields = ("started_at", "finished_at", "is_whole", "workspaces", "drifted", "mended", "for_staff", "not_looked_at")

    @admin.display(description="Orphans")
    def orphaned(self, report: ReconciliationReport) -> int:
        return len(report.orphans)

    @admin.display(description="Failures")
    def failed(self, report: ReconciliationReport) -> int:
        return len(report.failures)

    @admin.display(description="For staff to decide")
    def for_staff(self, report: ReconciliationReport) -> str:
        return "\n".join(f"The {one['kind']} {one['id']} {one['sentence']}" for one in report.orphans) or "Nothing"

    @admin.display(description="Could not be looked at")
    def not_looked_at(self, report: ReconciliationReport) -> str:
        return "\n".join(f"{one['subject']}: {one['sentence']}" for one in report.failures) or "Nothing"
