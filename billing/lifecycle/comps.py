"""The comp: a plan that staff give, with a reason and an end."""

from datetime import datetime

from django.db import transaction

from accounts.models import User
from billing import audit
from billing.models import Plan, Subscription, SubscriptionChange


def comp(
    subscription: Subscription, *, plan: Plan, until: datetime, reason: str, actor: User | None, now: datetime
) -> None:
    """Give a plan until an instant. Raises ValueError for an end that is past and for an empty reason."""
    if until <= now:
        raise ValueError("A comp must end in the future.")
    if not reason.strip():
        raise ValueError("A comp needs a reason.")
    with transaction.atomic():
        subscription.lock()
        before = subscription.facts()
        # One that is extended or changed keeps its beginning, and with it its months: nothing is refilled.
        is_running = subscription.comp_end is not None and now < subscription.comp_end
        subscription.change(
            cause=SubscriptionChange.COMP,
            now=now,
            actor=actor,
            comp_plan=plan,
            comp_start=subscription.comp_start if is_running else now,
            comp_end=until,
            comp_reason=reason,
        )
        audit.record(
            "comp",
            target=subscription,
            workspace=subscription.workspace,
            reason=reason,
            actor=actor,
            now=now,
            before=before,
            after=subscription.facts(),
        )
