"""The 402s that were answered, kept for whoever wonders afterwards why something was not started.

A program that is refused asks again and again, so a refusal must cost next to nothing: the process
counts, and writes at most once a minute for each workspace and code, after the answer has gone out
and outside its transaction. What it counted since the last write is lost with it, so a row says at least.
"""

import logging
import time
import uuid
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from django.db import Error, connection
from django.db.models import Max, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http.response import HttpResponseBase

from accounts import clock
from accounts.models import Workspace
from billing.models import Refusal

log = logging.getLogger(__name__)

WRITTEN_EVERY = 60.0
# Of workspaces and codes that a process counts at once; beyond that the oldest are forgotten.
MOST = 10_000
KEPT = timedelta(days=90)

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
        with self._lock:
            count, written = self._counted.get(kind, (0, second - WRITTEN_EVERY))
            if second - written < WRITTEN_EVERY:
                self._counted[kind] = count + 1, written
                return 0
            # Taken out first, so that it is put last.
            self._counted.pop(kind, None)
            self._counted[kind] = 0, second
            if len(self._counted) > MOST:
                del self._counted[next(iter(self._counted))]
            return count + 1


_tally = Tally()


def note(response: HttpResponseBase, *, workspace_id: uuid.UUID, code: str, plan_id: uuid.UUID) -> None:
    """Count a refusal that `response` answers; what is due is written when the response has been sent."""
    count = _tally.add((workspace_id, code), second=time.monotonic())
    if count:
        closers: list[Any] = response._resource_closers  # type: ignore[attr-defined]  # what runs when it is closed
        closers.append(lambda: _write(workspace_id, code, plan_id, count, clock.now()))


def recent(workspace: Workspace, *, now: datetime) -> QuerySet[Any, Any]:
    """`{day, code, plan__name, times, latest}` of the viewer's days, the latest first."""
    found = Refusal.objects.filter(workspace=workspace, hour__gt=now - KEPT)
    days = found.annotate(day=TruncDate("last_at")).values("day", "code", "plan__name")
    return days.annotate(times=Sum("count"), latest=Max("last_at")).order_by("-latest")


def forget_old(now: datetime) -> int:
    """Delete what is kept no longer; the number of rows."""
    return Refusal.objects.filter(hour__lt=now - KEPT).delete()[0]


_WRITE = """
INSERT INTO billing_refusal AS r (workspace_id, code, plan_id, hour, count, last_at)
VALUES (%(workspace)s, %(code)s, %(plan)s, %(hour)s, %(count)s, %(now)s)
ON CONFLICT (workspace_id, code, hour) DO UPDATE
    SET count = r.count + EXCLUDED.count, plan_id = EXCLUDED.plan_id, last_at = GREATEST(r.last_at, EXCLUDED.last_at)
"""


def _write(workspace_id: uuid.UUID, code: str, plan_id: uuid.UUID, count: int, now: datetime) -> None:
    """A refusal that could not be written down is still a refusal: it is logged, and no more."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                _WRITE,
                {"workspace": workspace_id, "code": code, "plan": plan_id, "hour": hour, "count": count, "now": now},
            )
    except Error as error:
        log.warning("A refusal of workspace %s was not written down: %s", workspace_id, error)
