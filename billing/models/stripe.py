"""What is meant for Stripe is written down before it is asked for."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.db.models.functions import UUID7

from accounts.models import Workspace


class StripeOperation(models.Model):
    """One creation or charge at Stripe. Its id is the call's idempotency key, so that a repetition does nothing twice.

    It is *open* until Stripe's answer is known: whoever wants the same meanwhile sends the same call
    with the same key. Instants are the wall clock's, by which Stripe keeps keys for a day.
    """

    class Kind(models.TextChoices):
        CUSTOMER = "customer"
        CHECKOUT = "checkout"
        PORTAL = "portal"
        PORTAL_CONFIGURATION = "portal_configuration"
        UPGRADE = "upgrade"
        SCHEDULE = "schedule"
        # No creation: what an act takes away before it puts something in its place.
        RESTORE = "restore"
        REFUND = "refund"
        PRODUCT = "product"
        PRICE = "price"

    id = models.UUIDField(primary_key=True, db_default=UUID7(), editable=False)
    workspace = models.ForeignKey(Workspace, null=True, blank=True, on_delete=models.PROTECT, db_index=False)
    kind = models.CharField(max_length=20, choices=Kind)
    intent = models.JSONField(encoder=DjangoJSONEncoder, help_text="What was wanted, in our words.")
    parameters = models.JSONField(encoder=DjangoJSONEncoder, help_text="The call's, exactly as they are sent.")
    stripe_id = models.CharField(max_length=255, blank=True, help_text="Of what Stripe made.")
    error = models.CharField(max_length=300, blank=True, help_text="Why Stripe refused, where it did.")
    keys_spent = models.PositiveSmallIntegerField(
        default=0, help_text="Stripe repeats a stored failure: after each, another key."
    )
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    look_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker sees to it, if whoever began it has not ended it by then."
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "kind", "-id"], name="operation_by_workspace"),
            models.Index(fields=["kind", "-id"], condition=Q(finished_at=None), name="operation_open"),
            models.Index(fields=["kind", "-id"], name="operation_by_kind"),
            models.Index(fields=["stripe_id"], condition=~Q(stripe_id=""), name="operation_by_stripe"),
            models.Index(
                fields=["look_at"], condition=Q(finished_at=None, look_at__isnull=False), name="operation_left_open"
            ),
        ]
        constraints: ClassVar = [
            # Invariant 10: of any number who find no customer at once, all send one and the same call.
            models.UniqueConstraint(
                fields=["workspace"], condition=Q(kind="customer", finished_at=None), name="operation_one_customer"
            ),
            models.CheckConstraint(condition=Q(finished_at=None) | ~Q(stripe_id="", error=""), name="operation_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.stripe_id or self.pk}"

    @property
    def key(self) -> str:
        """The idempotency key of the next call."""
        return f"{self.pk}-{self.keys_spent}" if self.keys_spent else str(self.pk)
