"""Periods, half-open and in UTC, and the one that holds an instant. Pure: no database, no clock."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, order=True)
class Period:
    """`start <= at < end`, both aware and in UTC. Raises ValueError when it would be empty."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"A period must begin before it ends: {self.start} to {self.end}.")

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


def calendar_month(at: datetime) -> Period:
    """The calendar month in UTC that holds `at`."""
    return month_of(datetime(at.year, at.month, 1, tzinfo=UTC), at)


def month_of(anchor: datetime, at: datetime) -> Period:
    """The month counted from `anchor` that holds `at`, before the anchor too.

    Every boundary is the anchor moved by whole months, its day cut to the length of the month
    that it falls in, so that 31 January is followed by 28 February and then by 31 March. See
    Stripe, subscriptions: billing cycle anchor.
    """
    count = months_since(anchor, at)
    return Period(months_after(anchor, count), months_after(anchor, count + 1))


def months_since(anchor: datetime, at: datetime) -> int:
    """How many whole months from `anchor` have passed at `at`; below zero before the anchor."""
    count = (at.year - anchor.year) * 12 + at.month - anchor.month
    return count - 1 if months_after(anchor, count) > at else count


def months_after(anchor: datetime, count: int) -> datetime:
    """`anchor` moved by `count` months, always counted from the anchor and never from the month before."""
    years, month = divmod(anchor.month - 1 + count, 12)
    year, month = anchor.year + years, month + 1
    return anchor.replace(year=year, month=month, day=min(anchor.day, calendar.monthrange(year, month)[1]))
