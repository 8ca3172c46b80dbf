"""What you do: agent sessions, the runs inside them, and what a run reports."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import UUID7

from accounts.models import User, Workspace


class Session(models.Model):
    """An agent session; a deleted one is hidden, its runs and their ledger lines stay."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        WAITING = "waiting"
        COMPLETED = "completed"
        FAILED = "failed"
        STOPPED = "stopped"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False)
    title = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status)
    latest_message = models.CharField(max_length=500, blank=True)
    latest_message_at = models.DateTimeField(null=True)
    last_activity_at = models.DateTimeField()
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["workspace", "-last_activity_at", "-id"],
                condition=Q(deleted_at=None),
                name="session_by_workspace",
            ),
            models.Index(
                fields=["workspace", "status", "-last_activity_at", "-id"],
                condition=Q(deleted_at=None),
                name="session_by_status",
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "running", "waiting", "completed", "failed", "stopped"]),
                name="session_status_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.title


class FailureKind(models.TextChoices):
    """Why a run ended otherwise than by itself. What the platform failed at is given back, the rest is charged."""

    WORKER_LOST = "worker_lost"
    SANDBOX_LOST = "sandbox_lost"
    MODEL_LOST = "model_lost"
    PLATFORM = "platform"
    NOT_STARTED = "not_started"
    UNUSED = "unused"
    INPUT = "input"
    COMMAND = "command"
    MEMORY = "memory"
    TIME = "time"
    REFUSED = "refused"

    @property
    def is_given_back(self) -> bool:
        return self in GIVEN_BACK


GIVEN_BACK = frozenset(
    {
        FailureKind.WORKER_LOST,
        FailureKind.SANDBOX_LOST,
        FailureKind.MODEL_LOST,
        FailureKind.PLATFORM,
        FailureKind.NOT_STARTED,
        FailureKind.UNUSED,
    }
)


class Run(models.Model):
    """One execution of the agent inside a session; it costs one unit while `is_charged`."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        STOPPED = "stopped"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    # The session's, whose foreign key holds.
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="runs", db_index=False)
    prompt = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=Status)
    failure_kind = models.CharField(max_length=20, choices=FailureKind, blank=True)
    error = models.CharField(max_length=500, blank=True)
    is_charged = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    handed_at = models.DateTimeField(null=True, help_text="When a job for a worker was enqueued.")
    start_by = models.DateTimeField(help_text="A run still queued at this instant gives its unit back.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["session", "id"], name="run_by_session"),
            models.Index(fields=["start_by"], condition=Q(status="queued"), name="run_queued"),
            models.Index(fields=["id"], condition=Q(status="running"), name="run_running"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session"], condition=Q(status__in=["queued", "running"]), name="run_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "failed", "stopped"]),
                name="run_status_is_known",
            ),
            # Invariant 3: what the platform failed at costs nothing; what runs or succeeded was paid for.
            models.CheckConstraint(
                condition=~Q(failure_kind__in=sorted(GIVEN_BACK)) | Q(is_charged=False), name="run_failed_by_us_is_free"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["queued", "running", "succeeded"]) | Q(is_charged=True),
                name="run_carried_out_is_charged",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} run {self.id}"

    @property
    def is_unused(self) -> bool:
        """Paid for when its session was opened, and given no task yet."""
        return self.status == self.Status.QUEUED and self.handed_at is None


class Event(models.Model):
    """What a run reports, in the order of the ids."""

    class Type(models.TextChoices):
        MESSAGE = "message"
        STEP = "step"
        TOOL = "tool"
        ERROR = "error"
        DONE = "done"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="events", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="events", db_index=False)
    type = models.CharField(max_length=10, choices=Type)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["session", "id"], name="event_by_session")]

    def __str__(self) -> str:
        return f"{self.type} of {self.run_id}"
