"""What was refused: the 402s of a workspace, so that somebody can see afterwards what stood in the way."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from accounts.models import User, Workspace
from billing.models.plans import Plan


class Refusal(models.Model):
    """The 402s with one code within a minute; `count` is at least so many, see `billing.refusals`."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    code = models.CharField(max_length=30, help_text="Of the answer: quota_exceeded.")
    minute = models.DateTimeField(help_text="Its beginning.")
    count = models.PositiveIntegerField()
    last_at = models.DateTimeField()
    # The rest is of the last of them.
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", db_index=False)
    held = models.JSONField(
        encoder=DjangoJSONEncoder,
        default=dict,
        db_default={},
        help_text="The entitlement and the counters as they were.",
    )

    class Meta:
        ordering: ClassVar = ["-last_at"]
        indexes: ClassVar = [models.Index(fields=["minute"], name="refusal_by_minute")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "code", "minute"], name="refusal_once_a_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of {self.code} in the minute from {self.minute:%Y-%m-%d %H:%M}"
