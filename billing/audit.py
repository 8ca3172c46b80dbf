"""The audit trail: one line for whatever staff do, written in the transaction that does it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Model

from accounts.models import User, Workspace
from billing.models import AuditEntry, Plan, Price

UUID_LENGTH = 36


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
    """`(name, before, after)` of what differs. Empty is as if it was not there, and so is a no that came first."""
    names = [*before, *(name for name in after if name not in before)]
    pairs = ((name, _filled(before.get(name)), _filled(after.get(name))) for name in names)
    return [(name, was, now) for name, was, now in pairs if was != now and not (was is None and now is False)]


def _filled(value: Any) -> Any:
    return None if value == "" or value == [] or value == {} else value


def in_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The same for a reader: plans and prices by name. Two statements where there are any, else none."""
    found = changes(before, after)
    ids = {str(value) for name, *both in found if name.endswith(("plan_id", "price_id")) for value in both if value}
    names: dict[str, str] = {}
    if ids:
        named = [id for id in ids if len(id) == UUID_LENGTH]
        names = {str(plan.pk): plan.name for plan in Plan.objects.filter(pk__in=named)}
        names |= {str(price.pk): price.in_words for price in Price.objects.filter(pk__in=named)}
    return [
        (name.removesuffix("_id").replace("_", " "), names.get(str(was), was), names.get(str(now), now))
        for name, was, now in found
    ]


def actions() -> list[str]:
    """What was ever done, each once; read along the index, from one to the next."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE known AS (
                (SELECT action FROM billing_auditentry ORDER BY action LIMIT 1)
                UNION ALL
                SELECT (SELECT a.action FROM billing_auditentry a WHERE a.action > known.action
                        ORDER BY a.action LIMIT 1)
                FROM known WHERE known.action IS NOT NULL
            )
            SELECT action FROM known WHERE action IS NOT NULL
            """
        )
        return [action for (action,) in cursor.fetchall()]
