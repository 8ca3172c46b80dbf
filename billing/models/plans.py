"""What is sold: plans, whose limits are columns, and the prices at which they are paid."""

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import UUID7
from django.utils.translation import gettext_lazy as _

from billing.money import amount_in_words


class Feature(models.TextChoices):
    """What can come with a plan. Enforced ones are named by a view; the others are shown."""

    BASIC_AGENT = "basic_agent", _("Basic agent")
    COMMUNITY_SUPPORT = "community_support", _("Community support")
    EMAIL_SUPPORT = "email_support", _("E-mail support")
    PRIORITY_SUPPORT = "priority_support", _("Priority support")
    PRIORITY_PROCESSING = "priority_processing", _("Priority processing")
    ADVANCED_FEATURES = "advanced_features", _("Advanced features")
    API_KEYS = "api_keys", _("API keys")


class PlanManager(models.Manager["Plan"]):
    def free(self) -> "Plan":
        return self.get(slug=Plan.FREE)

    def trial(self) -> "Plan":
        return self.get(slug=Plan.TRIAL)


class Plan(models.Model):
    FREE, TRIAL, BASIC, PRO, ENTERPRISE = "free", "trial", "basic", "pro", "enterprise"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    slug = models.SlugField(unique=True, help_text="The word by which the API names the plan.")
    name = models.CharField(max_length=60)
    description = models.CharField(max_length=200, blank=True)
    rank = models.PositiveSmallIntegerField(
        unique=True, help_text="Of the plans that are live at an instant the highest rank wins."
    )
    # Limits: empty (NULL) is unlimited, 0 is none.
    runs_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Runs a period. Empty: unlimited.")
    concurrency_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Runs at once. Empty: unlimited.")
    storage_limit = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes. Empty: unlimited.")
    members_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Members. Empty: unlimited.")
    features = ArrayField(models.CharField(max_length=40, choices=Feature), default=list, blank=True)
    grace_days = models.PositiveSmallIntegerField(
        default=7, help_text="Days after the oldest unpaid invoice for which a past-due subscription keeps the plan."
    )
    grace_runs = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most runs of a period whose invoice is unpaid. Empty: a tenth of the limit."
    )
    job_priority = models.PositiveSmallIntegerField(
        default=0, help_text="Above 0, runs are taken before those of plans with a smaller number."
    )
    is_public = models.BooleanField(default=True, help_text="Shown on the pricing page and in the API.")
    retired_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Not sold since then; who has it keeps it."
    )
    # What the limit was: `{until, runs_limit}`, the oldest first. A period keeps the limit that held as it began.
    earlier_limits = models.JSONField(default=list, db_default=[], editable=False)
    # The catalogue's values when they were last loaded: what differs from them, staff changed.
    loaded = models.JSONField(default=dict, editable=False)

    objects: ClassVar[PlanManager] = PlanManager()

    class Meta:
        ordering: ClassVar = ["rank"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(features__contained_by=Feature.values), name="plan_features_are_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def unpaid_runs_limit(self) -> int | None:
        """Most runs of a period that is not paid yet; None when even then there is no limit."""
        return self._unpaid_of(self.runs_limit)

    def unpaid_runs_limit_of(self, start: datetime) -> int | None:
        """The same of a period that began then."""
        return self._unpaid_of(self.runs_limit_of(start))

    def _unpaid_of(self, limit: int | None) -> int | None:
        return self.grace_runs if self.grace_runs is not None or limit is None else -(-limit // 10)

    def runs_limit_of(self, start: datetime) -> int | None:
        """Runs of a period that begins at `start`; None for no limit."""
        for earlier in self.earlier_limits:
            if start < datetime.fromisoformat(earlier["until"]):
                limit: int | None = earlier["runs_limit"]
                return limit
        return self.runs_limit

    def has(self, feature: str) -> bool:
        return feature in self.features


class Interval(models.TextChoices):
    MONTH = "month"
    YEAR = "year"


class Price(models.Model):
    """How a plan is paid: `unit_amount` in the currency's minor units for each interval."""

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices", db_index=False)
    interval = models.CharField(max_length=5, choices=Interval, default=Interval.MONTH)
    currency = models.CharField(max_length=3, default="usd", help_text="ISO 4217, in lower case as Stripe has it.")
    unit_amount = models.PositiveIntegerField(help_text="In minor units: 1900 is 19.00 USD.")
    stripe_price_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    stripe_product_id = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["plan__rank", "interval", "currency"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["plan", "interval", "currency"], condition=Q(is_active=True), name="price_once_while_active"
            ),
            models.CheckConstraint(condition=Q(interval__in=Interval.values), name="price_interval_is_known"),
            models.CheckConstraint(condition=Q(currency__regex="^[a-z]{3}$"), name="price_currency_is_iso"),
            models.CheckConstraint(condition=~Q(stripe_price_id=""), name="price_stripe_id_is_not_empty"),
            models.CheckConstraint(
                condition=Q(stripe_price_id=None) | ~Q(stripe_product_id=""), name="price_at_stripe_has_a_product"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} {self.unit_amount} {self.currency} a {self.interval}"

    @property
    def in_words(self) -> str:
        return f"{amount_in_words(self.unit_amount, self.currency)} a {self.interval}"

    @property
    def monthly_amount(self) -> int:
        """Minor units a month, a yearly price by twelfths, rounded half up."""
        return self.unit_amount if self.interval == Interval.MONTH else (self.unit_amount + 6) // 12
