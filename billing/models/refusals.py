"""What was refused: the 402s of a workspace, so that somebody can see afterwards what stood in the way."""

from typing import ClassVar

from django.db import models

from accounts.models import Workspace
from billing.models.plans import Plan


class Refusal(models.Model):
    """The 402s with one code within an hour; `count` is at least so many, see `billing.refusals`."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    code = models.CharField(max_length=30, help_text="Of the answer: quota_exceeded.")
    hour = models.DateTimeField(help_text="Its beginning.")
    count = models.PositiveIntegerField()
    last_at = models.DateTimeField()
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, related_name="+", db_index=False, help_text="That held at the last of them."
    )

    class Meta:
        ordering: ClassVar = ["-last_at"]
        indexes: ClassVar = [models.Index(fields=["hour"], name="refusal_by_hour")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "code", "hour"], name="refusal_once_an_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.count} of {self.code} in the hour from {self.hour:%Y-%m-%d %H:%M}"
