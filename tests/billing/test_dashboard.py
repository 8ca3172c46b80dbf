"""The desk's first page: what it says, to whom, in how many statements, and where its numbers lead."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from billing import quotas, roles
from billing.admin.cards import COUNTED
from billing.admin.filters import MovedFilter, StandingFilter, TrialFilter, WaitingFilter
from billing.models import DailyFigures, ReconciliationReport, Refusal
from billing.reports.daily import make_missing
from tests.accounts.second_factors import authenticator
from tests.billing import facts
from tests.billing.meter import change, consume, plan
from tests.billing.test_reports_activity import event
from tests.billing.test_reports_revenue import pays
from tests.desk import employ
from tests.people import Person, person

type Statements = Callable[[], CaptureQueriesContext]

DAY = timedelta(days=1)
READS_ALL = re.compile(
    r"Seq Scan on (billing_(ledgerentry|subscription|subscriptionchange|stripeevent|refusal)|accounts_workspace)\b"
)


class Numbers(HTMLParser):
    """What the page's cards say: each number's name, its text, and the list that it leads to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self._text = self._name = self._link = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("dt", "dd", "th", "td"):
            self._text = ""
        if tag in ("dt", "th"):
            self._link = ""
        if tag == "a":
            self._link = dict(attrs).get("href") or ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        text = self._text.strip()
        if tag in ("dt", "th"):
            self._name = text
        elif tag in ("dd", "td") and text and self._name:
            self.found.append((self._name, text, self._link))
            # What follows is a note, or a cell beside it.
            self._name = ""


