"""The page of a session: what was done there, going on, stopping, deleting; and what is new, as htmx asks for it."""

import html
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from accounts.models import Workspace
from billing.models import LedgerEntry
from sessions_app import pages, runs, transcript
from sessions_app.agents import Emission
from sessions_app.models import Event, FailureKind, Run, Session
from tests.people import Person
from tests.sessions_app.browsing import Browser

Statements = Callable[[], CaptureQueriesContext]
HX = {"HX-Request": "true"}


def opened(person: Person, prompt: str = "Write a haiku") -> Session:
    answer = person.post("/sessions", {"prompt": prompt})
    assert answer.status_code == 201
    return Session.objects.get(pk=answer.json()["id"])


def start(session: Session, *texts: str) -> Run:
    run = runs.start(session.runs.latest("pk").pk, now=clock.now())
    assert run is not None
    for text in texts:
        say(run, text)
    return run


def say(run: Run, text: str) -> None:
    assert runs.report(run, Emission(Event.Type.MESSAGE, {"role": "assistant", "text": text}), now=clock.now())


def done(person: Person, prompt: str = "Write a haiku") -> Session:
    session = opened(person, prompt)
    runs.succeed(start(session, "Rain again."), now=clock.now())
    return session


def path(session: Session, name: str = "session") -> str:
    return reverse(f"sessions:{name}", args=[session.pk])


def spend(person: Person, but: int = 0) -> None:
    while person.client.get("/api/v1/billing/usage").json()["remaining"] > but:
        assert person.post("/sessions").status_code == 201


def consumed() -> int:
    return LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CONSUME).count()


def as_it_was(session: Session) -> bool:
    """Neither a run more nor one that ended, and still there."""
    now = Session.objects.get(pk=session.pk)
    return (now.deleted_at, now.status, now.runs.count()) == (None, session.status, 1)


# Reading


def test_a_session_is_read_from_the_prompt_to_the_end(bob: Person) -> None:
    session = opened(bob, "Write a haiku\nabout <b>rain</b>")
    runs.succeed(start(session, "Rain & rain,\n  <script>alert(1)</script>"), now=clock.now())
    page = Browser(bob).text(path(session))
    assert '<p class="said" dir="auto">Write a haiku\nabout &lt;b&gt;rain&lt;/b&gt;</p>' in page
    assert '<li class="said" dir="auto">Rain &amp; rain,\n  &lt;script&gt;alert(1)&lt;/script&gt;</li>' in page
    assert "This run was charged." in page
    assert page.count("<h1") == 1


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failed_run_says_whether_it_was_charged(kind: FailureKind, bob: Person) -> None:
    session = opened(bob)
    if kind in (FailureKind.NOT_STARTED, FailureKind.UNUSED):
        runs.fail(session.runs.get().pk, FailureKind.NOT_STARTED, runs.NOT_STARTED, now=clock.now())
    else:
        runs.fail(start(session).pk, kind, "It said: <i>no</i>.", now=clock.now())
    page = Browser(bob).text(path(session))
    assert ("This run was not charged: " in page, "This run was charged: " in page) == (
        kind.is_given_back,
        not kind.is_given_back,
    )
    assert f"<b>{0 if kind.is_given_back else 1}</b> of 10 runs" in page
    assert "<i>" not in page
    assert runs.NOT_STARTED not in page


def test_a_member_reads_another_members_session_and_is_told_why_no_more(
    tara: Person, mike: Person, dana: Person
) -> None:
    session = done(tara)
    page = Browser(mike).text(path(session))
    assert "Rain again." in page
    assert "by Tara" in page
    assert "You can read this session. Going on with it is for Tara, who started it, and for the admins" in page
    assert "<textarea" not in page
    assert path(session, "delete") not in page
    for person in (tara, dana):
        page = Browser(person).text(path(session))
        assert ("<textarea" in page, path(session, "delete") in page) == (True, True)


