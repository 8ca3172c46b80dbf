"""How the business stands: the rows of the days that are over, and what happened since, by index.

In a bounded number of statements, whatever the number of customers: each reads a few rows of figures, or
what was written since the last of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.db.models import Count, Sum

from billing.models import DailyFigures, Plan, ReconciliationReport, Subscription
from billing.reports.activity import Activity, activity_by_day
from billing.reports.daily import Figures
from billing.reports.revenue import Movement, added, moved, movement_by_day
from billing.reports.spans import DAY, Span, beginning_of, last_days, this_month
from billing.reports.standing import PAYING, Standing, Tally, Trial, Waiting, tallies

#: Days that are drawn, today among them: of revenue, and of what happened.
REVENUE_DAYS: Final = 90
ACTIVITY_DAYS: Final = 30
WEEK_DAYS: Final = 7


@dataclass(frozen=True)
class Overview:
    now: datetime
    #: The last day that has a row; None before the first night.
    made_until: date | None
    #: By day, today last; without a row and without a line of history a day is missing.
    days: dict[date, Figures]
    plans: list[Plan]
    tallies: Mapping[Standing | Trial | Waiting, Tally]
    reconciliation: ReconciliationReport | None

    @property
    def today(self) -> Figures:
        return self.days[self.now.date()]

    @property
    def month(self) -> Movement:
        """Of this calendar month so far, in UTC."""
        first = this_month(self.now).since.date()
        return added(figures.movement for day, figures in self.days.items() if day >= first)

    @property
    def opening(self) -> dict[str, int]:
        """What the month began with."""
        return moved(self.today.mrr, {currency: -net for currency, net in self.month.net.items()})

    @property
    def paying(self) -> list[tuple[Plan, int]]:
        counts = self.today.paying
        return [(plan, counts[str(plan.pk)]) for plan in self.plans if counts.get(str(plan.pk))]

    @property
    def converted(self) -> int:
        """In the last seven days, today among them."""
        return sum(figures.movement.converted for figures in self.last(WEEK_DAYS).values())

    @property
    def activity(self) -> Activity:
        """Of the days that are drawn."""
        total = Activity()
        for figures in self.last(ACTIVITY_DAYS).values():
            total.add(figures.activity)
        return total

    def last(self, count: int) -> dict[date, Figures]:
        first = last_days(count, self.now).since.date()
        return {day: figures for day, figures in self.days.items() if day >= first}


def overview(*, now: datetime, offset: timedelta = timedelta()) -> Overview:
    now = now.astimezone(UTC)
    rows = {row.day: Figures.of(row.figures) for row in _rows(now)}
    made_until = max(rows, default=None)
    days = rows | (_since(made_until, rows[made_until], now, offset) if made_until else _before_any(now, offset))
    return Overview(
        now=now,
        made_until=made_until,
        days=days,
        plans=list(Plan.objects.all()),
        tallies=tallies(now=now, wall=now - offset),
        reconciliation=ReconciliationReport.objects.filter(is_whole=True, finished_at__isnull=False).first(),
    )


def _rows(now: datetime) -> list[DailyFigures]:
    """The last one too where it is older."""
    rows = DailyFigures.objects.filter(day__lt=now.date())
    recent = rows.filter(day__gt=now.date() - REVENUE_DAYS * DAY)
    return sorted(recent.union(rows[:1]), key=lambda row: row.day)


def _since(day: date, last: Figures, now: datetime, offset: timedelta) -> dict[date, Figures]:
    span = Span(beginning_of(day + DAY), beginning_of(now.date() + DAY), offset)
    movements, activities = movement_by_day(span), activity_by_day(span)
    found: dict[date, Figures] = {}
    for each in span.days:
        last = found[each] = last.after(movements.get(each, Movement()), activities[each])
    return found


def _before_any(now: datetime, offset: timedelta) -> dict[date, Figures]:
    """Before the first night: this month from its lines, back from who pays now; what happened, of today only."""
    today = now.date()
    movements = movement_by_day(last_days(max(today.day, WEEK_DAYS), now))
    activities = activity_by_day(last_days(1, now, offset))
    paying = Subscription.objects.filter(PAYING).order_by().values_list("paid_plan_id", "currency")
    mrr: dict[str, int] = {}
    plans: dict[str, int] = {}
    for plan, currency, count, amount in paying.annotate(Count("pk"), Sum("monthly_amount")):
        mrr[currency] = mrr.get(currency, 0) + amount
        plans[str(plan)] = plans.get(str(plan), 0) + count
    total = added(movements.values())
    figures = Figures(
        moved(mrr, {currency: -net for currency, net in total.net.items()}),
        moved(plans, {plan: -count for plan, count in total.plans.items()}),
    )
    found: dict[date, Figures] = {}
    day = min(movements, default=today)
    while day <= today:
        figures = found[day] = figures.after(movements.get(day, Movement()), activities.get(day, Activity()))
        day += DAY
    return found
