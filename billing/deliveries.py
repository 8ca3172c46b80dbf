"""What waits in the inbox is worked off: one look at a customer serves all of its events.

Marked done is only what was there before the look began. A failure pauses the events that it left,
longer and longer; a fresh event never waits behind that pause, and takes the others along.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from itertools import batched
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.errors import Problem
from accounts.models import User
from billing import audit, gateway, mirror, sync
from billing.models import StripeEvent

log = logging.getLogger(__name__)

# A failure pauses an event for as long as it has been waiting. Not by how often it failed: ten events that come
# within one second of silence are ten failures for each of them, and no reason to rest for an hour.
SHORTEST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=1)
# Stripe tells of one thing by many events, and those that come within so long are one reason to look.
MOMENT: Final = timedelta(seconds=5)
# Who waits for their first purchase overtakes what only keeps rows fresh.
FIRST: Final = frozenset({"checkout.session.completed", "customer.subscription.created"})
# Who was rung by the sweep is not rung again for so long.
RUNG_FOR: Final = timedelta(minutes=2)
TRIED_FOR: Final = timedelta(days=1)
# Who looks for a day's events finds those that were done within so long: the others waited for a worker all the while.
DONE_WITHIN: Final = timedelta(days=3)
# In the audit trail, of those that were replayed at once.
MOST_NAMED: Final = 100
# PostgreSQL takes 65,535 parameters.
AT_ONCE: Final = 10_000
State = StripeEvent.State
ENDED: Final = (State.DEAD, State.UNMATCHED)


def look_at_customer(customer: str, *, now: datetime, event: str = "") -> None:
    """Safe to run at any time, by any number of workers; without anything waiting it calls nobody.

    With `event` only while nobody has tried that one: an earlier look has served it, or paused it. And of those that
    come in one moment only for the last, because its look serves them all.
    """
    waiting = list(_waiting().filter(customer=customer).only("stripe_id", "type", "attempts", "received_at"))
    if event:
        untried = {one.stripe_id: one for one in waiting if not one.attempts}
        if event not in untried or _is_followed(untried[event], list(untried.values())):
            return
    rows = [one.pk for one in waiting]
    if not rows:
        return
    with _counted(rows):
        if sync.sync_customer(customer, now=now, insist=True) is None:
            _fail(rows, "No workspace has this customer.", in_the_end=State.UNMATCHED)
        else:
            _finish(rows)


def _is_followed(event: StripeEvent, untried: Sequence[StripeEvent]) -> bool:
    """By one whose own job comes after this one's; but nothing waits for long, and a first purchase not at all."""
    is_moment = datetime.now(UTC) - min(one.received_at for one in untried) < MOMENT
    return is_moment and event.type not in FIRST and any(one.pk > event.pk for one in untried)


def look_at_event(event_id: str, *, now: datetime) -> None:
    """An event that names no customer: it is found by its charge; or it is a product or price for the mirror."""
    event = _waiting().filter(stripe_id=event_id).first()
    if event is None:
        return
    with _counted([event.pk]):
        if event.type.startswith(("price.", "product.")):
            _reflect(event.points_to)
            _finish([event.pk])
        elif customer := gateway.customer_of(event.points_to):
            _leave_to_look(event, customer)
        else:
            _fail([event.pk], f"{event.points_to or 'It'} names no customer.", in_the_end=State.UNMATCHED)


@transaction.atomic
def _leave_to_look(event: StripeEvent, customer: str) -> None:
    """By a job of its own, because the looks at a customer follow one another."""
    from billing import jobs  # which import this module

    StripeEvent.objects.filter(pk=event.pk).update(customer=customer)
    jobs.look_at_customer.configure(lock=customer).defer(customer=customer)


