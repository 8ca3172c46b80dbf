"""What is asked of Stripe and makes something there is written down first, and is found again after a failure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from accounts.models import Workspace
from billing import gateway
from billing.models import StripeOperation

# Stripe keeps idempotency keys for a day; an operation that is older is not sent again.
KEPT = timedelta(hours=23)
# Of these nothing is left at Stripe, or nothing that names them; all others tell who asked for what is there.
PASSING: Final = (StripeOperation.Kind.CHECKOUT, StripeOperation.Kind.PORTAL, StripeOperation.Kind.RESTORE)

type Parameters = dict[str, Any]


def begin(
    kind: StripeOperation.Kind,
    *,
    intent: Parameters,
    workspace: Workspace | None = None,
    parameters: Parameters | Callable[[StripeOperation], Parameters],
) -> StripeOperation:
    """The open operation with this intent, or a new one. It outlives whatever becomes of the call.

    Another open operation of the kind is given up: nobody wants it any more, and what it may have
    done is seen when Stripe is asked.
    """
    now = datetime.now(UTC)
    with transaction.atomic():
        still_open = StripeOperation.objects.filter(workspace=workspace, kind=kind, finished_at=None)
        for operation in still_open.select_for_update():
            if operation.intent == intent and operation.created_at > now - KEPT:
                return operation
            give_up(operation, "Superseded")
        operation = StripeOperation(kind=kind, workspace=workspace, intent=intent, parameters={}, created_at=now)
        operation.save(force_insert=True)
        # What Stripe keeps of us names the operation, whose id the database gives.
        operation.parameters = parameters(operation) if callable(parameters) else parameters
        operation.save(update_fields=["parameters"])
    return operation


def carry_out(operation: StripeOperation) -> Any:
    """What Stripe made. Raises what `gateway` raises."""
    made = send(operation)
    finish(operation, made.id)
    return made


def send(operation: StripeOperation) -> Any:
    """The same, and leaves the operation open: for effects that count once they are seen in our rows.

    While it is not known what became of the call it stays open too.
    """
    try:
        return gateway.create(operation)
    except (gateway.StripeRefused, gateway.PaymentFailed) as error:
        give_up(operation, str(getattr(error, "message", "")) or error.code)
        raise
    except gateway.StripeUnavailable as error:
        if error.is_key_spent:
            StripeOperation.objects.filter(pk=operation.pk).update(keys_spent=F("keys_spent") + 1)
        raise


def find_open(kind: StripeOperation.Kind, *, workspace: Workspace, intent: Parameters) -> StripeOperation | None:
    return StripeOperation.objects.filter(
        workspace=workspace, kind=kind, intent=intent, finished_at=None, created_at__gt=datetime.now(UTC) - KEPT
    ).first()


def give_up_open(kind: StripeOperation.Kind, *, workspace: Workspace) -> None:
    """Nobody wants them any more."""
    StripeOperation.objects.filter(workspace=workspace, kind=kind, finished_at=None).update(
        error="Superseded", finished_at=datetime.now(UTC)
    )


def finish(operation: StripeOperation, stripe_id: str) -> None:
    operation.stripe_id, operation.finished_at = stripe_id, datetime.now(UTC)
    operation.save(update_fields=["stripe_id", "finished_at"])


def give_up(operation: StripeOperation, error: str) -> None:
    operation.error, operation.finished_at = error[:300], datetime.now(UTC)
    operation.save(update_fields=["error", "finished_at"])


def forget_old(*, before: datetime) -> None:
    """Pages that somebody was led to, and what was put back: once ended, and by age."""
    StripeOperation.objects.filter(kind__in=PASSING, finished_at__lt=before).delete()