@pytest.mark.parametrize("name", ["session", "news", "delete", "runs", "stop"])
def test_a_foreign_a_deleted_and_a_missing_session_are_the_same_404(name: str, bob: Person, charlie: Person) -> None:
    session = opened(bob)
    browser = Browser(charlie)
    form = Browser(charlie).form("/sessions/", "/sessions/")
    form.fields["csrfmiddlewaretoken"] = browser.form("/sessions/", "/sessions/").fields["csrfmiddlewaretoken"]
    form.action = path(session, name)
    if name == "news":
        assert browser.get(form.action, **HX)["HX-Refresh"] == "true"
    elif name in ("session", "delete"):
        assert browser.get(form.action).status_code == 404
    if name in ("delete", "runs", "stop"):
        assert browser.send(form, prompt="Mine").status_code == 404
    assert as_it_was(session)
    assert consumed() == 1
    Session.objects.filter(pk=session.pk).update(deleted_at=clock.now())
    assert Browser(bob).get(path(session)).status_code == 404


def test_a_long_session_shows_its_end_and_leads_to_what_was_before(
    bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "EVENTS_AT_ONCE", 3)
    session = opened(bob)
    run = start(session, *[f"Line {number}." for number in range(6)])
    browser, seen = Browser(bob), []
    page = browser.text(path(session))
    while True:
        seen.append(re.findall(r"Line (\d)\.</li>", page))
        earlier = re.search(r'href="(\?before=[^"]+)"', page)
        if earlier is None:
            break
        page = browser.text(path(session) + earlier[1])
        assert "To the latest entries" in page
    assert seen == [["3", "4", "5"], ["0", "1", "2"], []]
    assert browser.get(path(session) + "?before=bogus").status_code == 404
    runs.stop(session.pk, now=clock.now())
    assert run.session_id == session.pk


