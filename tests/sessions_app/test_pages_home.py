"""Home: the box to start with, and the list of what was started."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import clock
from accounts.models import IdempotentRequest, Workspace
from billing.models import LedgerEntry, Plan, Refusal
from sessions_app.models import Run, Session
from tests.people import Person
from tests.sessions_app.browsing import Browser

HOME = "/sessions/"


def made() -> tuple[int, int, int]:
    lines = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CONSUME)
    return Session.objects.count(), Run.objects.count(), lines.count()


def spend(person: Person, count: int = 10) -> None:
    for _ in range(count):
        assert person.post("/sessions").status_code == 201


def area(page: str) -> str:
    """The box's <textarea …>, with what is in it."""
    (found,) = re.findall(r'<textarea id="prompt".*?</textarea>', page, re.DOTALL)
    return str(found)


# The root


def test_the_root_is_home_for_who_is_signed_in_and_the_prices_for_who_is_not(bob: Person) -> None:
    assert "What should the agent do?" in Browser(bob).text("/")
    signed_out = Client().get("/", headers={"Accept": "text/html"})
    assert (signed_out.status_code, "Plans and prices" in signed_out.content.decode()) == (200, True)
    for answer in (Client().get("/"), Browser(bob).get("/", Accept="application/json")):
        assert answer.json()["status"] == "ok"
    for answer in (signed_out, Client().get("/"), Browser(bob).get("/")):
        assert "Accept" in answer["Vary"].split(", ")


def test_who_is_not_signed_in_is_led_to_sign_in_and_back(bob: Person) -> None:
    answer = Client().get(f"{HOME}?status=failed")
    assert answer.status_code == 302
    assert answer["Location"].endswith("?next=/sessions/%3Fstatus%3Dfailed")


# Starting


def test_a_prompt_starts_a_session_that_costs_one_run(bob: Person) -> None:
    browser = Browser(bob)
    answer = browser.send(browser.form(HOME, HOME), prompt="Write a haiku\r\nabout rain")
    session = Session.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, reverse("sessions:session", args=[session.pk]))
    assert (session.title, session.status, session.created_by) == ("Write a haiku", "running", bob.user)
    assert session.runs.get().prompt == "Write a haiku\nabout rain"
    assert made() == (1, 1, 1)
    assert "<b>1</b> of 10 runs" in browser.text(answer["Location"])


def test_a_form_that_is_sent_twice_is_one_run_and_leads_to_the_same_session(bob: Person) -> None:
    browser = Browser(bob)
    form = browser.form("/", HOME)
    answers = [browser.send(form, prompt="Write a haiku") for _ in range(3)]
    assert {answer["Location"] for answer in answers} == {f"/sessions/{Session.objects.get().pk}"}
    assert made() == (1, 1, 1)
    browser.send(browser.form("/", HOME), prompt="Write a haiku")
    assert made() == (2, 2, 2)


@pytest.mark.parametrize("missing", ["csrfmiddlewaretoken", "once"])
def test_a_form_that_is_not_ours_starts_nothing(missing: str, bob: Person) -> None:
    browser = Browser(bob)
    form = browser.form(HOME, HOME)
    del form.fields[missing]
    assert browser.send(form, prompt="Write a haiku").status_code in (400, 403)
    assert made() == (0, 0, 0)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("", "Write what the agent should do."),
        ("  \r\n ", "Write what the agent should do."),
        ("x" * 20_001, "at most 20000 characters"),
        ("a\x00b", "Null characters are not allowed"),
    ],
)
def test_a_prompt_that_cannot_be_one_is_explained_and_starts_nothing(prompt: str, sentence: str, bob: Person) -> None:
    browser = Browser(bob)
    answer = browser.send(browser.form(HOME, HOME), prompt=prompt)
    page = answer.content.decode()
    assert (answer.status_code, sentence in page, 'aria-invalid="true"' in area(page)) == (400, True, True)
    assert made() == (0, 0, 0)
    assert not IdempotentRequest.objects.exists()


def test_lines_count_as_a_browser_counts_them(bob: Person) -> None:
    browser = Browser(bob)
    assert browser.send(browser.form(HOME, HOME), prompt="x\r\n" * 9_999 + "yz").status_code == 302
    assert len(Run.objects.get().prompt) == 20_000


def test_a_prompt_that_comes_with_a_link_is_shown_first_and_escaped(bob: Person) -> None:
    browser = Browser(bob)
    page = browser.text("/?prompt=%3C/textarea%3E%3Cscript%3Ealert(1)%3C/script%3E%00")
    assert "&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;</textarea>" in area(page)
    assert "<script>" not in page
    assert made() == (0, 0, 0)
    assert "x" * 20_000 + "</textarea>" in area(browser.text("/?prompt=" + "x" * 20_001))


