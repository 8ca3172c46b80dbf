"""What is scheduled is put back when an act that took it away is cut short.

An upgrade first clears a scheduled cancel, a cancel first releases a scheduled change. Between such
two calls Stripe may fall silent or this process die; what was scheduled is therefore written down before.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from billing import gateway
from billing.lifecycle import operations, standing
from billing.lifecycle.schedules import schedule_change
from billing.models import Price, StripeOperation, Subscription, SubscriptionChange
from billing.snapshots import Held, id_of

Kind = StripeOperation.Kind

# An act that is still at work after this has died.
LOOKED_AFTER: Final = timedelta(minutes=2)


def remember(subscription: Subscription, live: Held) -> StripeOperation | None:
    """What is scheduled now, or was when an act before this one was cut short; None where nothing is."""
    left = _open(subscription)
    if left is not None and left.intent["subscription"] == live.id:
        return left
    intent = {
        "subscription": live.id,
        "present": id_of(live.item["price"]),
        "is_cancelled": live.data["cancel_at"] is not None or bool(live.data["cancel_at_period_end"]),
        "next": id_of(live.next_phase["items"][0]["price"]) if live.next_phase else "",
    }
    if not intent["is_cancelled"] and not intent["next"]:
        return None
    operation = operations.begin(Kind.RESTORE, workspace=subscription.workspace, intent=intent, parameters={})
    operation.look_at = datetime.now(UTC) + LOOKED_AFTER
    operation.save(update_fields=["look_at"])
    return operation


def forget(operation: StripeOperation | None) -> None:
    """The act came through: what it took away is gone because it was wanted so."""
    if operation is not None:
        operations.finish(operation, operation.intent["subscription"])


def put_back(subscription: Subscription, live: Held, operation: StripeOperation | None) -> None:
    """Unless something else is scheduled, or the plan has become another. Raises what `gateway` raises."""
    if operation is None:
        return
    intent = operation.intent
    is_as_it_was = live.id == intent["subscription"] and id_of(live.item["price"]) == intent["present"]
    if is_as_it_was and live.cancel_at is None and live.next_phase is None:
        if intent["is_cancelled"]:
            gateway.schedule_cancel(live.id)
        elif price := Price.objects.filter(stripe_price_id=intent["next"]).first():
            operations.finish(*schedule_change(subscription, live, price))
    forget(operation)


def settle(subscription: Subscription, *, now: datetime) -> None:
    """For the worker: an act died, and nobody has asked for it again. Safe to repeat."""
    with standing.turn_of(subscription):
        operation = _open(subscription)
        if operation is None:
            return
        snapshot = standing.look(subscription, now=now)
        if snapshot is None or snapshot.live is None:
            forget(operation)
            return
        for kind in (Kind.UPGRADE, Kind.SCHEDULE):
            operations.give_up_open(kind, workspace=subscription.workspace)
        put_back(subscription, snapshot.live, operation)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)


@transaction.atomic
def unsettled() -> list[str]:
    """Workspaces whose act died; each is handed out once a LOOKED_AFTER."""
    wall = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_stripeoperation SET look_at = %(again)s
            WHERE finished_at IS NULL AND look_at <= %(wall)s RETURNING workspace_id
            """,
            {"wall": wall, "again": wall + LOOKED_AFTER},
        )
        return [str(workspace) for (workspace,) in cursor.fetchall()]


def _open(subscription: Subscription) -> StripeOperation | None:
    return StripeOperation.objects.filter(
        workspace=subscription.workspace_id, kind=Kind.RESTORE, finished_at=None
    ).first()