def due() -> tuple[list[str], list[str]]:
    """Customers, and events without one, whose pause is over. Their next pause begins, so that each is rung once."""
    wall = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH due AS MATERIALIZED ( -- once: a subquery with SKIP LOCKED could be run for every row
                SELECT id FROM billing_stripeevent WHERE state = 'waiting' AND next_attempt_at <= %(wall)s
                ORDER BY next_attempt_at LIMIT 1000 FOR UPDATE SKIP LOCKED
            )
            UPDATE billing_stripeevent e SET next_attempt_at = %(again)s FROM due WHERE e.id = due.id
            RETURNING customer, stripe_id
            """,
            {"wall": wall, "again": wall + RUNG_FOR},
        )
        found = cursor.fetchall()
    return sorted({customer for customer, _ in found if customer}), [id for customer, id in found if not customer]


def ended() -> QuerySet[StripeEvent]:
    """Nobody tries them any more, until they are replayed."""
    return StripeEvent.objects.filter(state__in=ENDED)


@transaction.atomic
def replay(events: QuerySet[StripeEvent], *, reason: str, actor: User | None, now: datetime) -> int:
    """Those of them that are dead or unmatched wait again, from the first attempt on; how many.

    Those that wait already are left alone, so that asking twice does nothing twice.
    """
    wall = datetime.now(UTC)
    chosen = events.filter(state__in=ENDED).order_by().select_for_update().values_list("pk", "stripe_id")
    ids = dict(chosen)
    for some in batched(ids, AT_ONCE):
        StripeEvent.objects.filter(pk__in=some).update(
            state=State.WAITING, attempts=0, received_at=wall, next_attempt_at=wall
        )
    if ids:
        names = sorted(ids.values())
        audit.record(
            "replay events",
            target=f"stripe:{names[0]}" if len(names) == 1 else "stripeevent",
            reason=reason,
            actor=actor,
            now=now,
            after={"replayed": len(names), "events": names[:MOST_NAMED]},
        )
    return len(ids)


def received_on(day: date) -> Q:
    """On that day of the reader's. By an index: of those that are done, they were so soon after."""
    since = datetime.combine(day, time(), timezone.get_current_timezone())
    until = since + timedelta(days=1)
    soon = Q(state=State.DONE, done_at__gte=since, done_at__lt=until + DONE_WITHIN)
    return Q(received_at__gte=since, received_at__lt=until) & (soon | ~Q(state=State.DONE))


def forget_old(*, before: datetime) -> None:
    """Events that are done; what is not done is kept."""
    StripeEvent.objects.filter(state=State.DONE, done_at__lt=before).delete()


def _waiting() -> QuerySet[StripeEvent]:
    return StripeEvent.objects.filter(state=State.WAITING)


def _finish(events: Sequence[int]) -> None:
    StripeEvent.objects.filter(pk__in=events).update(state=State.DONE, done_at=datetime.now(UTC), error="")


@contextmanager
def _counted(events: Sequence[int]) -> Iterator[None]:
    """What goes wrong is written on the events, and the job ends well; but for a database that cannot be told."""
    try:
        yield
    except (OperationalError, InterfaceError):
        raise
    except Problem as problem:
        _fail(events, f"{problem.code}: {getattr(problem, 'message', '') or problem.detail}")
    except sync.Overtaken:
        _fail(events, "Other looks at this customer began before this one could write.")
    except Exception as error:
        log.exception("What Stripe holds could not be taken over.")
        _fail(events, f"{type(error).__name__}: {error}")


@transaction.atomic
def _fail(events: Sequence[int], error: str, *, in_the_end: State = State.DEAD) -> None:
    wall = datetime.now(UTC)
    for event in _waiting().filter(pk__in=events).select_for_update():
        event.attempts += 1
        event.error = error[:300]
        if wall - event.received_at >= TRIED_FOR:
            event.state = in_the_end
            log.error("The event %s (%s) is %s: %s", event.stripe_id, event.type, in_the_end, error)
        else:
            event.next_attempt_at = wall + min(max(wall - event.received_at, SHORTEST_PAUSE), LONGEST_PAUSE)
        event.save(update_fields=["attempts", "error", "state", "next_attempt_at"])


def _reflect(id: str) -> None:
    found = gateway.price(id) if id.startswith("price_") else gateway.product(id)
    if found is not None:
        with gateway.errors("fill the mirror"):
            mirror.prepare([found], api_key=settings.STRIPE_SECRET_KEY)
        mirror.store([found], api_key=settings.STRIPE_SECRET_KEY)
