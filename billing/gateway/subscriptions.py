"""What is done to a subscription."""

from datetime import datetime
from typing import Any

import stripe

from billing.gateway.connection import client, errors


def preview(parameters: dict[str, Any]) -> stripe.Invoice:
    """The invoice that a change would make; nothing is made."""
    with errors("preview an invoice"):
        return client().v1.invoices.create_preview(parameters)  # type: ignore[arg-type]


def schedule_cancel(subscription: str, *, reason: str = "") -> None:
    """At the end of the period."""
    change: Any = {"cancel_at_period_end": True}
    if reason:
        change["cancellation_details"] = {"comment": reason}
    with errors("schedule a cancel"):
        client().v1.subscriptions.update(subscription, change)


def keep(subscription: str, *, is_by_flag: bool) -> None:
    """Take a scheduled cancel back. The portal sets `cancel_at` and leaves the flag alone."""
    change: Any = {"cancel_at_period_end": False} if is_by_flag else {"cancel_at": ""}
    with errors("take back a cancel"):
        client().v1.subscriptions.update(subscription, change)


def cancel_now(subscription: str, *, reason: str = "") -> None:
    details: Any = {"cancellation_details": {"comment": reason}} if reason else {}
    with errors("cancel a subscription"):
        client().v1.subscriptions.cancel(subscription, details)


def resume_paused(subscription: str) -> stripe.Subscription:
    """Of one that its trial's end paused."""
    with errors("resume a paused subscription"):
        return client().v1.subscriptions.resume(
            subscription, {"billing_cycle_anchor": "now", "expand": ["latest_invoice"]}
        )


def pause_collection(subscription: str, *, until: datetime | None = None) -> None:
    """The status stays active and no money is taken: invoices meanwhile are void."""
    pause: Any = {"behavior": "void"} | ({"resumes_at": int(until.timestamp())} if until else {})
    with errors("pause collection"):
        client().v1.subscriptions.update(subscription, {"pause_collection": pause})


def unpause_collection(subscription: str) -> None:
    with errors("unpause collection"):
        client().v1.subscriptions.update(subscription, {"pause_collection": ""})


def set_phases(id: str, phases: list[dict[str, Any]], metadata: dict[str, str]) -> None:
    """After the last phase the subscription goes on by itself."""
    parameters: Any = {
        "phases": phases,
        "end_behavior": "release",
        "proration_behavior": "none",
        "metadata": metadata,
    }
    with errors("change a schedule"):
        client().v1.subscription_schedules.update(id, parameters)


def release_schedule(id: str) -> None:
    with errors("release a schedule"):
        client().v1.subscription_schedules.release(id)