def test_without_sessions_the_page_says_how_to_begin_and_examples_fill_the_box(bob: Person) -> None:
    browser = Browser(bob)
    page = browser.text("/")
    assert "No sessions yet" in page
    examples = re.findall(r'href="(/\?prompt=[^"]+)">([^<]+)<', page)
    assert len(examples) == 3
    for link, words in examples:
        assert f"\n{words}</textarea>" in area(browser.text(link))
    spend(bob, 1)
    assert "No sessions yet" not in browser.text("/")


# What stands in the way


def test_before_the_limit_the_box_says_what_is_left(bob: Person) -> None:
    spend(bob, 8)
    assert "This costs one run. 2 runs are left until" in Browser(bob).text("/")
    spend(bob, 1)
    assert "This costs one run. 1 run is left until" in Browser(bob).text("/")


def test_at_the_limit_the_box_explains_itself_before_anything_is_typed(bob: Person) -> None:
    spend(bob)
    page = Browser(bob).text("/")
    assert "You have used all 10 runs of the Free plan for " in page
    assert "They reset on 1 " in page
    assert f'href="{reverse("billing:subscription")}">See larger plans</a>' in page
    assert "disabled" in area(page)
    assert "are left until" not in page


def test_over_the_limit_nothing_is_made_and_what_was_typed_is_kept(bob: Person) -> None:
    browser = Browser(bob)
    form = browser.form("/", HOME)
    spend(bob)
    answer = browser.send(form, prompt="Write <b>a</b> haiku")
    page = answer.content.decode()
    assert (answer.status_code, answer["X-Quota-Remaining"]) == (402, "0")
    assert "You have used all 10 runs of the Free plan" in page
    assert "\nWrite &lt;b&gt;a&lt;/b&gt; haiku</textarea>" in area(page)
    assert "disabled" not in area(page)
    assert made() == (10, 10, 10)
    assert Refusal.objects.get().code == "quota_exceeded"


def test_the_same_form_works_once_there_are_runs_again(bob: Person) -> None:
    browser = Browser(bob)
    form = browser.form("/", HOME)
    spend(bob)
    assert browser.send(form, prompt="Write a haiku").status_code == 402
    assert bob.post("/billing/activate-trial").status_code == 200
    assert browser.send(form, prompt="Write a haiku").status_code == 302
    assert made() == (11, 11, 11)


def test_a_member_is_told_who_can_change_the_plan(tara: Person, mike: Person) -> None:
    spend(tara)
    page = Browser(mike).text("/")
    assert "You have used all 10 runs of the Free plan" in page
    assert "Tara, who owns this workspace, can change its plan." in page
    assert "See larger plans" not in page
    assert "See larger plans" in Browser(tara).text("/")


def test_an_admin_may_see_larger_plans_if_the_owner_allows(tara: Person, dana: Person) -> None:
    spend(tara)
    assert "See larger plans" not in Browser(dana).text("/")
    Workspace.objects.filter(pk=dana.workspace.pk).update(may_admins_bill=True)
    assert "See larger plans" in Browser(dana).text("/")


def test_more_at_once_than_the_plan_carries_out_is_refused_in_words(bob: Person) -> None:
    Plan.objects.filter(slug=Plan.FREE).update(concurrency_limit=1)
    browser = Browser(bob)
    assert browser.send(browser.form("/", HOME), prompt="One").status_code == 302
    answer = browser.send(browser.form("/", HOME), prompt="Two")
    page = answer.content.decode()
    assert answer.status_code == 402
    assert "The Free plan carries out 1 run at once, and so many are under way." in page
    assert "\nTwo</textarea>" in area(page)
    assert made() == (1, 1, 1)
    Plan.objects.filter(slug=Plan.FREE).update(concurrency_limit=2)
    assert browser.send(browser.form("/", HOME), prompt="Two").status_code == 302


def test_a_suspended_workspace_says_so_and_starts_nothing(bob: Person) -> None:
    browser = Browser(bob)
    form = browser.form("/", HOME)
    Workspace.objects.filter(pk=bob.workspace.pk).update(suspended_at=clock.now())
    page = browser.text("/")
    assert "This workspace is suspended." in page
    assert "disabled" in area(page)
    answer = browser.send(form, prompt="Write a haiku")
    assert (answer.status_code, "This workspace is suspended." in answer.content.decode()) == (403, True)
    assert made() == (0, 0, 0)


