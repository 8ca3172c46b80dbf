"""The inbox of Stripe's deliveries, and how far Stripe's own list was read."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class StripeEvent(models.Model):
    """A doorbell: it says whom to look at, and nothing of it is believed but its type, id and customer.

    Instants are the wall clock's, but for `created_at`, which is Stripe's.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        # Tried for a day in vain; staff see it and can have it tried again.
        DEAD = "dead"
        # For a day no workspace had this customer.
        UNMATCHED = "unmatched"

    stripe_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    customer = models.CharField(max_length=255, blank=True)
    points_to = models.CharField(
        max_length=255, blank=True, help_text="A charge or payment by which the customer is found, or an object."
    )
    payload = models.JSONField()
    created_at = models.DateTimeField()
    received_at = models.DateTimeField()
    is_caught_up = models.BooleanField(default=False, help_text="Found in Stripe's list, and not delivered.")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["customer"], condition=Q(state="waiting"), name="event_waiting_by_customer"),
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="event_waiting_by_instant"),
            models.Index(fields=["state", "-id"], condition=~Q(state="done"), name="event_not_done"),
            models.Index(fields=["customer", "-id"], name="event_by_customer"),
            models.Index(fields=["type", "-id"], name="event_by_type"),
            models.Index(fields=["done_at"], condition=Q(state="done"), name="event_done"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state="done") ^ Q(done_at=None), name="event_done_has_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"


class EventCursor(models.Model):
    """One row: the newest event of Stripe's list that is in the inbox."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    stripe_id = models.CharField(max_length=255)
    read_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="event_cursor_is_one")]

    def __str__(self) -> str:
        return self.stripe_id
