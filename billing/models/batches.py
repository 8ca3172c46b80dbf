"""One act of staff's on many workspaces, carried out by a worker one by one."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import UUID7

from accounts.models import User, Workspace


class Batch(models.Model):
    """What was asked, of how many, by whom and why. Instants are the wall clock's."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    act = models.CharField(max_length=40, help_text="Its name in `billing.acts`.")
    parameters = models.JSONField(encoder=DjangoJSONEncoder)
    reason = models.CharField(max_length=500)
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    # Nothing is done before somebody has seen the dry run and said so.
    confirmed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.act} of {self.created_at:%Y-%m-%d %H:%M}"


class BatchItem(models.Model):
    """One workspace of a batch, and what became of it."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        REFUSED = "refused"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items", db_index=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    sentence = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch", "workspace"], name="batch_item_once")]
        indexes: ClassVar = [models.Index(fields=["batch", "state", "id"], name="batch_item_by_state")]

    def __str__(self) -> str:
        return f"{self.workspace_id}: {self.state}"
