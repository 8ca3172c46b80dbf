"""Billing periods: instants in Unix seconds, counted from an anchor whose day of the month they keep."""

import calendar
from datetime import UTC, datetime, timedelta

from tests.fake_stripe.objects import Object

HOUR = 3600
DAY = 24 * HOUR


def after(start: int, recurring: Object, times: int = 1) -> int:
    """`times` intervals after `start`; 31 January is followed by the last of February and by 31 March."""
    count = recurring["interval_count"] * times
    interval = recurring["interval"]
    begun = datetime.fromtimestamp(start, UTC)
    if interval in ("day", "week"):
        ended = begun + timedelta(days=count * (7 if interval == "week" else 1))
    else:
        months = begun.month - 1 + count * (12 if interval == "year" else 1)
        year, month = begun.year + months // 12, months % 12 + 1
        day = min(begun.day, calendar.monthrange(year, month)[1])
        ended = begun.replace(year=year, month=month, day=day)
    return int(ended.timestamp())


def next_boundary(anchor: int, recurring: Object, instant: int) -> int:
    """The first boundary after `instant` of the periods that are counted from `anchor`."""
    if instant < anchor:
        return anchor
    times = 1
    while (boundary := after(anchor, recurring, times)) <= instant:
        times += 1
    return boundary


def prorated(amount: int, *, at: int, start: int, end: int) -> int:
    """The part of `amount` that the time from `at` to the period's end is worth, to the nearest minor unit."""
    if end <= start:
        return 0
    left, whole = min(max(end - at, 0), end - start), end - start
    sign = -1 if amount < 0 else 1
    return sign * ((2 * abs(amount) * left + whole) // (2 * whole))
