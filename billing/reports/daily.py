"""One row of figures a day, made when the day is over, so that no page adds up what has been."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from billing.models import DailyFigures, SubscriptionChange
from billing.reports.activity import Activity, activity_by_day
from billing.reports.revenue import Kind, Move, Movement, added, moved, movement_by_day
from billing.reports.spans import BEGINNING, DAY, Span, beginning_of

log = logging.getLogger(__name__)

#: What began before midnight has written its lines by then, also where Stripe let it wait.
SETTLED_AFTER: Final = timedelta(hours=1)
#: In one go. The next night goes on where this one ended.
MOST_DAYS: Final = 100
#: Where there is no row yet: so far back, as far as there is a history.
FIRST_DAYS: Final = 92


@dataclass
class Figures:
    """Of a day: what was there at its end, and what happened on it."""

    #: Minor units a month by currency.
    mrr: dict[str, int] = field(default_factory=dict)
    #: Workspaces by the id of the plan that they pay for.
    paying: dict[str, int] = field(default_factory=dict)
    movement: Movement = field(default_factory=Movement)
    activity: Activity = field(default_factory=Activity)

    def after(self, movement: Movement, activity: Activity) -> "Figures":
        """Of the day that follows."""
        return Figures(moved(self.mrr, movement.net), moved(self.paying, movement.plans), movement, activity)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Figures":
        moves = {
            currency: {Kind(kind): Move(**move) for kind, move in kinds.items()}
            for currency, kinds in kept["movement"]["moves"].items()
        }
        movement = Movement(moves, kept["movement"]["plans"], kept["movement"]["converted"])
        return cls(kept["mrr"], kept["paying"], movement, Activity(**kept["activity"]))


def make_missing(*, now: datetime, offset: timedelta = timedelta()) -> int:
    """The rows of the days that are over and have none, the oldest first; how many were made.

    A row that is there stays as it is. Two at once make the same rows.
    """
    today = (now - SETTLED_AFTER).date()
    last = DailyFigures.objects.first()
    if last is not None:
        day, figures = last.day + DAY, Figures.of(last.figures)
    else:
        line = SubscriptionChange.objects.order_by("at").only("at").first()
        if line is None:
            return 0
        day = max(line.at.astimezone(UTC).date(), today - FIRST_DAYS * DAY)
        # All that was before: the one time that the whole history is read.
        before = added(movement_by_day(Span(BEGINNING, beginning_of(day))).values())
        figures = Figures().after(before, Activity())
    made = 0
    while day < today and made < MOST_DAYS:
        figures = _after(figures, day, offset)
        row = DailyFigures(day=day, figures=figures.as_json(), made_at=now)
        DailyFigures.objects.bulk_create([row], ignore_conflicts=True)
        day, made = day + DAY, made + 1
    if day < today:
        log.warning("The figures reach to %s only: the next night goes on.", day - DAY)
    return made


def _after(before: Figures, day: date, offset: timedelta) -> Figures:
    span = Span(beginning_of(day), beginning_of(day + DAY), offset)
    return before.after(movement_by_day(span).get(day, Movement()), activity_by_day(span)[day])
