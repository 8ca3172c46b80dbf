"""Stretches of time, in days of UTC, and where in a table that is ordered by its ids they lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

DAY: Final = timedelta(days=1)
# An id is made when its row is written, and the row may be of the instant at which its request began.
SLACK: Final = timedelta(hours=1)
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """Half-open, `[since, until)`, on the domain's clock.

    `offset` is by how much that clock is ahead of the wall clock now: nothing in production. Where time
    was travelled, rows of the span were written at any offset between none and this one.
    """

    since: datetime
    until: datetime
    offset: timedelta = timedelta()

    @property
    def days(self) -> Iterator[date]:
        day = self.since.date()
        while beginning_of(day) < self.until:
            yield day
            day += DAY

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """The least id that a row of the span can have, and the least that is beyond it: ids are the wall clock's."""
        none = timedelta()
        return (
            least_id(self.since - max(self.offset, none) - SLACK),
            least_id(self.until - min(self.offset, none) + SLACK),
        )

    @property
    def wall(self) -> tuple[datetime, datetime]:
        """The same by the wall clock, where only the present offset is known."""
        return self.since - self.offset, self.until - self.offset


def this_month(now: datetime, offset: timedelta = timedelta()) -> Span:
    """The calendar month in UTC, to the end of today."""
    return last_days(now.astimezone(UTC).day, now, offset)


def last_days(count: int, now: datetime, offset: timedelta = timedelta()) -> Span:
    """So many days, to the end of today."""
    tonight = beginning_of(now.astimezone(UTC).date() + DAY)
    return Span(tonight - count * DAY, tonight, offset)


def beginning_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def least_id(at: datetime) -> UUID:
    """A UUIDv7 begins with the milliseconds since 1970."""
    return UUID(int=max(0, int((at - BEGINNING) / timedelta(milliseconds=1))) << 80)
