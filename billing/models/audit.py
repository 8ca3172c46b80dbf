"""What staff did, and what was done in many places at their word."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import UUID7


class AuditEntry(models.Model):
    """Append-only: what staff, or a command in their hands, did; who, when, why, before, after.

    Actor and workspace are plain ids with the names of that day: a line must not change when they do.
    Without an actor it was a command, or the service itself. See `billing.audit`.
    """

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True, blank=True)
    actor_name = models.CharField(max_length=254, blank=True, default="")
    action = models.CharField(max_length=60)
    workspace_id = models.UUIDField(null=True, blank=True)
    workspace_name = models.CharField(max_length=150, blank=True, default="")
    target = models.CharField(max_length=100, help_text="What it was done to, as model:id.")
    reason = models.CharField(max_length=500)
    before = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    after = models.JSONField(encoder=DjangoJSONEncoder, default=dict)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "audit entries"
        indexes: ClassVar = [
            models.Index(fields=["workspace_id", "-id"], name="audit_by_workspace"),
            models.Index(fields=["actor_id", "-id"], name="audit_by_actor"),
            models.Index(fields=["action", "-id"], name="audit_by_action"),
            models.Index(fields=["target", "-id"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.target}"
