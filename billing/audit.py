"""The audit trail: one line for whatever staff do, written in the transaction that does it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model

from accounts.models import User, Workspace
from billing.models import AuditEntry


def record(
    action: str,
    *,
    target: Model | str,
    reason: str,
    actor: User | None,
    now: datetime,
    workspace: Workspace | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """`target` is a row of ours, or what it is called elsewhere: `stripe:sub_1`. No actor is the service itself."""
    return AuditEntry.objects.create(
        at=now,
        actor_id=actor.pk if actor else None,
        actor_name=actor.email if actor else "",
        action=action,
        workspace_id=workspace.pk if workspace else None,
        workspace_name=workspace.name if workspace else "",
        target=target if isinstance(target, str) else f"{target._meta.model_name}:{target.pk}",
        reason=reason,
        before=before or {},
        after=after or {},
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """`(name, before, after)` of what differs."""
    names = [*before, *(name for name in after if name not in before)]
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
