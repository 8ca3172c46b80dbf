"""What a walk over both sides found, ours and Stripe's."""

from typing import ClassVar

from django.db import models


class ReconciliationReport(models.Model):
    """One run of `manage.py reconcile`; a dry run leaves none. Without an end it was interrupted.

    Instants are the wall clock's.
    """

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    is_whole = models.BooleanField(help_text="Every workspace and all of Stripe's lists; otherwise some workspaces.")
    workspaces = models.PositiveIntegerField(default=0, help_text="That were looked at.")
    drifted = models.PositiveIntegerField(default=0, help_text="For which Stripe held something else than we did.")
    mended = models.PositiveIntegerField(default=0)
    orphans = models.JSONField(default=list, help_text="What only staff can decide about, each with what to do.")
    failures = models.JSONField(default=list, help_text="What could not be looked at, and why.")

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"Reconciliation of {self.started_at:%Y-%m-%d %H:%M}"