def overview(client: Client) -> str:
    answer = client.get("/admin/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def numbers(client: Client) -> list[tuple[str, str, str]]:
    """But for those of each day."""
    return [found for found in Numbers(overview(client)).found if not re.fullmatch(r"\d+ \w+ \d{4}", found[0])]


def told(client: Client) -> dict[str, str]:
    """By name; of two the last, which is that in USD."""
    return {name: text for name, text, _ in numbers(client)}


@pytest.fixture
def desk(db: None) -> Client:
    return employ(roles.BILLING).client


@pytest.fixture
def business(bob: Person, charlie: Person) -> None:
    """Something behind every number. All that moves moves today, after the last row of figures."""
    now = clock.now()
    names = ("dearer", "cheaper", "gone", "back", "late", "too_late", "disputed")
    some = {name: person(f"{name}@example.com") for name in names}
    pays(charlie, 1700, now - 40 * DAY, currency="eur")
    for name, someone in some.items():
        pays(someone, 4900 if name == "cheaper" else 1900, now - 60 * DAY)
    pays(some["back"], 0, now - 50 * DAY)
    for name, days in (("late", 3), ("too_late", 9)):
        since = now - days * DAY
        change(some[name].workspace, now=since, stripe_status="past_due", oldest_unpaid_at=since)
    for someone, days in ((bob, 10), (person("trying@example.com"), 10), (person("tried@example.com"), 15)):
        start = now - days * DAY
        change(someone.workspace, now=start, **facts.trial(start, start + 14 * DAY) | {"trial_plan": plan("trial")})
    make_missing(now=now)

    pays(bob, 4900, now, slug="pro")
    pays(charlie, 0, now)
    pays(charlie, 1800, now, currency="eur")
    for name, amount in {"dearer": 4900, "cheaper": 1900, "gone": 0, "back": 1900}.items():
        pays(some[name], amount, now)
    change(some["disputed"].workspace, now=now, on_hold_since=now, hold_reason="dp_1")
    quotas.refund(run_id=consume(bob.workspace, now), now=now)
    consume(bob.workspace, now)
    Refusal.objects.create(
        workspace=bob.workspace, code="quota_exceeded", minute=now, count=3, last_at=now, plan=plan("free")
    )
    wall = datetime.now(UTC)
    orphan = {"kind": "customer", "id": "cus_1", "sentence": "is nobody's."}
    event(wall, wall)
    for state in ("waiting", "dead", "unmatched"):
        event(wall - timedelta(minutes=6), state=state)
    ReconciliationReport.objects.create(
        started_at=wall, finished_at=wall, is_whole=True, workspaces=9, drifted=2, mended=1, orphans=[orphan]
    )


def test_it_says_how_the_business_stands(desk: Client, business: None) -> None:
    found = told(desk)
    assert found == {
        "MRR in EUR": "18.00 EUR",
        # bob and dearer 49.00 each; cheaper, back, late and too_late 19.00 each.
        "MRR in USD": "174.00 USD",
        "Of USD, past due within grace": "19.00 USD",
        "Of USD, past due beyond it": "19.00 USD",
        # cheaper 49.00; dearer, gone, late, too_late and disputed 19.00 each. And 144 + 49 + 19 + 30 - 30 - 38 = 174.
        "On the first": "144.00",
        "New": "1",
        "Reactivation": "1",
        "Expansion": "1",
        "Contraction": "1",
        "Churn": "2",
        "Now": "174.00",
        "AI-Manus BASIC": "6",
        "AI-Manus PRO": "1",
        "In all": "7",
        "Running": "1",
        "End within 7 days": "1",
        "Converted in 7 days": "1",
        "Ended unpaid in 7 days": "1",
        "Within grace": "1",
        "Grace is over": "1",
        "On hold": "1",
        "Today": "3",
        "In 30 days": "3",
        "Refund rate": "50.0%",
        "Received today": found["Received today"],
        "Late and waiting": "1",
        "Dead": "1",
        "Unmatched": "1",
        "Drifted": "2",
        "Mended": "1",
        "For staff": "1",
        "Not looked at": "0",
    }
    page = overview(desk)
    for words in ("+1.00 EUR this month", "+30.00 USD this month", "\N{MINUS SIGN}38.00", "19.00 USD a month at risk"):
        assert words in page
    # 2 charged, 1 given back.
    assert "1 given back in 30 days" in page


def test_each_number_leads_to_the_list_behind_it(desk: Client, business: None) -> None:
    rows = {"MRR in EUR": 1, "MRR in USD": 6, "Refund rate": 1, "Of USD, past due within grace": 1}
    rows |= {"Of USD, past due beyond it": 1}
    unlinked = set()
    for name, text, link in numbers(desk):
        if not link:
            unlinked.add((name, text))
            continue
        answer = desk.get(link)
        # A filter that the list does not know answers with a redirection to all of it.
        assert answer.status_code == 200, (name, link)
        if "cl" in answer.context:
            count = rows[name] if name in rows else int(text)
            listed = answer.context["cl"].queryset
            of_list = sum(row.count for row in listed) if "refusal" in link else listed.count()
            assert of_list == count, (name, link)
    # Sums of what is listed above or below them, and movements in EUR that there were none of.
    assert {name for name, _ in unlinked} == {"On the first", "Now", "New", "Reactivation", "Contraction", "Churn"}
    assert {text for name, text in unlinked if name not in ("On the first", "Now")} == {"0"}


def test_filters_that_nobody_offers_are_none(desk: Client, business: None) -> None:
    everybody = desk.get("/admin/billing/subscription/").context["cl"].queryset.count()
    for query in ("standing=rich", "trial=eternal", "moved=sideways.usd"):
        assert desk.get(f"/admin/billing/subscription/?{query}").context["cl"].queryset.count() == everybody


def test_who_may_not_see_subscriptions_sees_a_sentence(business: None, statements: Statements) -> None:
    somebody = person("nobody@staff.example", is_staff=True)
    client = Client()
    client.force_login(somebody.user)
    with statements() as seen:
        page = overview(client)
    assert "Figures are for those who may see subscriptions." in page
    assert (Numbers(page).found, "desk-card" in page) == ([], False)
    assert not [query["sql"] for query in seen if "billing_" in query["sql"]]


def test_a_list_that_one_may_not_see_is_not_linked(business: None) -> None:
    somebody = person("some@staff.example", is_staff=True)
    somebody.user.user_permissions.add(*Permission.objects.filter(codename="view_subscription"))
    client = Client()
    client.force_login(somebody.user)
    linked = {link.partition("?")[0] for _, _, link in numbers(client) if link}
    assert linked == {"/admin/billing/subscription/"}


def test_twelve_statements_whatever_there_is(settings: SettingsWrapper, business: None, statements: Statements) -> None:
    """Signing in among them, by somebody who has a role and a second factor, as in production."""
    settings.STAFF_REQUIRES_MFA = True
    someone = employ(roles.SUPPORT)
    authenticator(someone.user)

    def count() -> int:
        with statements() as seen:
            overview(someone.client)
        return len(seen)

    before = count()
    for number in range(8):
        other = person(f"number{number}@example.com")
        pays(other, 1900 + number, clock.now() - number * DAY, slug="pro", currency=("usd", "eur", "gbp")[number % 3])
        consume(other.workspace, clock.now())
    assert count() == before <= 12


def test_before_the_first_night_too(settings: SettingsWrapper, business: None, statements: Statements) -> None:
    settings.STAFF_REQUIRES_MFA = True
    someone = employ(roles.SUPPORT)
    authenticator(someone.user)
    before = told(someone.client)
    DailyFigures.objects.all().delete()
    with statements() as seen:
        assert told(someone.client) == before
    assert len(seen) <= 12


def plans_of(seen: CaptureQueriesContext) -> list[str]:
    """How the database goes about it where it may read no table from end to end."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for query in list(seen):
            if query["sql"].lstrip(" (\n").startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN {query['sql']}")
                found.append("\n".join(line for (line,) in cursor.fetchall()))
    return found


@pytest.mark.parametrize(
    "path",
    [
        "",
        *(f"billing/subscription/?standing={word}" for word in StandingFilter.words),
        *(f"billing/subscription/?trial={word}" for word in TrialFilter.words),
        *(f"billing/subscription/?moved={word}" for word in MovedFilter.words),
        *(f"billing/stripeevent/?waits={word}" for word in WaitingFilter.words),
        "billing/ledgerentry/?kind__exact=consume&when=today",
        "billing/ledgerentry/?kind__exact=refund&when=month",
        "billing/refusal/?when=today",
        "billing/stripeevent/?when=today",
    ],
)
def test_no_large_table_is_read_from_end_to_end(
    desk: Client, business: None, statements: Statements, path: str
) -> None:
    with statements() as seen:
        assert desk.get(f"/admin/{path}").status_code == 200
    ways = plans_of(seen)
    assert len(ways) > 3
    assert not [way for way in ways if READS_ALL.search(way)]


def test_the_night_reads_no_large_table_from_end_to_end(business: None, statements: Statements) -> None:
    DailyFigures.objects.filter(day__gt=clock.now().date() - 3 * DAY).delete()
    with statements() as seen:
        assert make_missing(now=clock.now()) >= 1
    assert not [way for way in plans_of(seen) if READS_ALL.search(way)]


def test_where_there_is_nothing_yet_it_says_so(desk: Client) -> None:
    page = overview(desk)
    for words in (
        "Nobody pays yet. Whoever buys a plan shows here at once.",
        "Nothing has moved since the first of the month.",
        "No trial runs, and none has ended in the last seven days.",
        "Nobody is past due, and nobody is on hold.",
        "Nothing has run in the last 30 days.",
        "Nobody was refused in the last 30 days.",
        "No delivery has come in the last 30 days.",
        "No reconciliation has walked all of both sides yet.",
        "Days that are over are counted in the night",
    ):
        assert words in page, words
    assert "<svg" not in page[page.index("board-now") :]


def test_how_a_number_is_counted_is_said_beside_it_and_in_the_docs(desk: Client) -> None:
    page = unescape(overview(desk))
    docs = (Path(django_settings.BASE_DIR) / "docs" / "figures.md").read_text()
    assert re.findall(r"<summary>How “(.+?)” is counted</summary>", page) == list(COUNTED)
    for title, sentences in COUNTED.items():
        assert sentences in page
        assert f"\n## {title}\n" in docs


def test_charts_are_drawn_and_told(desk: Client, business: None) -> None:
    page = overview(desk)
    charts = re.findall(r'<svg class="board-chart"[^>]* aria-label="([^"]+)"', page)
    assert [chart.partition(".")[0] for chart in charts] == [
        "MRR in EUR, the last 90 days",
        "MRR in USD, the last 90 days",
        "Runs a day, the last 30 days",
        "Refusals a day, the last 30 days",
    ]
    today = f"{clock.now():%-d %B %Y}"
    assert f"{today}: 174.00 USD" in charts[1]
    assert f"the most on {today}: 2." in charts[2]
    assert page.count("<rect") >= 2 * 90 + 2 * 30
    assert "style=" not in page[page.index("board-now") : page.rindex("</main>")]
