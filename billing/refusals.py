"""The 402s that were answered, kept for whoever wonders afterwards why something was not started.

A program that is refused asks again and again, so a refusal must cost next to nothing: the process
counts, and writes at most once in REFUSALS_WRITTEN_EVERY seconds for each workspace and code, after the answer
has gone out and outside its transaction. What it counted since the last write is lost with it, so a row says at least.
"""

import json
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connection
from django.db.models import Max, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http.response import HttpResponseBase

from accounts import clock
from accounts.models import Workspace
from billing.models import Refusal

log = logging.getLogger(__name__)

# Of workspaces and codes that a process counts at once; beyond that the oldest are forgotten.
MOST = 10_000


def kept() -> timedelta:
    """For how long; the setting is in days."""
    return timedelta(days=settings.REFUSALS_KEPT_DAYS)


type Kind = tuple[uuid.UUID, str]


class Tally:
    """What was counted and not written yet, by workspace and code."""

    def __init__(self) -> None:
        self._lock = Lock()
        # The count since the last write and the second of that write, the oldest first.
        self._counted: dict[Kind, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._counted)

    def add(self, kind: Kind, *, second: float) -> int:
        """How many to write now; 0 while the last write is less than a minute ago."""
        every: float = settings.REFUSALS_WRITTEN_EVERY
        with self._lock:
            count, written = self._counted.get(kind, (0, second - every))
            if second - written < every:
                self._counted[kind] = count + 1, written
                return 0
            # Taken out first, so that it is put last.
            self._counted.pop(kind, None)
            self._counted[kind] = 0, second
            if len(self._counted) > MOST:
                del self._counted[next(iter(self._counted))]
            return count + 1


_tally = Tally()


def note(
    response: HttpResponseBase,
    *,
    workspace_id: uuid.UUID,
    code: str,
    user_id: uuid.UUID | None,
    plan_id: uuid.UUID,
    held: dict[str, Any],
) -> None:
    """Count a refusal that `response` answers; what is due is written when the response has been sent."""
    count = _tally.add((workspace_id, code), second=time.monotonic())
    if count:
        closers: list[Any] = response._resource_closers  # type: ignore[attr-defined]  # what runs when it is closed
        refused = Refused(workspace_id, code, user_id, plan_id, held)
        closers.append(lambda: _write(refused, count, clock.now()))


@dataclass(frozen=True)
class Refused:
    """Whom, with which code, and what they were entitled to."""

    workspace_id: uuid.UUID
    code: str
    user_id: uuid.UUID | None
    plan_id: uuid.UUID
    held: dict[str, Any]


def recent(workspace: Workspace, *, now: datetime) -> QuerySet[Any, Any]:
    """`{day, code, plan__name, times, latest}` of the viewer's days, the latest first."""
    found = Refusal.objects.filter(workspace=workspace, minute__gt=now - kept())
    days = found.annotate(day=TruncDate("last_at")).values("day", "code", "plan__name")
    return days.annotate(times=Sum("count"), latest=Max("last_at")).order_by("-latest")


def forget_old(now: datetime) -> int:
    """Delete what is kept no longer; the number of rows."""
    return Refusal.objects.filter(minute__lt=now - kept()).delete()[0]


_WRITE = """
INSERT INTO billing_refusal AS r (workspace_id, code, user_id, plan_id, held, minute, count, last_at)
VALUES (%(workspace)s, %(code)s, %(user)s, %(plan)s, %(held)s, %(minute)s, %(count)s, %(now)s)
ON CONFLICT (workspace_id, code, minute) DO UPDATE
    SET count = r.count + EXCLUDED.count, plan_id = EXCLUDED.plan_id, user_id = EXCLUDED.user_id,
        held = EXCLUDED.held, last_at = GREATEST(r.last_at, EXCLUDED.last_at)
"""


def _write(refused: Refused, count: int, now: datetime) -> None:
    """A refusal that could not be written down is still a refusal: it is logged, and no more."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                _WRITE,
                {
                    "workspace": refused.workspace_id,
                    "code": refused.code,
                    "user": refused.user_id,
                    "plan": refused.plan_id,
                    "held": json.dumps(refused.held, cls=DjangoJSONEncoder),
                    "minute": now.replace(second=0, microsecond=0),
                    "count": count,
                    "now": now,
                },
            )
    except Error as error:
        log.warning("A refusal of workspace %s was not written down: %s", refused.workspace_id, error)
