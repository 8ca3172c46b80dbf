"""The shapes of the billing endpoints."""

from typing import Any

from rest_framework import serializers

from accounts.redirects import RedirectURLField
from billing.entitlements import grace_end
from billing.lifecycle import Standing
from billing.models import Feature, Interval, LedgerEntry, Plan, Price, Source
from billing.quotas import Quota, status_of


class PriceSerializer(serializers.ModelSerializer[Price]):
    class Meta:
        model = Price
        fields = ("id", "interval", "currency", "unit_amount")


class PlanSerializer(serializers.ModelSerializer[Plan]):
    plan = serializers.SlugField(source="slug")
    monthly_agent_runs_limit = serializers.IntegerField(source="runs_limit", allow_null=True)
    features = serializers.ListField(child=serializers.ChoiceField(choices=Feature.choices))
    prices = PriceSerializer(many=True)

    class Meta:
        model = Plan
        fields = ("plan", "name", "description", "monthly_agent_runs_limit", "features", "prices")


class SubscriptionSerializer(serializers.Serializer[Any]):
    """The Subscription of API.md; `plan`, `source`, limits and period say the entitlement at this instant."""

    id = serializers.UUIDField()
    workspace_id = serializers.UUIDField()
    user_id = serializers.UUIDField(help_text="The workspace's owner.")
    plan = serializers.SlugField()
    plan_name = serializers.CharField()
    status = serializers.CharField(help_text="active, trialing, or Stripe's own word.")
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # Field has a `source` too
    monthly_agent_runs = serializers.IntegerField()
    monthly_agent_runs_limit = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")
    runs_remaining = serializers.IntegerField(
        allow_null=True, help_text="The period's rest plus credits; null: unlimited."
    )
    credits = serializers.IntegerField()
    current_period_start = serializers.DateTimeField()
    current_period_end = serializers.DateTimeField()
    cancel_at_period_end = serializers.BooleanField()
    canceled_at = serializers.DateTimeField(allow_null=True)
    is_trial = serializers.BooleanField()
    trial_start = serializers.DateTimeField(allow_null=True)
    trial_end = serializers.DateTimeField(allow_null=True)
    trial_available = serializers.BooleanField()
    has_stripe_customer = serializers.BooleanField()
    pending_plan = serializers.SlugField(allow_null=True)
    pending_at = serializers.DateTimeField(allow_null=True)
    grace_until = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


def subscription_shape(quota: Quota, standing: Standing) -> dict[str, Any]:
    """What SubscriptionSerializer describes, from facts already read; made here, in a fraction of its time."""
    subscription, held = quota.subscription, quota.entitlement
    return {
        "id": subscription.pk,
        "workspace_id": subscription.workspace_id,
        "user_id": standing.owner_id,
        "plan": held.plan.slug,
        "plan_name": held.plan.name,
        "status": status_of(subscription, held),
        "source": held.source,
        "monthly_agent_runs": quota.used,
        "monthly_agent_runs_limit": quota.limit,
        "runs_remaining": quota.remaining,
        "credits": quota.credits,
        "current_period_start": held.period.start,
        "current_period_end": held.period.end,
        "cancel_at_period_end": subscription.cancel_at is not None,
        "canceled_at": subscription.canceled_at,
        "is_trial": held.source == Source.TRIAL,
        "trial_start": subscription.trial_start,
        "trial_end": subscription.trial_end,
        "trial_available": not standing.is_trial_used and held.source in (Source.FREE, Source.TRIAL),
        "has_stripe_customer": subscription.stripe_customer_id is not None,
        "pending_plan": subscription.pending_plan.slug if subscription.pending_plan else None,
        "pending_at": subscription.pending_at,
        "grace_until": grace_end(subscription),
        "created_at": subscription.created_at,
        "updated_at": subscription.updated_at,
    }


class TrialActivatedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    trial_end = serializers.DateTimeField()
    runs_limit = serializers.IntegerField(allow_null=True)
    subscription = SubscriptionSerializer()


