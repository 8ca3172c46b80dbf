"""One Subscription a workspace, always there: the facts from which an entitlement is computed."""

from datetime import datetime
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import UUID7

from accounts.models import User, Workspace
from billing.models.plans import Interval, Plan, Price

PLANS = ("base_plan", "trial_plan", "comp_plan", "paid_plan", "pending_plan")


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def with_plans(self) -> "SubscriptionQuerySet":
        """With every plan that an entitlement may come from, in one statement."""
        return self.select_related(*PLANS)


class SubscriptionManager(models.Manager["Subscription"]):
    def get_queryset(self) -> SubscriptionQuerySet:
        return SubscriptionQuerySet(self.model, using=self._db)

    def with_plans(self) -> SubscriptionQuerySet:
        return self.get_queryset().with_plans()

    @transaction.atomic
    def open(self, workspace: Workspace, *, now: datetime) -> "Subscription":
        """The FREE subscription that a workspace has from its first instant."""
        subscription = self.create(workspace=workspace, base_plan=Plan.objects.free(), created_at=now, updated_at=now)
        subscription.append_history(cause=SubscriptionChange.CREATED, before={}, now=now)
        return subscription


class Subscription(models.Model):
    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT)
    base_plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, related_name="+", help_text="What remains when everything else has ended."
    )

    # The trial: one period from start to end.
    trial_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    trial_start = models.DateTimeField(null=True, blank=True)
    trial_end = models.DateTimeField(null=True, blank=True)

    # The comp: a plan that staff gave, with a reason and an end.
    comp_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    comp_start = models.DateTimeField(null=True, blank=True)
    comp_end = models.DateTimeField(null=True, blank=True)
    comp_reason = models.CharField(max_length=200, blank=True)

    # The override: another number of runs, until an instant, whatever the plan.
    runs_override = models.PositiveIntegerField(null=True, blank=True)
    runs_override_end = models.DateTimeField(null=True, blank=True)

    # What Stripe holds.
    paid_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    paid_price = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    stripe_customer_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    stripe_subscription_id = models.CharField(max_length=255, blank=True)
    stripe_status = models.CharField(
        max_length=30, blank=True, help_text="Stripe's own word, also one never seen before."
    )
    paid_interval = models.CharField(max_length=5, choices=Interval, blank=True)
    monthly_amount = models.PositiveIntegerField(
        default=0, help_text="Minor units a month of what is subscribed to: after discounts, without tax."
    )
    currency = models.CharField(max_length=3, blank=True, default="")
    paid_anchor = models.DateTimeField(null=True, blank=True, help_text="From which the months of a period are cut.")
    paid_start = models.DateTimeField(null=True, blank=True)
    paid_end = models.DateTimeField(null=True, blank=True)
    is_period_paid = models.BooleanField(default=False)
    is_collection_paused = models.BooleanField(default=False)
    oldest_unpaid_at = models.DateTimeField(null=True, blank=True)
    first_paid_at = models.DateTimeField(null=True, blank=True)
    cancel_at = models.DateTimeField(null=True, blank=True, help_text="A scheduled cancel, however it was asked for.")
    canceled_at = models.DateTimeField(null=True, blank=True)
    pending_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    pending_interval = models.CharField(max_length=5, choices=Interval, blank=True)
    pending_at = models.DateTimeField(null=True, blank=True)
    card_expires_at = models.DateTimeField(
        null=True, blank=True, help_text="The first instant at which the card that pays is no longer good."
    )
    on_hold_since = models.DateTimeField(
        null=True, blank=True, help_text="A dispute, or a warning of fraud, is open: what is paid entitles to nothing."
    )
    hold_reason = models.CharField(max_length=255, blank=True, help_text="The dispute or warning at Stripe.")
    # Staff's own: what they have looked at and found in order.
    hold_released = models.CharField(max_length=255, blank=True, help_text="A dispute or warning that holds nothing.")
    grace_until = models.DateTimeField(
        null=True, blank=True, help_text="Past due keeps the plan until then, though its days of grace are over."
    )

    # How fresh that is. A sync takes a number, fetches, and writes only while the number is its own.
    sync_number = models.PositiveBigIntegerField(default=0, editable=False)
    synced_at = models.DateTimeField(null=True, blank=True, editable=False)
    sync_due_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When Stripe is asked again, though nothing rang."
    )

    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)

    objects: ClassVar[SubscriptionManager] = SubscriptionManager()

    class Meta:
        # What staff may do, by role: see `billing.roles`.
        permissions: ClassVar = [
            ("give_credits", "Can give and take credits"),
            ("steer_subscription", "Can change what a workspace is entitled to"),
            ("move_money", "Can refund, and steer what Stripe collects"),
            ("sync_with_stripe", "Can have Stripe asked again"),
            ("replay_events", "Can replay deliveries of Stripe"),
            ("reconcile", "Can reconcile with Stripe"),
            ("decide_large", "Can decide about large sums"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["sync_due_at"], condition=Q(sync_due_at__isnull=False), name="subscription_sync_due"),
            # What staff look for: a status, a plan, and whatever ends soon.
            models.Index(
                fields=["stripe_status", "paid_plan", "-id"],
                condition=~Q(stripe_status=""),
                name="subscription_by_status",
            ),
            models.Index(
                fields=["stripe_subscription_id"],
                condition=~Q(stripe_subscription_id=""),
                name="subscription_by_stripe",
            ),
            models.Index(fields=["trial_end"], condition=Q(trial_end__isnull=False), name="subscription_trial_end"),
            models.Index(fields=["comp_end"], condition=Q(comp_end__isnull=False), name="subscription_comp_end"),
            models.Index(fields=["-id"], condition=Q(on_hold_since__isnull=False), name="subscription_on_hold"),
            models.Index(
                fields=["paid_end"], condition=Q(card_expires_at__lte=F("paid_end")), name="subscription_card_expires"
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(trial_plan=None, trial_start=None, trial_end=None)
                | Q(trial_plan__isnull=False, trial_start__isnull=False, trial_end__gt=F("trial_start")),
                name="subscription_trial_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(comp_plan=None, comp_start=None, comp_end=None)
                | Q(comp_plan__isnull=False, comp_start__isnull=False, comp_end__gt=F("comp_start"))
                & ~Q(comp_reason=""),
                name="subscription_comp_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(runs_override=None, runs_override_end=None)
                | Q(runs_override__isnull=False, runs_override_end__isnull=False),
                name="subscription_override_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(paid_plan=None)
                | Q(paid_start__isnull=False, paid_end__gt=F("paid_start"), paid_anchor__isnull=False)
                & ~Q(stripe_status="")
                & ~Q(paid_interval=""),
                name="subscription_paid_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(pending_plan=None, pending_at=None)
                | Q(pending_plan__isnull=False, pending_at__isnull=False),
                name="subscription_pending_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"Subscription of {self.workspace}"

    @transaction.atomic(savepoint=False)
    def change(self, *, cause: str, now: datetime, actor: User | None = None, **facts: Any) -> None:
        """Write facts, and the line of history that no later write could make (invariant 16)."""
        self.lock()
        before = self.facts()
        for name, value in facts.items():
            setattr(self, name, value)
        self.updated_at = now
        self.save(update_fields=[*facts, "updated_at"])
        self.append_history(cause=cause, before=before, now=now, actor=actor)

    def lock(self) -> None:
        """Read the row again and hold it until the transaction ends: what another wrote meanwhile is part of before."""
        self.refresh_from_db(from_queryset=Subscription.objects.with_plans().select_for_update(of=("self",)))

    def append_history(
        self, *, cause: str, before: dict[str, Any], now: datetime, actor: User | None = None
    ) -> "SubscriptionChange":
        return SubscriptionChange.objects.create(
            subscription=self,
            at=now,
            cause=cause,
            actor=actor,
            before=before,
            after=self.facts(),
            monthly_amount=self.earned,
            currency=self.currency if self.earned else "",
        )

    @property
    def earned(self) -> int:
        """Minor units a month that count towards monthly recurring revenue: see docs/figures.md."""
        is_stopped = self.is_collection_paused or self.on_hold_since is not None
        return self.monthly_amount if self.stripe_status in SubscriptionChange.EARNING and not is_stopped else 0

    def facts(self) -> dict[str, Any]:
        """Every fact by column name, as history keeps it."""
        return {field.attname: getattr(self, field.attname) for field in self.fact_fields()}

    @classmethod
    def fact_fields(cls) -> "list[models.Field[Any, Any]]":
        left_out = {"id", "workspace_id", "created_at", "updated_at", "sync_number", "synced_at", "sync_due_at"}
        return [field for field in cls._meta.concrete_fields if field.attname not in left_out]


class SubscriptionChange(models.Model):
    """Append-only: what a write to a Subscription changed. A past entitlement and MRR are read from here."""

    CREATED, TRIAL, COMP, OVERRIDE, STRIPE = "created", "trial", "comp", "override", "stripe"
    CUSTOMER, UPGRADE, DOWNGRADE, CANCEL, RESUME = "customer", "upgrade", "downgrade", "cancel", "resume"
    PAUSE, RELEASE, CLOSE, GRACE = "pause", "release", "close", "grace"
    # Stripe's words for a subscription that counts towards monthly recurring revenue, unless something stops it.
    EARNING = frozenset({"active", "past_due"})

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="changes", db_index=False)
    at = models.DateTimeField()
    cause = models.CharField(max_length=40)
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    before = models.JSONField(encoder=DjangoJSONEncoder)
    after = models.JSONField(encoder=DjangoJSONEncoder)
    monthly_amount = models.PositiveIntegerField(help_text="Minor units a month after the change.")
    currency = models.CharField(max_length=3, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["subscription", "-id"], name="change_by_subscription"),
            models.Index(fields=["at"], name="change_by_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.cause} at {self.at}"


class TrialUse(models.Model):
    """That the one trial was used: by a user, in a workspace, or with an address (`User.person_hash`).

    The lines stay when the account goes (invariant 11).
    """

    USER, WORKSPACE, ADDRESS = "user", "workspace", "address"

    kind = models.CharField(max_length=10)
    subject = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "subject"], name="trial_used_once")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"
