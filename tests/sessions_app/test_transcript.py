"""What a session's runs have reported, in the order in which it is read."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts import clock
from accounts.access import Access, load
from sessions_app import lifecycle, runs, transcript
from sessions_app.agents import Emission
from sessions_app.jobs import PLATFORM_FAILED
from sessions_app.models import Event, FailureKind, Run, Session
from sessions_app.transcript import Page
from tests.people import Person

Type = Event.Type


def held_by(person: Person, now: datetime | None = None) -> Access:
    return load(person.user.pk, workspace_id=person.workspace.pk, now=now or clock.now(), is_session=True)


@pytest.fixture
def session(bob: Person) -> Session:
    return lifecycle.open_session(held_by(bob), title="", prompt="One")[0]


def started(session: Session, *reports: tuple[Type, Any]) -> Run:
    run = runs.start(session.runs.latest("pk").pk, now=clock.now())
    assert run is not None
    for type, data in reports:
        assert runs.report(run, Emission(type, data), now=clock.now())
    return run


def another(bob: Person, session: Session, prompt: str) -> None:
    session.refresh_from_db()
    lifecycle.execute(held_by(bob), session, prompt=prompt)


def read(page: Page) -> list[tuple[str, str]]:
    return [(entry.kind, entry.run.prompt if entry.kind == "head" else entry.text) for entry in page.entries]


def test_a_run_begins_with_its_prompt_and_ends_with_its_foot(session: Session) -> None:
    assert read(transcript.latest(session)) == [("head", "One")]
    run = started(
        session,
        (Type.STEP, {"number": 1, "of": 2, "title": "Read"}),
        (Type.TOOL, {"name": "search", "query": "rain"}),
        (Type.MESSAGE, {"role": "assistant", "text": "It rains."}),
    )
    begun = [("head", "One"), ("step", "Read"), ("tool", "search"), ("message", "It rains.")]
    assert read(transcript.latest(session)) == begun
    runs.succeed(run, now=clock.now())
    page = transcript.latest(session)
    assert read(page) == [*begun, ("foot", "")]
    assert page.entries[2].details == '{\n  "query": "rain"\n}'
    assert page.entries[4].took == "0 seconds"


def test_each_run_has_a_head_a_foot_and_what_it_reported(bob: Person, session: Session) -> None:
    runs.succeed(started(session, (Type.MESSAGE, {"text": "First."})), now=clock.now())
    another(bob, session, "Two")
    runs.stop(session.pk, now=clock.now())
    another(bob, session, "Three")
    runs.fail(started(session).pk, FailureKind.TIME, "Too long.", now=clock.now())
    page = transcript.latest(session)
    assert read(page) == [
        *[("head", "One"), ("message", "First."), ("foot", "")],
        *[("head", "Two"), ("foot", "")],
        *[("head", "Three"), ("foot", "")],
    ]
    assert [entry.took for entry in page.entries if entry.kind == "foot"] == ["0 seconds", "", "0 seconds"]
    assert page.entries[-1].cause == "Too long."


def test_what_we_say_ourselves_of_a_failure_is_not_said_twice(session: Session) -> None:
    runs.fail(started(session).pk, FailureKind.PLATFORM, PLATFORM_FAILED, now=clock.now())
    (foot,) = (entry for entry in transcript.latest(session).entries if entry.kind == "foot")
    assert foot.cause == ""


def test_an_error_that_ended_nothing_is_an_entry(session: Session) -> None:
    run = started(session, (Type.ERROR, {"message": "A page was not found."}))
    runs.succeed(run, now=clock.now())
    assert read(transcript.latest(session))[1:] == [("error", "A page was not found."), ("foot", "")]


def test_a_run_that_nobody_gave_a_task_is_there_and_ended(bob: Person) -> None:
    session, run, _quota = lifecycle.open_session(held_by(bob), title="Later", prompt="")
    assert read(transcript.latest(session)) == [("head", "")]
    assert runs.give_back_unused(run.pk, now=clock.now() + timedelta(days=2))
    page = transcript.latest(session)
    assert read(page) == [("head", ""), ("foot", "")]
    another(bob, session, "Now")
    assert read(transcript.latest(session)) == [("head", ""), ("foot", ""), ("head", "Now")]


@pytest.mark.parametrize("data", [{}, {"text": None}, {"title": ["a"], "name": 7, "text": {"b": 1}}, ["a"], "a"])
@pytest.mark.parametrize("type", [Type.MESSAGE, Type.STEP, Type.TOOL, Type.ERROR])
def test_whatever_an_agent_reports_can_be_read(type: Type, data: Any, session: Session) -> None:
    started(session, (Type.MESSAGE, {"text": "Before."}))
    Event.objects.create(session=session, run=session.runs.get(), type=type, data=data, created_at=clock.now())
    assert read(transcript.latest(session))[:2] == [("head", "One"), ("message", "Before.")]


# In parts


def test_the_latest_come_first_and_what_was_before_them_on_pages_of_its_own(
    bob: Person, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "EVENTS_AT_ONCE", 4)
    # Each has four events: its prompt, two messages, its end.
    for number in range(3):
        if number:
            another(bob, session, str(number))
        run = started(session, *[(Type.MESSAGE, {"text": f"{number}.{part}"}) for part in range(2)])
        runs.succeed(run, now=clock.now())
    latest = transcript.latest(session)
    assert read(latest) == [("head", "2"), ("message", "2.0"), ("message", "2.1"), ("foot", "")]
    assert (latest.has_earlier, latest.has_later) == (True, False)
    assert latest.first_event is not None
    middle = transcript.before(session, latest.first_event)
    assert read(middle) == [("head", "1"), ("message", "1.0"), ("message", "1.1"), ("foot", "")]
    assert (middle.has_earlier, middle.has_later) == (True, True)
    assert middle.first_event is not None
    first = transcript.before(session, middle.first_event)
    assert read(first) == [("head", "One"), ("message", "0.0"), ("message", "0.1"), ("foot", "")]
    assert (first.has_earlier, first.has_later) == (False, True)


def test_a_page_may_begin_in_the_middle_of_a_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "EVENTS_AT_ONCE", 2)
    started(session, *[(Type.MESSAGE, {"text": str(number)}) for number in range(5)])
    latest = transcript.latest(session)
    assert read(latest) == [("head", "One"), ("message", "3"), ("message", "4")]
    assert latest.first_event is not None
    assert read(transcript.before(session, latest.first_event)) == [("head", "One"), ("message", "1"), ("message", "2")]


def test_news_are_what_came_after_an_event_and_the_heads_of_new_runs(bob: Person, session: Session) -> None:
    known = transcript.latest(session)
    assert known.last_run is not None
    nothing = transcript.after(session, known.last_event, run_id=known.last_run.pk)
    assert (read(nothing), nothing.last_event) == ([], known.last_event)
    run = started(session, (Type.MESSAGE, {"text": "First."}))
    news = transcript.after(session, known.last_event, run_id=known.last_run.pk)
    assert read(news) == [("message", "First.")]
    runs.succeed(run, now=clock.now())
    another(bob, session, "Two")
    news = transcript.after(session, news.last_event, run_id=run.pk)
    assert read(news) == [("foot", ""), ("head", "Two")]
    assert news.last_run is not None
    assert news.last_run.prompt == "Two"


def test_more_news_than_one_look_shows_are_left_to_the_next(
    bob: Person, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "EVENTS_AT_ONCE", 2)
    run = started(session, (Type.MESSAGE, {"text": "First."}))
    runs.succeed(run, now=clock.now())
    another(bob, session, "Two")
    news = transcript.after(session, None, run_id=run.pk)
    assert (read(news), news.has_later) == ([("message", "First.")], True)
    news = transcript.after(session, news.last_event, run_id=run.pk)
    assert (read(news), news.has_later) == ([("foot", ""), ("head", "Two")], False)