def test_a_form_of_another_workspace_starts_nothing_in_this_one(bob: Person) -> None:
    team = Workspace.objects.open(name="Bob's team", owner=bob.user, now=clock.now())
    browser = Browser(bob)
    elsewhere = Browser(bob.into(team)).form("/", HOME)
    own = browser.form("/", HOME)
    own.fields["for_workspace"] = elsewhere.fields["for_workspace"]
    assert browser.send(own, prompt="Write a haiku").status_code == 409
    assert made() == (0, 0, 0)


# The list


def titles(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<a href="/sessions/[\w-]{36}" dir="auto">([^<]*)</a>', page)]


def opened(person: Person, title: str, **fields: Any) -> Session:
    now = clock.now()
    made = {"created_by": person.user, "status": "completed", "created_at": now, "last_activity_at": now, **fields}
    return Session.objects.create(workspace=person.workspace, title=title, **made)


def test_the_list_has_the_newest_activity_first_with_status_and_message(bob: Person) -> None:
    now = clock.now()
    opened(bob, "Older", last_activity_at=now - timedelta(hours=1), status="failed")
    opened(bob, "Newer", latest_message="It rains <b>a lot</b>.")
    opened(bob, "Deleted", deleted_at=now)
    page = Browser(bob).text("/")
    assert titles(page) == ["Newer", "Older"]
    assert 'data-tone="bad">Failed</span>' in page
    assert "It rains &lt;b&gt;a lot&lt;/b&gt;." in page


def test_a_title_is_escaped(bob: Person) -> None:
    opened(bob, "<script>alert(1)</script>")
    page = Browser(bob).text("/")
    assert titles(page) == ["<script>alert(1)</script>"]
    assert "<script>" not in page


@pytest.mark.parametrize("status", Session.Status.values)
def test_the_list_can_be_of_one_status(status: str, bob: Person) -> None:
    for each in Session.Status.values:
        opened(bob, each, status=each)
    page = Browser(bob).text(f"{HOME}?status={status}")
    assert titles(page) == [status]
    assert f'href="/sessions/?status={status}" aria-current="true"' in page


def test_a_status_that_none_has_says_so(bob: Person) -> None:
    page = Browser(bob).text(f"{HOME}?status=failed")
    assert "No session is like that" in page


@pytest.mark.parametrize("query", ["status=bogus", "cursor=bogus", "cursor=cD0yMDI2", "status=failed&cursor=%00"])
def test_an_address_that_was_not_handed_out_is_404(query: str, bob: Person) -> None:
    assert Browser(bob).get(f"{HOME}?{query}").status_code == 404


def test_older_pages_follow_each_other_without_gap_or_repetition(bob: Person) -> None:
    at = clock.now()
    for number in range(45):
        # In threes, which share an instant.
        opened(bob, f"Session {number}", last_activity_at=at - timedelta(minutes=number // 3), status="stopped")
    browser, path, seen = Browser(bob), f"{HOME}?status=stopped", []
    for rest in (25, 5, 0):
        page = browser.text(path)
        seen += titles(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        assert (older is not None) == (rest > 0)
        path = html.unescape(older[1]) if older else ""
    assert len(seen) == 45
    assert set(seen) == {f"Session {number}" for number in range(45)}
    newer = re.search(r'rel="prev" href="([^"]+)"', page)
    assert newer is not None
    assert titles(browser.text(html.unescape(newer[1]))) == seen[20:40]


def test_members_see_each_others_sessions_with_who_made_them(tara: Person, mike: Person) -> None:
    opened(tara, "Tara's")
    opened(mike, "Mike's")
    page = Browser(mike).text("/")
    assert set(titles(page)) == {"Tara's", "Mike's"}
    assert page.count("started by") == page.count("started by Tara") == 1


def test_nobody_sees_another_workspaces_sessions(bob: Person, charlie: Person) -> None:
    opened(bob, "Bob's")
    assert titles(Browser(charlie).text("/")) == []
    assert titles(Browser(bob).text("/")) == ["Bob's"]


def test_a_hundred_thousand_sessions_cost_no_further_statement(
    tara: Person, mike: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sessions_app_session (workspace_id, created_by_id, title, status, latest_message,
                last_activity_at, created_at)
            SELECT %s, %s, 'Session ' || n, 'completed', 'Done.', now() - n * interval '1 minute', now()
            FROM generate_series(1, 100000) n
            """,
            [tara.workspace.pk, tara.user.pk],
        )
        cursor.execute("ANALYZE sessions_app_session")
    spend(tara)
    browser = Browser(mike)
    with statements() as seen:
        page = browser.text("/")
    assert len(seen) <= 6, [query["sql"] for query in seen]
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    with statements() as seen:
        assert len(titles(browser.text(html.unescape(older[1])))) == 20
    assert len(seen) <= 4, [query["sql"] for query in seen]