def test_a_page_costs_at_most_eight_statements_however_long_the_session_is(
    tara: Person, dana: Person, statements: Statements
) -> None:
    session = done(tara)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO sessions_app_run (workspace_id, session_id, prompt, status, failure_kind, error, is_charged,
                    created_at, handed_at, start_by, started_at, finished_at)
                SELECT workspace_id, id, 'Again', 'succeeded', '', '', true, now(), now(), now(), now(), now()
                FROM sessions_app_session, generate_series(1, 2000) WHERE id = %s RETURNING id, session_id
            )
            INSERT INTO sessions_app_event (session_id, run_id, type, data, created_at)
            SELECT session_id, id, kind, '{"text": "Rain."}', now()
            FROM made, (VALUES ('message'), ('message'), ('done')) AS k (kind)
            """,
            [session.pk],
        )
    browser = Browser(dana)
    with statements() as seen:
        page = browser.text(path(session))
    assert page.count("Rain.</li>") <= transcript.EVENTS_AT_ONCE
    assert len(seen) <= 7, [query["sql"] for query in seen]
    earlier = re.search(r'href="(\?before=[^"]+)"', page)
    assert earlier is not None
    with statements() as seen:
        browser.text(path(session) + earlier[1])
    assert len(seen) <= 7, [query["sql"] for query in seen]


# Going on


def test_another_run_is_started_from_the_page_and_costs_one(bob: Person) -> None:
    session = done(bob)
    browser = Browser(bob)
    form = browser.form(path(session), path(session, "runs"))
    answers = [browser.send(form, prompt="And now\r\na sonnet") for _ in range(2)]
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, path(session) + "#live")] * 2
    assert session.runs.latest("pk").prompt == "And now\na sonnet"
    assert (session.runs.count(), consumed()) == (2, 2)


def test_a_session_in_which_the_agent_is_at_work_says_so_and_keeps_what_was_typed(bob: Person) -> None:
    session = done(bob)
    browser = Browser(bob)
    form = browser.form(path(session), path(session, "runs"))
    assert bob.post("/agent/execute", {"session_id": str(session.pk), "prompt": "Elsewhere"}).status_code == 202
    answer = browser.send(form, prompt="A <b>sonnet</b>")
    page = answer.content.decode()
    assert (answer.status_code, session.runs.count(), consumed()) == (409, 2, 2)
    assert "The agent is at work in this session. Wait for it, or stop it first." in page
    assert "A &lt;b&gt;sonnet&lt;/b&gt;</textarea>" in page
    assert f'action="{path(session, "stop")}"' in page
    runs.stop(session.pk, now=clock.now())
    part = looked(browser, page)
    assert "This run was not charged" in part
    # It stands where it was, and is not taken away by what is new.
    assert "<textarea" not in part
    answer = browser.send(form, prompt="A <b>sonnet</b>")
    assert (answer.status_code, session.runs.count()) == (302, 3)


def test_at_the_limit_a_session_can_be_read_and_not_gone_on_with(bob: Person) -> None:
    session = done(bob)
    browser = Browser(bob)
    form = browser.form(path(session), path(session, "runs"))
    spend(bob)
    page = browser.text(path(session))
    assert ("You have used all 10 runs" in page, "Rain again." in page, " disabled" in page) == (True, True, True)
    answer = browser.send(form, prompt="A sonnet")
    assert (answer.status_code, "A sonnet</textarea>" in answer.content.decode()) == (402, True)
    assert (session.runs.count(), consumed()) == (1, 10)


def test_an_empty_prompt_is_explained_and_starts_nothing(bob: Person) -> None:
    session = done(bob)
    browser = Browser(bob)
    answer = browser.send(browser.form(path(session), path(session, "runs")), prompt=" ")
    assert (answer.status_code, "Write what the agent should do." in answer.content.decode()) == (400, True)
    assert as_it_was(Session.objects.get(pk=session.pk))


def test_a_run_that_is_paid_for_is_started_even_at_the_limit_and_costs_nothing_more(bob: Person) -> None:
    spend(bob)
    session = Session.objects.latest("pk")
    browser = Browser(bob)
    page = browser.text(path(session))
    assert "This run is paid for already and costs nothing more." in page
    assert "If nothing is started here by" in page
    assert "You have used all 10 runs" not in page
    assert browser.send(browser.form(path(session), path(session, "runs")), prompt="Now").status_code == 302
    assert (session.runs.get().prompt, consumed()) == ("Now", 10)


def test_a_run_that_was_paid_for_too_long_ago_costs_one_again(
    bob: Person, travel: Callable[[timedelta], object]
) -> None:
    session = Session.objects.get(pk=bob.post("/sessions").json()["id"])
    travel(timedelta(hours=25))
    page = Browser(bob).text(path(session))
    assert "paid for already" not in page
    assert "This costs one run." in page


def test_a_member_cannot_go_on_stop_or_delete_what_is_anothers(tara: Person, mike: Person, dana: Person) -> None:
    session = opened(tara)
    start(session)
    session.refresh_from_db()
    for name in ("runs", "stop", "delete"):
        browser = Browser(mike)
        form = browser.form("/sessions/", "/sessions/")
        form.action = path(session, name)
        answer = browser.send(form, prompt="Mine")
        assert (answer.status_code, "Only its owner, or an admin" in answer.content.decode()) == (403, True)
        assert as_it_was(session)
    assert Browser(mike).get(path(session, "delete")).status_code == 403
    browser = Browser(dana)
    assert browser.send(browser.form(path(session), path(session, "stop"))).status_code == 302
    assert not as_it_was(session)


@pytest.mark.parametrize("name", ["runs", "stop", "delete"])
def test_what_another_site_sends_does_nothing(name: str, bob: Person) -> None:
    session = opened(bob)
    browser = Browser(bob)
    form = browser.form("/sessions/", "/sessions/")
    form.action = path(session, name)
    del form.fields["csrfmiddlewaretoken"]
    assert browser.send(form, prompt="Theirs").status_code == 403
    assert as_it_was(session)
    for other in ("runs", "stop"):
        assert browser.get(path(session, other)).status_code == 405


def test_a_suspended_workspace_can_be_read_and_nothing_done_in_it(bob: Person) -> None:
    session = done(bob)
    session.refresh_from_db()
    browser = Browser(bob)
    form = browser.form(path(session), path(session, "runs"))
    Workspace.objects.filter(pk=bob.workspace.pk).update(suspended_at=clock.now())
    page = browser.text(path(session))
    assert ("This workspace is suspended." in page, "Rain again." in page) == (True, True)
    assert browser.send(form, prompt="A sonnet").status_code == 403
    assert as_it_was(session)


# Stopping and deleting


def test_stopping_what_waits_costs_nothing_and_what_runs_stays_charged(bob: Person) -> None:
    browser = Browser(bob)
    waiting, running = opened(bob), opened(bob)
    start(running)
    for session in (waiting, running):
        answer = browser.send(browser.form(path(session), path(session, "stop")))
        assert (answer.status_code, answer["Location"]) == (302, path(session) + "#live")
    assert "This run was not charged: it was stopped before a worker took it." in browser.text(path(waiting))
    page = browser.text(path(running))
    assert "This run was charged: it was stopped while the agent was at work." in page
    assert "<b>1</b> of 10 runs" in page


def test_deleting_asks_first_and_then_deletes(bob: Person) -> None:
    session = opened(bob, "<i>Secret</i>")
    browser = Browser(bob)
    page = browser.text(path(session, "delete"))
    assert ("Delete this session?" in page, "&lt;i&gt;Secret" in page, "<i>" in page) == (True, True, False)
    assert as_it_was(session)
    answer = browser.send(browser.form(path(session, "delete"), path(session, "delete")))
    assert (answer.status_code, answer["Location"]) == (302, "/sessions/")
    page = browser.text("/sessions/")
    assert "The session “&lt;i&gt;Secret&lt;/i&gt;” was deleted." in page
    assert "No sessions yet" in page
    assert browser.get(path(session)).status_code == 404
    assert Run.objects.get().status == "stopped"


def test_the_dialog_is_given_the_question_alone(bob: Person) -> None:
    session = opened(bob)
    part = Browser(bob).get(path(session, "delete"), **HX).content.decode()
    assert 'id="dialog-title"' in part
    assert "<html" not in part
    assert f'action="{path(session, "delete")}"' in part


# What is new


def next_look(part: str) -> tuple[str, str] | None:
    """Where htmx asks next, and after how long."""
    found = re.search(r'hx-get="([^"]+)"\s+hx-trigger="([^"]+)"', part)
    return (html.unescape(found[1]), found[2]) if found else None


def looked(browser: Browser, part: str) -> str:
    """What htmx gets when it asks as `part` says."""
    look = next_look(part)
    assert look is not None
    answer = browser.get(look[0], **HX)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_while_a_run_is_under_way_the_page_asks_for_what_is_new_ever_less_often(bob: Person) -> None:
    session = opened(bob)
    browser = Browser(bob)
    part = browser.text(path(session))
    delays = []
    for _ in range(8):
        look = next_look(part)
        assert look is not None
        delays.append(look[1])
        part = looked(browser, part)
    assert delays == [f"load delay:{pause}s, every 30s" for pause in (1, 2, 3, 5, 8, 13, 13, 13)]
    start(session, "Rain again.")
    part = looked(browser, part)
    look = next_look(part)
    assert look is not None
    assert look[1] == f"load delay:{pages.PAUSES[0]}s, every 30s"


def test_what_is_new_is_appended_once_and_said(bob: Person) -> None:
    session = opened(bob)
    browser = Browser(bob)
    part = browser.text(path(session))
    run = start(session, "First <b>line</b>.")
    part = looked(browser, part)
    assert '<ol hx-swap-oob="beforeend:#transcript">' in part
    assert part.count("First &lt;b&gt;line&lt;/b&gt;.</li>") == 1
    assert 'data-say="First &lt;b&gt;line&lt;/b&gt;."' in part
    assert re.search(rf'id="state-{run.pk}"[^>]*hx-swap-oob="true">At work<', part)
    assert 'id="usage" hx-swap-oob="true"' in part
    say(run, "Second line.")
    part = looked(browser, part)
    assert ("First" in part, "Second line.</li>" in part) == (False, True)
    assert "transcript" not in looked(browser, part)


def test_the_end_is_announced_the_box_comes_back_and_nothing_is_asked_any_more(bob: Person) -> None:
    session = opened(bob)
    browser = Browser(bob)
    run = start(session)
    part = looked(browser, browser.text(path(session)))
    assert "<textarea" not in part
    runs.fail(run.pk, FailureKind.MODEL_LOST, "Gone.", now=clock.now())
    part = looked(browser, part)
    assert next_look(part) is None
    assert (
        'data-say="The run has ended: Failed. This run was not charged: the model could not be reached. '
        'Please try again."' in part
    )
    assert 'id="state" data-tone="bad" hx-swap-oob="true">Failed<' in part
    assert "<b>0</b> of 10 runs" in part
    assert f'action="{path(session, "runs")}"' in part
    assert "<title>Write a haiku · AI-Manus</title>" in part
    assert next_look(browser.text(path(session))) is None


def test_a_run_that_began_elsewhere_appears_with_its_prompt(bob: Person) -> None:
    session = opened(bob)
    browser = Browser(bob)
    part = browser.text(path(session))
    runs.succeed(start(session, "Done."), now=clock.now())
    assert bob.post("/agent/execute", {"session_id": str(session.pk), "prompt": "Another"}).status_code == 202
    part = looked(browser, part)
    assert part.count('class="asked"') == 1
    assert '<p class="said" dir="auto">Another</p>' in part
    assert next_look(part) is not None


def test_more_than_one_look_shows_comes_with_the_next_though_the_agent_be_at_rest(
    bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "EVENTS_AT_ONCE", 2)
    session = opened(bob)
    browser = Browser(bob)
    part = browser.text(path(session))
    runs.succeed(start(session, "One.", "Two.", "Three."), now=clock.now())
    seen = []
    while next_look(part) is not None:
        part = looked(browser, part)
        seen += re.findall(r"(\w+)\.</li>", part)
    assert seen == ["One", "Two", "Three"]


def test_a_reader_who_may_not_act_gets_news_without_buttons(tara: Person, mike: Person) -> None:
    session = opened(tara)
    start(session, "Rain again.")
    browser = Browser(mike)
    part = browser.text(path(session))
    assert path(session, "stop") not in part
    runs.stop(session.pk, now=clock.now())
    part = looked(browser, part)
    assert "You can read this session." in part
    assert "<textarea" not in part


def test_what_is_new_is_no_page_of_its_own(bob: Person) -> None:
    session = opened(bob)
    answer = Browser(bob).get(path(session, "news"))
    assert (answer.status_code, answer["Location"]) == (302, path(session))
    for query in ("after=x", "run=x", "looks=x", "looks=99999", "looks=-1"):
        wanted = 404 if query.startswith(("after", "run")) else 200
        assert Browser(bob).get(f"{path(session, 'news')}?{query}", **HX).status_code == wanted


def test_a_look_that_finds_nothing_costs_four_statements(bob: Person, statements: Statements) -> None:
    session = opened(bob)
    run = start(session)
    browser = Browser(bob)
    part = browser.text(path(session))
    with statements() as seen:
        part = looked(browser, part)
    assert len(seen) == 4, [query["sql"] for query in seen]
    say(run, "Rain again.")
    with statements() as seen:
        looked(browser, part)
    assert len(seen) == 5, [query["sql"] for query in seen]


def test_the_whole_of_it_with_the_real_worker(bob: Person, work: Callable[[], None], settings: SettingsWrapper) -> None:
    settings.AGENT = "tests.agents.ScriptedAgent"
    browser = Browser(bob)
    answer = browser.send(browser.form("/", "/sessions/"), prompt="ask")
    page = browser.text(answer["Location"])
    assert "Waiting for a worker" in page
    work()
    part = looked(browser, page)
    assert ("Which one?</li>" in part, "What do you answer the agent?" in part) == (True, True)
    session = Session.objects.get()
    assert browser.send(browser.form(path(session), path(session, "runs")), prompt="crash").status_code == 302
    work()
    page = browser.text(path(session))
    assert "This run was not charged: something failed on our side. Please try again." in page
    assert "<b>1</b> of 10 runs" in page
