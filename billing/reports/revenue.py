"""Monthly recurring revenue and its movement, read from the lines of history.

Each line says what its subscription earned from then on, and the line before it what it had earned until
then. The difference belongs to the day of the line, so that what moved adds up to what is there, whatever
the order in which lines of one midnight were written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from django.db import connection
from django.db.models.expressions import RawSQL

from billing.reports.spans import Span


class Kind(StrEnum):
    NEW = "new"
    REACTIVATION = "reactivation"
    EXPANSION = "expansion"
    CONTRACTION = "contraction"
    CHURN = "churn"


GAINS: Final = (Kind.NEW, Kind.REACTIVATION, Kind.EXPANSION)


@dataclass
class Move:
    """So many workspaces, and by how much in all: minor units a month, never negative."""

    count: int = 0
    amount: int = 0


@dataclass
class Movement:
    """What moved: by currency and kind, and in how many pay for a plan (by its id)."""

    moves: dict[str, dict[Kind, Move]] = field(default_factory=dict)
    plans: dict[str, int] = field(default_factory=dict)
    #: New ones that had had a trial.
    converted: int = 0

    def add(self, other: "Movement") -> None:
        for currency, kinds in other.moves.items():
            for kind, move in kinds.items():
                mine = self.moves.setdefault(currency, {}).setdefault(kind, Move())
                mine.count += move.count
                mine.amount += move.amount
        for plan, count in other.plans.items():
            self.plans[plan] = self.plans.get(plan, 0) + count
        self.converted += other.converted

    @property
    def net(self) -> dict[str, int]:
        return {
            currency: sum(move.amount if kind in GAINS else -move.amount for kind, move in kinds.items())
            for currency, kinds in self.moves.items()
        }


def moved(mrr: Mapping[str, int], net: Mapping[str, int]) -> dict[str, int]:
    """What is there after a movement; what has come to nothing is left out."""
    sums = {currency: mrr.get(currency, 0) + net.get(currency, 0) for currency in sorted({*mrr, *net})}
    return {currency: amount for currency, amount in sums.items() if amount}


def movement_by_day(span: Span) -> dict[date, Movement]:
    """Of the days on which something moved; one statement, by the index of the lines' instants."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY, {"since": span.since, "until": span.until})
        rows = cursor.fetchall()
    days: dict[date, Movement] = {}
    for day, what, label, count, amount in rows:
        movement = days.setdefault(day, Movement())
        if what == "plan":
            movement.plans[label] = count
        elif what == "converted":
            movement.converted = count
        else:
            movement.moves.setdefault(label, {})[Kind(what)] = Move(count, amount)
    return days


def added(movements: Iterable[Movement]) -> Movement:
    total = Movement()
    for movement in movements:
        total.add(movement)
    return total


def who_moved(span: Span, kind: Kind, *, currency: str = "") -> RawSQL:
    """The ids of subscriptions that moved in this way on a day of the span, for a filter; in any currency or one."""
    return RawSQL(_WHO, (span.since, span.until, kind.value, currency))  # noqa: S611  (values are parameters)


def who_converted(span: Span) -> RawSQL:
    return RawSQL(_WHO_CONVERTED, (span.since, span.until))  # noqa: S611  (values are parameters)


# `lines`: what each line of the span changed in what is earned. `parts`: that by currency, what there was taken
# away and what there is added. `days`: a subscription's parts of one day and currency in one, what it began the
# day with and what it came to. `kinds`: what that is called.
_KINDS = """
WITH lines AS MATERIALIZED (
    SELECT c.id, c.subscription_id, (c.at AT TIME ZONE 'UTC')::date AS day, c.currency, c.monthly_amount AS amount,
        c.after ->> 'paid_plan_id' AS plan, c.after ->> 'trial_start' IS NOT NULL AS had_trial,
        p.currency AS currency_before, coalesce(p.monthly_amount, 0) AS amount_before,
        p.after ->> 'paid_plan_id' AS plan_before
    FROM billing_subscriptionchange c
    LEFT JOIN LATERAL (
        SELECT currency, monthly_amount, after FROM billing_subscriptionchange
        WHERE subscription_id = c.subscription_id AND id < c.id ORDER BY id DESC LIMIT 1
    ) p ON true
    WHERE c.at >= {since} AND c.at < {until} AND ({lines})
), parts AS (
    SELECT id, subscription_id, day, had_trial, currency_before AS currency, -amount_before AS change,
        amount_before AS opening
    FROM lines WHERE amount_before > 0
    UNION ALL
    SELECT id, subscription_id, day, had_trial, currency, amount, 0 FROM lines WHERE amount > 0
), days AS (
    SELECT subscription_id, day, currency, (array_agg(id ORDER BY id))[1] AS first_line,
        bool_or(had_trial) AS had_trial, (array_agg(opening ORDER BY id, change))[1] AS opening,
        sum(change)::bigint AS change
    FROM parts GROUP BY subscription_id, day, currency
), kinds AS (
    SELECT day, currency, subscription_id, abs(change) AS amount, had_trial, CASE
        WHEN change < 0 AND opening + change <= 0 THEN 'churn'
        WHEN change < 0 THEN 'contraction'
        WHEN opening > 0 THEN 'expansion'
        WHEN EXISTS (
            SELECT FROM billing_subscriptionchange e
            WHERE e.subscription_id = days.subscription_id AND e.id < days.first_line AND e.monthly_amount > 0
        ) THEN 'reactivation'
        ELSE 'new' END AS kind
    FROM days WHERE change <> 0
)
"""
_BY_DAY = f"""
{_KINDS.format(since="%(since)s", until="%(until)s", lines="c.monthly_amount > 0 OR p.monthly_amount > 0")}
SELECT day, kind, currency, count(*), sum(amount)::bigint FROM kinds GROUP BY day, kind, currency
UNION ALL
SELECT day, 'converted', '', count(DISTINCT subscription_id), 0 FROM kinds WHERE kind = 'new' AND had_trial GROUP BY day
UNION ALL
SELECT day, 'plan', plan, sum(change)::bigint, 0 FROM (
    SELECT day, plan_before AS plan, -1 AS change FROM lines WHERE amount_before > 0
    UNION ALL
    SELECT day, plan, 1 FROM lines WHERE amount > 0
) plans WHERE plan IS NOT NULL GROUP BY day, plan HAVING sum(change) <> 0
ORDER BY 1, 2, 3
"""  # noqa: S608  (of our own text)
# Who pays for which plan is not asked here: a line that leaves the amount as it was need not be read whole.
_OF_SPAN = _KINDS.format(
    since="%s",
    until="%s",
    lines="(c.monthly_amount, c.currency) IS DISTINCT FROM (coalesce(p.monthly_amount, 0), coalesce(p.currency, ''))",
)
_WHO = f"{_OF_SPAN} SELECT subscription_id FROM kinds WHERE kind = %s AND %s IN ('', currency)"  # noqa: S608  (of our own text)
_WHO_CONVERTED = f"{_OF_SPAN} SELECT subscription_id FROM kinds WHERE kind = 'new' AND had_trial"  # noqa: S608
