"""What billing adds to the statement that authenticates a request: the subscription, its plans, its counters."""

from collections.abc import Sequence
from typing import Any

from accounts.access import Addition, Join
from accounts.models import Workspace
from billing import quotas
from billing.models import Plan, Subscription
from billing.models.subscriptions import PLANS


def _attach(workspace: Workspace, instances: Sequence[Any], values: Sequence[Any]) -> None:
    subscription, *plans = instances
    subscription.workspace = workspace
    for name, plan in zip(PLANS, plans, strict=True):
        # As select_related would: an empty foreign key is known to be empty.
        subscription._state.fields_cache[name] = plan
    quotas.remember_counters(subscription, *values)


ADDITION = Addition(
    joins=(
        Join(Subscription, "s", "s.workspace_id = w.id"),
        *(Join(Plan, name, f"{name}.id = s.{name}_id") for name in PLANS),
    ),
    expressions=quotas.COUNTERS,
    attach=_attach,
)
