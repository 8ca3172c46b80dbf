"""Plans and subscriptions that no database holds: facts for what is pure."""

import uuid
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from billing.catalogue import CATALOGUE
from billing.models import Interval, Plan, Subscription

PLANS = {
    entry.slug: Plan(id=uuid.uuid5(uuid.NAMESPACE_DNS, entry.slug), slug=entry.slug, **entry.values)
    for entry in CATALOGUE
}
FREE, TRIAL, BASIC, PRO, ENTERPRISE = (PLANS[entry.slug] for entry in CATALOGUE)


def at(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def instants(first: datetime, last: datetime) -> st.SearchStrategy[datetime]:
    return st.datetimes(first.replace(tzinfo=None), last.replace(tzinfo=None), timezones=st.just(UTC))


def facts(**given: Any) -> Subscription:
    """A subscription on FREE, and what else is given."""
    return Subscription(workspace_id=uuid.UUID(int=1), base_plan=FREE, **given)


def paid(plan: Plan, start: datetime, end: datetime, **given: Any) -> dict[str, Any]:
    """What Stripe holds of an active monthly subscription whose period is paid."""
    return {
        "paid_plan": plan,
        "stripe_status": "active",
        "paid_interval": Interval.MONTH,
        "paid_anchor": start,
        "paid_start": start,
        "paid_end": end,
        "is_period_paid": True,
        "first_paid_at": start,
    } | given


def trial(start: datetime, end: datetime) -> dict[str, Any]:
    return {"trial_plan": TRIAL, "trial_start": start, "trial_end": end}


def comp(plan: Plan, start: datetime, end: datetime) -> dict[str, Any]:
    return {"comp_plan": plan, "comp_start": start, "comp_end": end, "comp_reason": "Test"}