class UsageQuerySerializer(serializers.Serializer[Any]):
    """`?from&to`, dates, half-open; the view fills in the present period's for what is left out."""

    # `from` is a word of the language, so these two are given by get_fields.
    to = serializers.DateField(required=False)

    LONGEST_DAYS = 400

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {"from": serializers.DateField(required=False), **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["to"] <= attrs["from"]:
            raise serializers.ValidationError({"to": ["The range is half-open: `to` must be after `from`."]})
        if (attrs["to"] - attrs["from"]).days > self.LONGEST_DAYS:
            raise serializers.ValidationError({"to": [f"At most {self.LONGEST_DAYS} days at once."]})
        return attrs


class PeriodSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class DaySerializer(serializers.Serializer[Any]):
    date = serializers.DateField()
    runs = serializers.IntegerField()


class ForecastSerializer(serializers.Serializer[Any]):
    exhausted_on = serializers.DateField(allow_null=True)


class UsageSerializer(serializers.Serializer[Any]):
    period = PeriodSerializer()
    used = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    credits = serializers.IntegerField()
    per_day = DaySerializer(many=True)
    forecast = ForecastSerializer()


class LedgerEntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    bucket = serializers.SerializerMethodField(help_text="`period`, or a grant's id.")

    class Meta:
        model = LedgerEntry
        fields = ("id", "kind", "quantity", "run_id", "bucket", "balance", "created_at")

    def get_bucket(self, entry: LedgerEntry) -> str:
        return "period" if entry.period_id else str(entry.grant_id)


class PlanWordField(serializers.CharField):
    """A plan's word, in any case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=50, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).lower()


class ChoiceSerializer(serializers.Serializer[Any]):
    plan = PlanWordField()
    interval = serializers.ChoiceField(choices=Interval.choices, required=False)


class CheckoutSerializer(ChoiceSerializer):
    currency = serializers.RegexField(
        "^[A-Za-z]{3}$", required=False, help_text="ISO 4217; by default the one this workspace pays in."
    )
    success_url = RedirectURLField(required=False, help_text="`{CHECKOUT_SESSION_ID}` in it is filled in.")
    cancel_url = RedirectURLField(required=False)

    def validate_currency(self, currency: str) -> str:
        return currency.lower()


class CheckoutStartedSerializer(serializers.Serializer[Any]):
    checkout_session_id = serializers.CharField()
    checkout_url = serializers.URLField()


class PortalSerializer(serializers.Serializer[Any]):
    return_url = RedirectURLField(required=False)


class PortalOpenedSerializer(serializers.Serializer[Any]):
    portal_url = serializers.URLField()


class CancelSerializer(serializers.Serializer[Any]):
    # Stripe keeps comments of this length.
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True)


class LineSerializer(serializers.Serializer[Any]):
    description = serializers.CharField()
    amount = serializers.IntegerField(help_text="In minor units; credits are below zero.")


class RunsSerializer(serializers.Serializer[Any]):
    used = serializers.IntegerField()
    limit_before = serializers.IntegerField(allow_null=True)
    limit_after = serializers.IntegerField(allow_null=True)
    remaining_after = serializers.IntegerField(allow_null=True)


class PreviewSerializer(serializers.Serializer[Any]):
    effective = serializers.ChoiceField(choices=["now", "period_end"])
    effective_at = serializers.DateTimeField()
    amount_due = serializers.IntegerField(help_text="In minor units, at `effective_at`.")
    currency = serializers.CharField()
    lines = LineSerializer(many=True)
    runs = RunsSerializer()


class InvoiceSerializer(serializers.Serializer[Any]):
    """An invoice as Stripe last had it, from the mirror."""

    id = serializers.CharField()
    number = serializers.CharField(source="stripe_data.number", allow_null=True)
    status = serializers.CharField(source="stripe_data.status")
    total = serializers.IntegerField(source="stripe_data.total", help_text="In minor units.")
    currency = serializers.CharField(source="stripe_data.currency")
    created_at = serializers.DateTimeField(source="created")
    hosted_invoice_url = serializers.URLField(source="stripe_data.hosted_invoice_url", allow_null=True)
    invoice_pdf = serializers.URLField(source="stripe_data.invoice_pdf", allow_null=True)
