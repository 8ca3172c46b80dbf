"""One row of figures a day: made once the day is over, for every day, and never again."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test.utils import CaptureQueriesContext

from billing import jobs
from billing.models import DailyFigures, LedgerEntry, SubscriptionChange
from billing.reports import daily
from billing.reports.activity import Activity
from billing.reports.daily import Figures, make_missing
from billing.reports.overview import Overview, overview
from billing.reports.revenue import Kind, Move
from tests.billing.facts import at
from tests.billing.meter import consume, plan
from tests.billing.test_reports_revenue import pays
from tests.people import Person
from tests.threads import at_once

NIGHT = timedelta(hours=4)
DAY = timedelta(days=1)
# The tests are of March 2026, and ids are of the day on which they run: as where time was travelled back.
BACK = at(2026, 3) - datetime.now(UTC)


def made(now: datetime) -> int:
    return make_missing(now=now, offset=BACK)


def seen(now: datetime) -> Overview:
    return overview(now=now, offset=BACK)


def rows() -> dict[date, Figures]:
    return {row.day: Figures.of(row.figures) for row in DailyFigures.objects.all()}


def day(number: int) -> date:
    return date(2026, 3, number)


@pytest.fixture
def paying(bob: Person) -> Person:
    """bob, who pays since 2 March 2026, 9:00."""
    pays(bob, 1900, at(2026, 3, 2, 9))
    return bob


def test_a_day_is_counted_once_it_is_over_and_settled(paying: Person) -> None:
    assert made(at(2026, 3, 2, 23, 59)) == 0
    # What began before midnight may still be under way.
    assert made(at(2026, 3, 3, 0, 59)) == 0
    assert made(at(2026, 3, 3, 1)) == 1
    assert list(rows()) == [day(2)]


def test_a_row_says_what_there_was_and_what_happened(paying: Person, charlie: Person) -> None:
    basic, pro = str(plan("basic").pk), str(plan("pro").pk)
    pays(charlie, 4900, at(2026, 3, 3, 9), slug="pro", currency="eur")
    consume(paying.workspace, at(2026, 3, 3, 10))
    made(at(2026, 3, 4) + NIGHT)
    second, third = (rows()[day(number)] for number in (2, 3))
    assert (second.mrr, third.mrr) == ({"usd": 1900}, {"usd": 1900, "eur": 4900})
    assert (second.paying, third.paying) == ({basic: 1}, {basic: 1, pro: 1})
    assert second.movement.moves == {"usd": {Kind.NEW: Move(1, 1900)}}
    assert third.movement.moves == {"eur": {Kind.NEW: Move(1, 4900)}}
    assert (second.activity, third.activity) == (Activity(), Activity(runs=1))


def test_every_day_has_a_row_and_keeps_it(paying: Person) -> None:
    made(at(2026, 3, 3) + NIGHT)
    kept = list(DailyFigures.objects.values())
    # Whatever comes later of that day.
    pays(paying, 4900, at(2026, 3, 2, 12))
    # The workers were away for three nights.
    assert made(at(2026, 3, 6) + NIGHT) == 3
    assert made(at(2026, 3, 6) + NIGHT) == 0
    assert sorted(rows()) == [day(2), day(3), day(4), day(5)]
    assert list(DailyFigures.objects.filter(day=day(2)).values()) == kept


def test_the_first_rows_reach_back_and_begin_with_what_was_before(paying: Person, charlie: Person) -> None:
    pays(charlie, 1700, at(2026, 3, 3), currency="eur")
    pays(paying, 4900, at(2026, 3, 20))
    now = at(2026, 3, 20) + daily.FIRST_DAYS * DAY
    assert made(now + NIGHT) == daily.FIRST_DAYS
    first = min(rows())
    assert first == day(20)
    assert (rows()[first].mrr, rows()[first].movement.moves) == (
        {"usd": 4900, "eur": 1700},
        {"usd": {Kind.EXPANSION: Move(1, 3000)}},
    )


def test_no_more_than_so_many_in_a_night(paying: Person, caplog: pytest.LogCaptureFixture) -> None:
    made(at(2026, 3, 3) + NIGHT)
    now = at(2026, 3, 3) + (daily.MOST_DAYS + 5) * DAY + NIGHT
    assert made(now) == daily.MOST_DAYS
    (record,) = caplog.records
    assert "The figures reach to 2026-06-10 only" in record.getMessage()
    assert made(now) == 5


def test_without_a_history_there_is_nothing_to_count(db: None) -> None:
    assert not SubscriptionChange.objects.exists()
    assert made(at(2026, 3, 3)) == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_the_same_rows(paying: Person) -> None:
    now = at(2026, 3, 9) + NIGHT
    assert at_once([lambda: made(now)] * 4) == [7] * 4
    assert {row.mrr["usd"] for row in rows().values()} == {1900}
    assert len(rows()) == 7


def test_the_job_makes_them(paying: Person) -> None:
    jobs.make_figures(timestamp=0)
    assert DailyFigures.objects.count() == daily.FIRST_DAYS


def test_what_came_since_the_last_row_is_counted_now(paying: Person, charlie: Person) -> None:
    now = at(2026, 3, 5, 12)
    made(at(2026, 3, 4) + NIGHT)
    pays(charlie, 4900, at(2026, 3, 4, 9), slug="pro")
    pays(paying, 1425, at(2026, 3, 5, 9))
    consume(paying.workspace, at(2026, 3, 4, 10))
    consume(paying.workspace, at(2026, 3, 5, 10))
    found = seen(now)
    assert found.made_until == day(3)
    assert {day: figures.mrr for day, figures in found.days.items()} == {
        day(2): {"usd": 1900},
        day(3): {"usd": 1900},
        day(4): {"usd": 6800},
        # 6800 - 475
        day(5): {"usd": 6325},
    }
    assert [figures.activity.runs for figures in found.days.values()] == [0, 0, 1, 1]
    # And the night after next says the same.
    made(at(2026, 3, 6) + NIGHT)
    assert rows() == found.days


def test_before_the_first_night_the_month_is_read_from_its_lines(paying: Person, charlie: Person) -> None:
    pays(charlie, 1700, at(2026, 2, 20), currency="eur")
    pays(paying, 4900, at(2026, 3, 4), slug="pro")
    now = at(2026, 3, 5, 12)
    before = seen(now)
    assert (before.made_until, before.opening) == (None, {"eur": 1700})
    made(now)
    after = seen(now)
    assert after.made_until == day(4)
    for name in ("opening", "month", "paying", "converted"):
        assert getattr(before, name) == getattr(after, name), name
    assert before.today == after.today


def test_a_month_begins_on_its_first(paying: Person) -> None:
    pays(paying, 4900, at(2026, 4, 1))
    for now in (at(2026, 4, 1, 5), at(2026, 4, 2, 5)):
        made(now)
        found = seen(now)
        assert (found.opening, found.month.moves) == ({"usd": 1900}, {"usd": {Kind.EXPANSION: Move(1, 3000)}})


def test_it_takes_the_same_statements_whatever_the_number_of_days_and_customers(
    paying: Person, charlie: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    made(at(2026, 3, 4) + NIGHT)

    def count(now: datetime) -> int:
        with statements() as found:
            seen(now)
        return len(found)

    before = count(at(2026, 3, 4, 12))
    for number in range(5, 12):
        pays(charlie, 1000 + number, at(2026, 3, number))
        consume(charlie.workspace, at(2026, 3, number))
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CONSUME).count() == 7
    assert count(at(2026, 3, 12, 12)) == before == 6
