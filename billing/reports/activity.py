"""What happened day by day: runs charged and given back, refusals, deliveries of Stripe."""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

from django.db import connection

from billing.reports.spans import Span

#: A delivery is late that was not worked off within this.
LATE: Final = timedelta(minutes=5)
# After a day an event is worked off, or given up and no longer waiting.
WORKED_OFF: Final = timedelta(days=2)


@dataclass
class Activity:
    """Of a day. `refunds` are the runs that were given back on it, whenever they had been charged."""

    runs: int = 0
    refunds: int = 0
    refusals: int = 0
    received: int = 0
    late: int = 0

    def add(self, other: "Activity") -> None:
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


def activity_by_day(span: Span) -> dict[date, Activity]:
    """Of every day of the span; one statement, which reads the span's own rows and no others.

    The ledger is read by its ids, in which the instant is. Deliveries are read by when they were done:
    nothing else of theirs is in an index, and what is not done is little.
    """
    least, beyond = span.ids
    since, until = span.wall
    values: dict[str, Any] = {
        "least": least,
        "beyond": beyond,
        "since": span.since,
        "until": span.until,
        "wall_since": since,
        "wall_until": until,
        "done_until": until + WORKED_OFF,
        "offset": span.offset,
        "late": LATE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY, values)
        rows = cursor.fetchall()
    days = {day: Activity() for day in span.days}
    for day, runs, refunds, refusals, received, late in rows:
        days.setdefault(day, Activity()).add(Activity(runs, refunds, refusals, received, late))
    return days


_BY_DAY = """
SELECT (created_at AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE kind = 'consume'),
    count(*) FILTER (WHERE kind = 'refund'), 0, 0, 0
FROM billing_ledgerentry
WHERE id >= %(least)s AND id < %(beyond)s AND created_at >= %(since)s AND created_at < %(until)s
    AND kind IN ('consume', 'refund')
GROUP BY 1
UNION ALL
SELECT (minute AT TIME ZONE 'UTC')::date, 0, 0, sum(count)::bigint, 0, 0
FROM billing_refusal WHERE minute >= %(since)s AND minute < %(until)s
GROUP BY 1
UNION ALL
SELECT ((received_at + %(offset)s) AT TIME ZONE 'UTC')::date, 0, 0, 0, count(*),
    count(*) FILTER (WHERE done_at - received_at > %(late)s)
FROM (
    SELECT received_at, done_at FROM billing_stripeevent
    WHERE state = 'done' AND done_at >= %(wall_since)s AND done_at < %(done_until)s
    UNION ALL
    SELECT received_at, now() FROM billing_stripeevent WHERE state <> 'done'
) events
WHERE received_at >= %(wall_since)s AND received_at < %(wall_until)s
GROUP BY 1
"""
