"""A whole reconciliation that staff ask for: a worker carries it out, one at a time, and the desk sees how far it is.

How it stands is kept in a table of the database's cache, beside whatever cache there is: a dry run leaves no report.
"""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.core.cache import caches
from django.db import connection, transaction

from accounts.models import User
from billing import audit, gateway, reconciliation
from billing.findings import Outcome
from billing.reconciliation import AlreadyUnderWay, Progress

KEY: Final = "billing:reconciliation"
KEPT: Final = timedelta(days=7)
# Who says nothing for so long has died, and no longer stands in another's way.
SILENT: Final = timedelta(minutes=10)
# So often the worker says how far it is.
TOLD_EACH: Final = timedelta(seconds=1)


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    # With a sentence that says why.
    REFUSED = "refused"


@dataclass(frozen=True)
class Asked:
    """The last that was asked for. Instants are the wall clock's; `what`, `done`, `total` are of the present step."""

    id: str
    is_dry_run: bool
    actor: str
    asked_at: datetime
    told_at: datetime
    state: State = State.WAITING
    what: str = ""
    done: int = 0
    total: int | None = None
    sentence: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_under_way(self) -> bool:
        return self.state in (State.WAITING, State.RUNNING) and datetime.now(UTC) - self.told_at < SILENT

    @property
    def is_lost(self) -> bool:
        """Nobody has heard of it again."""
        return self.state in (State.WAITING, State.RUNNING) and not self.is_under_way


def last() -> Asked | None:
    """One statement."""
    found = _cache().get(KEY)
    try:
        return Asked(**found | {"state": State(found["state"])}) if found else None
    except (TypeError, ValueError, KeyError):
        # Of another release.
        return None


@transaction.atomic
def ask(*, is_dry_run: bool, reason: str, actor: User, now: datetime) -> Asked:
    """For the worker. Raises BillingNotConfigured, and AlreadyUnderWay while another one is, whoever wanted that."""
    from billing import jobs  # which import this module

    gateway.client()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing:reconciliation', 0))")
    present = last()
    if (present is not None and present.is_under_way) or reconciliation.is_under_way():
        raise AlreadyUnderWay
    wall = datetime.now(UTC)
    asked = Asked(str(uuid.uuid4()), is_dry_run, actor.email, wall, wall)
    _keep(asked)
    if not is_dry_run:
        audit.record("reconcile all", target="reconciliation", reason=reason, actor=actor, now=now)
    jobs.reconcile_as_asked.defer(asked=asked.id, reason=reason, actor_id=str(actor.pk))
    return asked


def carry_out(id: str, *, reason: str, actor: User, now: datetime) -> None:
    """What was asked for, unless something else was since. Safe to run again after a death: it begins anew."""
    asked = last()
    if asked is None or asked.id != id or asked.state not in (State.WAITING, State.RUNNING):
        return
    try:
        outcome = reconciliation.reconcile(
            now=now, is_dry_run=asked.is_dry_run, actor=actor, reason=reason, progress=_telling(asked)
        )
    except AlreadyUnderWay:
        _end(asked, State.REFUSED, sentence="Another reconciliation was under way when this one was to begin.")
    except gateway.BillingNotConfigured:
        _end(asked, State.REFUSED, sentence="The worker has no key of Stripe's: there is nothing to compare with.")
    except Exception:
        _end(asked, State.REFUSED, sentence="It failed; the log of the worker says why.")
        raise
    else:
        _end(asked, State.ENDED, outcome=asdict(outcome) | {"is_clean": outcome.is_clean})


def in_words(outcome: Outcome) -> str:
    """What a reconciliation of one workspace came to."""
    if outcome.failures:
        return f"It could not be looked at: {outcome.failures[0].sentence}"
    if not outcome.drifted:
        return "Nothing differs: our row is as Stripe has it."
    if outcome.mended < outcome.drifted:
        return "It was synchronised, and something still differs: the log says more."
    return "Mended: our row is as Stripe has it."


def _telling(asked: Asked, *, each: timedelta = TOLD_EACH) -> Progress:
    told_at = datetime.min.replace(tzinfo=UTC)

    def tell(what: str, done: int, total: int | None) -> None:
        nonlocal told_at
        wall = datetime.now(UTC)
        if wall - told_at >= each:
            told_at = wall
            _keep(replace(asked, state=State.RUNNING, told_at=wall, what=what, done=done, total=total))

    tell("workspaces", 0, None)
    return tell


def _end(asked: Asked, state: State, **more: Any) -> None:
    _keep(replace(asked, state=state, told_at=datetime.now(UTC), **more))


def _keep(asked: Asked) -> None:
    _cache().set(KEY, asdict(asked) | {"state": asked.state.value}, timeout=int(KEPT.total_seconds()))


def _cache() -> Any:
    return caches["lasting"]
