"""A change at the period's end is a schedule at Stripe: made in two calls, taken back in one."""

from typing import Any

from billing import gateway
from billing.lifecycle import operations
from billing.models import Price, StripeOperation, Subscription
from billing.snapshots import Held, id_of


def intent_of(live: Held, price: Price) -> dict[str, Any]:
    return {"subscription": live.id, "price": price.stripe_price_id}


def schedule_change(subscription: Subscription, live: Held, price: Price) -> tuple[StripeOperation, str]:
    """Two calls; one that has only the first of its phases changes nothing, and is released by the next act.

    The operation is left open, until our rows show what it did.
    """
    operation = operations.begin(
        StripeOperation.Kind.SCHEDULE,
        workspace=subscription.workspace,
        intent=intent_of(live, price),
        parameters={"from_subscription": live.id},
    )
    made = operations.send(operation)
    present = made.phases[0]
    discounts: dict[str, Any] = {}
    if present.discounts:
        # A phase that names none would take the customer's in place of the subscription's.
        discounts = {"discounts": [{"discount": id_of(one.discount)} for one in present.discounts if one.discount]}
    phases: list[dict[str, Any]] = [
        {
            "items": [{"price": id_of(item.price), "quantity": item.quantity} for item in present["items"]],
            "start_date": present.start_date,
            "end_date": int(live.end.timestamp()),
            **discounts,
        },
        {
            "items": [{"price": price.stripe_price_id, "quantity": 1}],
            "duration": {"interval": price.interval, "interval_count": 1},
            **discounts,
        },
    ]
    metadata = {"workspace_id": str(subscription.workspace_id), "operation_id": str(operation.pk)}
    try:
        gateway.set_phases(made.id, phases, metadata)
    except gateway.StripeRefused as error:
        operations.give_up(operation, error.message)
        raise
    return operation, str(made.id)


def release(subscription: Subscription, live: Held) -> None:
    """A subscription with a schedule refuses changes of its plan and its end."""
    if live.schedule is not None:
        # Sent again, its creation would be answered with the schedule that is released here.
        operations.give_up_open(StripeOperation.Kind.SCHEDULE, workspace=subscription.workspace)
        gateway.release_schedule(live.schedule["id"])
