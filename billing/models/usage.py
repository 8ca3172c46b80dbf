"""What is counted: buckets of runs, and the ledger whose lines add up to them."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import UUID7

from accounts.models import User, Workspace
from billing.models.plans import Plan


class Source(models.TextChoices):
    """Where an entitlement comes from, in the order in which ties of rank are broken."""

    COMP = "comp"
    PAID = "paid"
    TRIAL = "trial"
    FREE = "free"


class UsagePeriod(models.Model):
    """A counter of runs. A new period is a new row, made when first needed (invariant 6)."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    source = models.CharField(max_length=5, choices=Source)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, db_index=False)
    runs_limit = models.PositiveIntegerField(null=True, help_text="The plan's, when the period was opened.")
    used = models.PositiveIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-starts_at"]
        indexes: ClassVar = [
            models.Index(fields=["plan", "ends_at"], name="usage_period_by_plan"),
            models.Index(fields=["source", "-id"], name="usage_period_by_source"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "source", "starts_at"], name="usage_period_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="usage_period_is_not_empty"),
            models.CheckConstraint(condition=Q(source__in=Source.values), name="usage_period_source_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.source} from {self.starts_at:%Y-%m-%d}: {self.used}"


class CreditGrant(models.Model):
    """Runs beside the plan: given by staff, bought, or one that came back to a bucket that had ended."""

    class Kind(models.TextChoices):
        GIVEN = "given"
        RETURNED = "returned"
        BOUGHT = "bought"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    quantity = models.PositiveIntegerField()
    used = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["workspace", "expires_at"],
                condition=Q(used__lt=F("quantity")),
                name="grant_with_something_left",
            ),
            models.Index(fields=["kind", "-id"], name="grant_by_kind"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(used__lte=F("quantity")), name="grant_is_not_overdrawn"),
            models.CheckConstraint(condition=Q(kind__in=["given", "returned", "bought"]), name="grant_kind_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.left} of {self.quantity} {self.kind}"

    @property
    def left(self) -> int:
        return self.quantity - self.used


class LedgerEntry(models.Model):
    """Append-only: one line for each change of a counter or grant. A trigger refuses to change or delete one.

    `quantity` is the change in what is left (a consumed run is -1), `balance` what the bucket has
    left after it, None where it is unlimited.
    """

    class Kind(models.TextChoices):
        CONSUME = "consume"
        REFUND = "refund"
        GRANT = "grant"
        ADJUST = "adjust"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    # The bucket's: its foreign key holds, and check_billing proves the two alike. Another one here
    # would lock the workspace's row in every run, to no purpose.
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=7, choices=Kind)
    quantity = models.IntegerField()
    run_id = models.UUIDField(null=True)
    period = models.ForeignKey(UsagePeriod, null=True, on_delete=models.PROTECT, related_name="entries", db_index=False)
    grant = models.ForeignKey(CreditGrant, null=True, on_delete=models.PROTECT, related_name="entries", db_index=False)
    balance = models.IntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        verbose_name_plural = "ledger entries"
        indexes: ClassVar = [
            models.Index(fields=["workspace", "-created_at", "-id"], name="ledger_by_workspace"),
            # The few lines between the many: what a run writes is not in it.
            models.Index(
                fields=["workspace", "kind", "-created_at", "-id"],
                condition=~Q(kind="consume"),
                name="ledger_but_for_runs",
            ),
            models.Index(fields=["kind", "-id"], condition=~Q(kind="consume"), name="ledger_by_kind"),
        ]
        constraints: ClassVar = [
            # Invariant 2: a run has one consume line and at most one refund line.
            models.UniqueConstraint(
                fields=["run_id", "kind"], condition=Q(run_id__isnull=False), name="ledger_once_a_run_and_kind"
            ),
            models.CheckConstraint(
                condition=Q(period__isnull=False, grant=None) | Q(period=None, grant__isnull=False),
                name="ledger_names_one_bucket",
            ),
            models.CheckConstraint(
                condition=Q(kind="consume", quantity__lt=0, run_id__isnull=False)
                | Q(kind="refund", quantity__gt=0, run_id__isnull=False)
                | Q(kind="grant", quantity__gt=0, run_id=None)
                | Q(kind="adjust", run_id=None),
                name="ledger_quantity_fits_kind",
            ),
            # Invariant 1: no consume line ever overdraws its bucket.
            models.CheckConstraint(
                condition=~Q(kind="consume") | Q(balance=None) | Q(balance__gte=0), name="ledger_is_not_overdrawn"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity:+d}"
