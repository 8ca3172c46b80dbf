"""What a session's runs have reported, as one column of entries that a person reads from top to bottom."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from sessions_app import jobs, runs, words
from sessions_app.models import Event, FailureKind, Run, Session

# On one page, or in one look at what is new.
EVENTS_AT_ONCE = 200

# The charge is spoken of in our own words, in the viewer's language.
SAID_BY_THE_CHARGE = {runs.NOT_STARTED, runs.WORKER_LOST, jobs.PLATFORM_FAILED}


@dataclass(frozen=True)
class Entry:
    """One of a run's: `kind` is head, message, step, tool, error or foot; head and foot are of no event."""

    kind: str
    run: Run
    text: str = ""
    # The further lines of a tool.
    details: str = ""
    number: Any = None
    of: Any = None

    @property
    def status(self) -> words.Status:
        return words.of_run(self.run)

    @property
    def charge(self) -> Any:
        return words.charge(self.run)

    @property
    def cause(self) -> str:
        """The agent's own words for why a run failed; ours are in `charge`."""
        return "" if self.run.error in SAID_BY_THE_CHARGE else self.run.error

    @property
    def took(self) -> str:
        """From the start to the end; nothing for a run that no worker took."""
        if self.run.started_at is None or self.run.finished_at is None:
            return ""
        return words.duration((self.run.finished_at - self.run.started_at).total_seconds())


@dataclass(frozen=True)
class Page:
    """Some of a session's entries, one after the other."""

    entries: list[Entry]
    runs: list[Run]
    first_event: uuid.UUID | None
    last_event: uuid.UUID | None
    has_earlier: bool = False
    has_later: bool = False

    @property
    def last_run(self) -> Run | None:
        return self.runs[-1] if self.runs else None


def latest(session: Session) -> Page:
    """The end of a session's transcript, in two statements."""
    return _backwards(session, session.events.all(), is_end=True)


def before(session: Session, event_id: uuid.UUID) -> Page:
    """What came right before an event."""
    page = _backwards(session, session.events.filter(pk__lt=event_id), is_end=False)
    return replace(page, has_later=True)


def after(session: Session, event_id: uuid.UUID | None, *, run_id: uuid.UUID | None) -> Page:
    """What is new to who has read up to an event and the head of a run; one statement while nothing is."""
    events = session.events.order_by("pk")
    found = list((events if event_id is None else events.filter(pk__gt=event_id))[: EVENTS_AT_ONCE + 1])
    if not found:
        return Page([], [], None, event_id)
    shown = found[:EVENTS_AT_ONCE]
    has_later = len(found) > EVENTS_AT_ONCE
    concerned = session.runs.order_by("pk")
    if run_id is not None:
        concerned = concerned.filter(pk__gte=run_id)
    # Whatever began after the last event that is shown is left to the next look.
    known = [run for run in concerned if not has_later or run.pk <= shown[-1].run_id]
    return Page(list(_entries(known, shown, run_id)), known, shown[0].pk, shown[-1].pk, has_later=has_later)


def _backwards(session: Session, events: QuerySet[Event], *, is_end: bool) -> Page:
    found = list(events.order_by("-pk")[: EVENTS_AT_ONCE + 1])
    has_earlier = len(found) > EVENTS_AT_ONCE
    shown = found[:EVENTS_AT_ONCE][::-1]
    concerned = session.runs.order_by("pk")
    if has_earlier:
        concerned = concerned.filter(pk__gte=shown[0].run_id)
    if shown and not is_end:
        concerned = concerned.filter(pk__lte=shown[-1].run_id)
    known = list(concerned)
    return Page(
        list(_entries(known, shown, None)),
        known,
        shown[0].pk if shown else None,
        shown[-1].pk if shown else None,
        has_earlier=has_earlier,
    )


def _entries(runs: Sequence[Run], events: Sequence[Event], known: uuid.UUID | None) -> Iterator[Entry]:
    """Each run's head, unless it is the known one, then its events, and its foot where its end is among them."""
    reported: dict[uuid.UUID, list[Event]] = {run.pk: [] for run in runs}
    for event in events:
        if event.run_id in reported:
            reported[event.run_id].append(event)
    for run in runs:
        if run.pk != known:
            yield Entry("head", run)
        for event in reported[run.pk]:
            yield from _entry(run, event)
        # A run that nobody gave a task has no events, not even that of its end.
        if run.failure_kind == FailureKind.UNUSED:
            yield Entry("foot", run)


def _entry(run: Run, event: Event) -> Iterator[Entry]:
    # What an agent reports is foreign: of any shape, and whatever is not there is not shown.
    data: dict[str, Any] = event.data if isinstance(event.data, dict) else {"text": event.data}
    match event.type:
        case Event.Type.MESSAGE:
            # The head has the prompt.
            if data.get("role") != "user":
                yield Entry("message", run, _text(data.get("text")))
        case Event.Type.STEP:
            yield Entry("step", run, _text(data.get("title")), number=data.get("number"), of=data.get("of"))
        case Event.Type.TOOL:
            details = {name: value for name, value in data.items() if name != "name"}
            yield Entry("tool", run, _text(data.get("name")) or _("A tool"), _pretty(details))
        case Event.Type.ERROR:
            # What ended the run is said at its foot.
            if (message := _text(data.get("message"))) and message != run.error:
                yield Entry("error", run, message)
        case Event.Type.DONE:
            yield Entry("foot", run)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pretty(details: dict[str, Any]) -> str:
    return json.dumps(details, ensure_ascii=False, indent=2) if details else ""
