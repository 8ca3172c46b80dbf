"""Runs, refusals and deliveries by day: each day's own, and no day before it read again."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from billing import quotas
from billing.models import LedgerEntry, Refusal, StripeEvent
from billing.reports.activity import Activity, activity_by_day
from billing.reports.spans import Span, last_days, least_id, this_month
from tests.billing.facts import at
from tests.billing.meter import consume, give, line, plan
from tests.people import Person

MARCH = at(2026, 3)
DAY = timedelta(days=1)


def of(first: datetime, days: int = 1, offset: timedelta | None = None) -> dict[date, Activity]:
    """Of days long past, though the rows are written now: as where time was travelled back."""
    return activity_by_day(Span(first, first + days * DAY, MARCH - datetime.now(UTC) if offset is None else offset))


def event(received_at: datetime, done_at: datetime | None = None, state: str = "") -> StripeEvent:
    return StripeEvent.objects.create(
        stripe_id=f"evt_{uuid4().hex}",
        type="invoice.paid",
        payload={},
        created_at=received_at,
        received_at=received_at,
        next_attempt_at=received_at,
        state=state or ("done" if done_at else "waiting"),
        done_at=done_at,
    )


def test_runs_are_counted_on_the_day_of_their_charge_and_their_return(bob: Person) -> None:
    first = consume(bob.workspace, at(2026, 3, 2))
    consume(bob.workspace, at(2026, 3, 2, 23, 59))
    consume(bob.workspace, at(2026, 3, 3))
    quotas.refund(run_id=first, now=at(2026, 3, 3, 1))
    # Neither a credit nor a line that carries over is a run.
    give(bob.workspace, 5, at(2026, 3, 2))
    assert of(at(2026, 3, 1), 3) == {
        date(2026, 3, 1): Activity(),
        date(2026, 3, 2): Activity(runs=2),
        date(2026, 3, 3): Activity(runs=1, refunds=1),
    }


def test_a_span_is_half_open(bob: Person) -> None:
    consume(bob.workspace, at(2026, 3, 2))
    consume(bob.workspace, at(2026, 3, 3))
    assert of(at(2026, 3, 2)) == {date(2026, 3, 2): Activity(runs=1)}


def test_refusals_are_added_up(bob: Person) -> None:
    for minute, count in ((at(2026, 3, 2, 10), 3), (at(2026, 3, 2, 23, 59), 4), (at(2026, 3, 3), 5)):
        Refusal.objects.create(
            workspace=bob.workspace,
            code="quota_exceeded",
            minute=minute,
            count=count,
            last_at=minute,
            plan=plan("free"),
        )
    assert [day.refusals for day in of(at(2026, 3, 2), 2).values()] == [7, 5]


def test_deliveries_are_of_the_day_on_which_they_came(db: None) -> None:
    minute = timedelta(minutes=1)
    evening, morning = at(2026, 3, 2, 23, 59), at(2026, 3, 3, 9)
    event(evening, evening + minute)
    # On time is five minutes; done after midnight it is still of the day before.
    event(evening, evening + 5 * minute)
    event(evening, evening + 6 * minute)
    event(morning, morning + minute)
    event(morning)
    event(morning, state="dead")
    days = of(at(2026, 3, 2), 2, timedelta())
    assert [(day.received, day.late) for day in days.values()] == [(3, 1), (3, 2)]
    # Counted in the night after it, and not together with the next.
    assert of(at(2026, 3, 2), 1, timedelta()) == {date(2026, 3, 2): Activity(received=3, late=1)}


def test_deliveries_are_kept_by_the_wall_clock(db: None) -> None:
    """The domain's clock is forty days ahead."""
    event(at(2026, 3, 2, 9), at(2026, 3, 2, 9, 1))
    days = of(at(2026, 4, 11), 1, timedelta(days=40))
    assert days == {date(2026, 4, 11): Activity(received=1)}


def test_the_least_id_is_before_every_id_of_its_instant(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT uuidv7(), clock_timestamp()")
        found = cursor.fetchone()
    assert found is not None
    id, now = found
    assert least_id(now - timedelta(seconds=5)) < id < least_id(now + timedelta(milliseconds=2))
    assert least_id(datetime(1969, 1, 1, tzinfo=UTC)) == UUID(int=0)


def kept(id: UUID, created_at: datetime, like: LedgerEntry) -> None:
    """A line of another hour, as a server wrote it then."""
    like.pk, like.run_id, like.created_at = id, uuid4(), created_at
    like._state.adding = True
    like.save(force_insert=True)


def test_what_is_beyond_the_span_is_not_even_read(bob: Person) -> None:
    """Ids say where to look: a line of the day whose id is of another week is one that nobody can have written."""
    like = line(consume(bob.workspace, at(2026, 3, 9)))
    kept(least_id(at(2026, 3, 2, 10)), at(2026, 3, 2, 10), like)
    kept(least_id(at(2026, 3, 3, 0, 10)), at(2026, 3, 2, 23, 59), like)
    kept(least_id(at(2026, 3, 9)), at(2026, 3, 2, 12), like)
    assert of(at(2026, 3, 2), 1, timedelta()) == {date(2026, 3, 2): Activity(runs=2)}


@pytest.mark.parametrize("offset", [timedelta(), timedelta(days=40), timedelta(days=-40)])
def test_ids_reach_over_every_offset_between_none_and_the_present_one(offset: timedelta) -> None:
    span = Span(at(2026, 3, 2), at(2026, 3, 3), offset)
    least, beyond = span.ids
    for then in (timedelta(), offset / 2, offset):
        # The wall clock, as the day's first and last lines were written.
        assert least < least_id(at(2026, 3, 2) - then)
        assert least_id(at(2026, 3, 3) - then) < beyond


def test_spans_end_tonight() -> None:
    now = at(2026, 3, 5, 13)
    tonight = at(2026, 3, 6)
    assert last_days(1, now) == Span(at(2026, 3, 5), tonight)
    assert last_days(7, now) == Span(at(2026, 2, 27), tonight)
    assert this_month(now) == Span(MARCH, tonight)
    assert [day.day for day in this_month(now).days] == [1, 2, 3, 4, 5]
