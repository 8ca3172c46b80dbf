"""What was never delivered is read from Stripe's own list of events, into the same inbox."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

import stripe
from django.db import connection, transaction

from billing import gateway, webhooks
from billing.models import EventCursor

log = logging.getLogger(__name__)

# A delivery takes seconds. When none has come for so long, though Stripe's list grew, none comes.
SILENCE: Final = timedelta(minutes=5)
# At most so many pages a time; the next time goes on from there.
PAGES: Final = 50


def catch_up(*, now: datetime) -> int:
    """Reads on from where the last time ended; how many events had not been delivered. Raises what `gateway` raises.

    The first time it only remembers where the list ends: what is older, reconciliation covers.
    """
    cursor = EventCursor.objects.first()
    if cursor is None:
        _move_to(gateway.newest_event())
        return 0
    missed = 0
    for _ in range(PAGES):
        page, has_more = gateway.events_after(cursor.stripe_id)
        if page is None:
            # Stripe keeps its events for thirty days: all that it still has is read again.
            log.warning(
                "Stripe has forgotten the event %s, up to which its list was read. What is older than its list,"
                " `manage.py reconcile` finds.",
                cursor.stripe_id,
            )
            return missed + _read_everything()
        with transaction.atomic():
            missed += sum(_take(event) for event in page)
            if page:
                _move_to(page[-1].id)
                cursor.stripe_id = page[-1].id
        if not has_more:
            break
    if missed:
        _listen(now)
    return missed


def _listen(now: datetime) -> None:
    """Loud when Stripe's list grows and deliveries are silent.

    Whoever reads every five minutes finds each event young, also while none is delivered: what counts is
    since when nothing but reading has brought any.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), min(created_at) FROM billing_stripeevent
            WHERE id > (SELECT coalesce(max(id), 0) FROM billing_stripeevent WHERE NOT is_caught_up)
            """
        )
        count, since = cursor.fetchone() or (0, None)
    if since is not None and now - since > SILENCE:
        log.error(
            "No delivery has come since %s, and %s events stood in Stripe's list: see that the webhook endpoint is"
            " reached (manage.py check_webhook_endpoint).",
            since.isoformat(timespec="seconds"),
            count,
        )


def _read_everything() -> int:
    """From the newest event back to the oldest that Stripe has; how many were not in the inbox."""
    newest = before = None
    missed, has_more = 0, True
    while has_more:
        page, has_more = gateway.events_before(before)
        missed += sum(_take(event) for event in page)
        newest = newest or (page[0].id if page else None)
        before = page[-1].id if page else None
    _move_to(newest)
    return missed


def _take(event: stripe.Event) -> bool:
    data = json.loads(str(event))
    return webhooks.receive(data, json.dumps(data), is_caught_up=True) == "accepted"


def _move_to(event: str | None) -> None:
    if event is not None:
        EventCursor.objects.update_or_create(id=1, defaults={"stripe_id": event, "read_at": datetime.now(UTC)})
