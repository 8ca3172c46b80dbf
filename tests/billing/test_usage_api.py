"""Usage day by day and the ledger page by page, over the API."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts import clock
from billing import quotas
from billing.models import LedgerEntry
from tests.billing.facts import at
from tests.billing.meter import consume, give
from tests.people import Person

NOW = at(2026, 11, 20, 12)


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


def usage(someone: Person, query: str = "") -> dict[str, Any]:
    answer = someone.get(f"/billing/usage{query}")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def test_an_unused_period(bob: Person, now: datetime) -> None:
    assert usage(bob) == {
        "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        "used": 0,
        "limit": 10,
        "remaining": 10,
        "credits": 0,
        "per_day": [],
        "forecast": {"exhausted_on": None},
    }


def test_days_are_those_of_utc_on_which_runs_were_charged_and_kept(bob: Person, now: datetime) -> None:
    give(bob.workspace, 4, NOW)
    consume(bob.workspace, at(2026, 11, 1))
    consume(bob.workspace, at(2026, 11, 2, 23, 59, 59))
    for _ in range(7):
        consume(bob.workspace, at(2026, 11, 19, 8))
    returned = consume(bob.workspace, at(2026, 11, 20))
    quotas.refund(run_id=returned, now=NOW)
    shown = usage(bob)
    assert shown["per_day"] == [
        {"date": "2026-11-01", "runs": 1},
        {"date": "2026-11-02", "runs": 1},
        {"date": "2026-11-19", "runs": 7},
    ]
    assert (shown["used"], shown["remaining"], shown["credits"]) == (9, 5, 4)


def test_the_forecast_names_the_day(bob: Person, now: datetime) -> None:
    for _ in range(8):
        consume(bob.workspace, at(2026, 11, 19))
    assert usage(bob)["forecast"] == {"exhausted_on": "2026-11-25"}


def test_from_and_to_are_half_open_and_reach_into_other_periods(bob: Person, now: datetime) -> None:
    for day in (at(2026, 9, 30), at(2026, 10, 1), at(2026, 10, 31, 23), at(2026, 11, 1)):
        consume(bob.workspace, day)
    shown = usage(bob, "?from=2026-10-01&to=2026-11-01")
    assert [day["date"] for day in shown["per_day"]] == ["2026-10-01", "2026-10-31"]
    assert shown["period"]["start"] == "2026-11-01T00:00:00Z"
    assert [day["date"] for day in usage(bob, "?from=2026-10-31")["per_day"]] == ["2026-10-31", "2026-11-01"]
    assert [day["date"] for day in usage(bob, "?to=2026-11-02")["per_day"]] == ["2026-11-01"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?from=yesterday", "from"),
        ("?to=2026-13-01", "to"),
        ("?from=2026-11-02&to=2026-11-02", "to"),
        ("?from=2026-11-03&to=2026-11-02", "to"),
        ("?to=2026-11-01", "to"),
        ("?from=2024-01-01&to=2026-11-02", "to"),
        ("?from=0001-01-01", "to"),
        ("?to=9999-12-31", "to"),
    ],
)
def test_a_range_that_is_none_or_too_long_is_refused(bob: Person, now: datetime, query: str, field: str) -> None:
    answer = bob.get(f"/billing/usage{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["errors"]) == [field]


def test_usage_is_the_workspaces_own(bob: Person, charlie: Person, now: datetime) -> None:
    consume(charlie.workspace, NOW)
    assert (usage(bob)["used"], usage(bob)["per_day"]) == (0, [])


# The ledger.


def test_a_line_says_what_changed_in_which_bucket_and_what_that_has_left(bob: Person) -> None:
    run = consume(bob.workspace, NOW)
    grant = give(bob.workspace, 3, NOW + timedelta(hours=1))
    quotas.refund(run_id=run, now=at(2026, 12, 2))
    returned, given, consumed = bob.get("/billing/ledger").json()["results"]
    ids = {row.kind: str(row.pk) for row in LedgerEntry.objects.all()}
    assert consumed == {
        "id": ids["consume"],
        "kind": "consume",
        "quantity": -1,
        "run_id": str(run),
        "bucket": "period",
        "balance": 9,
        "created_at": "2026-11-20T12:00:00Z",
    }
    assert given == {
        "id": ids["grant"],
        "kind": "grant",
        "quantity": 3,
        "run_id": None,
        "bucket": str(grant.pk),
        "balance": 3,
        "created_at": "2026-11-20T13:00:00Z",
    }
    credit = LedgerEntry.objects.get(kind="refund").grant_id
    assert (returned["quantity"], returned["run_id"], returned["bucket"]) == (1, str(run), str(credit))
    assert returned["balance"] == 1


def pages(someone: Person, path: str) -> Any:
    while path:
        page = someone.client.get(path).json()
        assert list(page) == ["next", "previous", "results"]
        yield page
        path = page["next"]


def test_pages_hold_every_line_once_the_newest_first(bob: Person) -> None:
    runs = [consume(bob.workspace, NOW + timedelta(minutes=n // 2)) for n in range(10)]
    read = list(pages(bob, "/api/v1/billing/ledger?limit=3"))
    assert [len(page["results"]) for page in read] == [3, 3, 3, 1]
    found = [uuid.UUID(row["run_id"]) for page in read for row in page["results"]]
    assert found == runs[::-1]
    assert (read[0]["previous"], read[-1]["next"]) == (None, None)
    assert read[1]["next"].startswith("http://testserver/api/v1/billing/ledger?")
    assert bob.client.get(read[1]["previous"]).json()["results"] == read[0]["results"]


def test_lines_that_come_while_one_reads_shift_nothing(bob: Person) -> None:
    runs = [consume(bob.workspace, NOW + timedelta(minutes=n)) for n in range(4)]
    first = bob.get("/billing/ledger?limit=2").json()
    consume(bob.workspace, NOW + timedelta(minutes=9))
    second = bob.client.get(first["next"]).json()
    assert [row["run_id"] for row in second["results"]] == [str(runs[1]), str(runs[0])]


def test_a_cursor_that_was_never_handed_out_is_refused(bob: Person) -> None:
    for cursor in ("nonsense", "cD15ZXN0ZXJkYXk="):
        answer = bob.get(f"/billing/ledger?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_the_ledger_is_for_owners_and_admins_and_shows_their_workspace_alone(
    tara: Person, dana: Person, mike: Person, charlie: Person
) -> None:
    consume(tara.workspace, NOW)
    assert len(tara.get("/billing/ledger").json()["results"]) == 1
    assert len(dana.get("/billing/ledger").json()["results"]) == 1
    assert mike.get("/billing/ledger").json()["code"] == "role_required"
    assert charlie.get("/billing/ledger").json()["results"] == []
