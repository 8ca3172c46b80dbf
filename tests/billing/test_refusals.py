"""A 402 is written down beside its answer, at most once a minute, and never at the answer's cost."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from accounts import clock
from billing import refusals
from billing.models import Plan, Refusal
from billing.refusals import MOST, Tally
from tests.billing.facts import at
from tests.billing.meter import plan
from tests.people import Person

NOW = at(2026, 11, 20, 14, 5)
QUOTA = "quota_exceeded"


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


def wrote(person: Person, code: str, at: datetime, count: int = 1) -> None:
    minute = at.replace(second=0)
    Refusal.objects.create(
        workspace=person.workspace, code=code, minute=minute, last_at=at, count=count, plan=Plan.objects.free()
    )


def test_it_says_what_was_refused_when_and_on_which_plan(bob: Person, now: datetime) -> None:
    free = plan(Plan.FREE, runs_limit=1)
    assert bob.post("/sessions").status_code == 201
    assert not Refusal.objects.exists()
    assert bob.post("/sessions").status_code == 402
    (row,) = Refusal.objects.all()
    assert (row.workspace, row.user, row.code, row.plan, row.count) == (bob.workspace, bob.user, QUOTA, free, 1)
    assert row.held == {
        "plan": "free",
        "source": "free",
        "period_start": "2026-11-01T00:00:00Z",
        "period_end": "2026-12-01T00:00:00Z",
        "limit": 1,
        "override": None,
        "cap": None,
        "used": 1,
        "credits": 0,
    }
    assert (row.minute, row.last_at - NOW < timedelta(minutes=1)) == (NOW, True)


def test_within_a_minute_it_is_counted_and_not_written(bob: Person, now: datetime) -> None:
    plan(Plan.FREE, runs_limit=0)
    for _ in range(5):
        assert bob.post("/sessions").status_code == 402
    assert Refusal.objects.get().count == 1


def test_in_the_next_minute_what_was_counted_is_written_with_it() -> None:
    tally, kind, other = Tally(), (uuid.uuid4(), QUOTA), (uuid.uuid4(), QUOTA)
    asked = [(kind, 5.0), (kind, 5.1), (kind, 64.9), (other, 64.9), (kind, 65.0), (kind, 66.0), (kind, 125.0)]
    assert [tally.add(one, second=second) for one, second in asked] == [1, 0, 0, 1, 3, 0, 2]


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    tally, first, second = Tally(), (uuid.uuid4(), QUOTA), (uuid.uuid4(), QUOTA)
    tally.add(first, second=0)
    tally.add(second, second=0)
    tally.add(first, second=60)
    for _ in range(MOST - 1):
        tally.add((uuid.uuid4(), QUOTA), second=60)
    assert len(tally) == MOST
    assert (tally.add(first, second=61), tally.add(second, second=61)) == (0, 1)


def test_of_one_minute_and_code_there_is_one_row(bob: Person, now: datetime) -> None:
    plan(Plan.FREE, runs_limit=0)
    wrote(bob, QUOTA, at(2026, 11, 20, 14, 5), 7)
    wrote(bob, "seats_exceeded", at(2026, 11, 20, 14, 5), 3)
    wrote(bob, QUOTA, at(2026, 11, 20, 14, 4), 2)
    assert bob.post("/sessions").status_code == 402
    assert [(row.code, row.minute.minute, row.count) for row in Refusal.objects.order_by("-minute", "code")] == [
        (QUOTA, 5, 8),
        ("seats_exceeded", 5, 3),
        (QUOTA, 4, 2),
    ]


@pytest.mark.django_db(transaction=True)
def test_it_outlives_the_transaction_of_an_idempotency_key(bob: Person) -> None:
    plan(Plan.FREE, runs_limit=0)
    assert bob.post("/sessions", {}, **{"Idempotency-Key": "k"}).status_code == 402
    assert Refusal.objects.get().code == QUOTA


@pytest.mark.django_db(transaction=True)
def test_where_it_cannot_be_written_the_answer_is_the_same(
    bob: Person, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    for slug in (Plan.FREE, Plan.PRO):
        plan(slug, runs_limit=0)
    expected = bob.post("/sessions")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_refusal RENAME TO billing_refusal_away")
        try:
            answer = alice.post("/sessions")
        finally:
            cursor.execute("ALTER TABLE billing_refusal_away RENAME TO billing_refusal")
    assert (answer.status_code, answer.json()["code"]) == (402, expected.json()["code"])
    assert f"A refusal of workspace {alice.workspace.pk} was not written down" in caplog.text
    assert Refusal.objects.get().workspace == bob.workspace


def test_they_are_told_by_the_viewers_day_and_to_their_workspace_alone(bob: Person, charlie: Person) -> None:
    for hour, count in ((9, 2), (14, 3), (23, 4)):
        wrote(bob, QUOTA, at(2026, 11, 19, hour, 30), count)
    wrote(bob, "seats_exceeded", at(2026, 11, 19, 10, 30))
    wrote(bob, QUOTA, NOW - timedelta(days=91))
    wrote(charlie, QUOTA, at(2026, 11, 19, 9, 30), 50)

    def told(zone: str) -> list[tuple[int, str, str, int, int]]:
        with timezone.override(ZoneInfo(zone)):
            return [
                (one["day"].day, one["code"], one["plan__name"], one["times"], one["latest"].hour)
                for one in refusals.recent(bob.workspace, now=NOW)
            ]

    assert told("UTC") == [
        (19, QUOTA, "AI-Manus FREE", 9, 23),
        (19, "seats_exceeded", "AI-Manus FREE", 1, 10),
    ]
    assert told("Europe/Berlin") == [
        (20, QUOTA, "AI-Manus FREE", 4, 23),
        (19, QUOTA, "AI-Manus FREE", 5, 14),
        (19, "seats_exceeded", "AI-Manus FREE", 1, 10),
    ]


def test_they_are_kept_for_90_days(bob: Person) -> None:
    wrote(bob, QUOTA, at(2026, 11, 20, 14, 30))
    wrote(bob, QUOTA, at(2026, 11, 20, 15, 30))
    assert refusals.forget_old(datetime(2027, 2, 18, 14, 31, tzinfo=UTC)) == 1
    assert Refusal.objects.get().minute.hour == 15
