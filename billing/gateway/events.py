"""Stripe's own list of events, and where it sends them."""

from typing import Any

import stripe

from billing.gateway.connection import MISSING, PAGE, client, errors


def newest_event() -> str | None:
    with errors("read the newest event"):
        found = client().v1.events.list({"limit": 1}).data
    return found[0].id if found else None


def events_after(event: str) -> tuple[list[stripe.Event] | None, bool]:
    """The page right after an event, oldest first, and whether there is more; None when it is forgotten."""
    with errors("read on in the events"):
        try:
            listed = client().v1.events.list({"ending_before": event, "limit": PAGE})
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None, False
    return listed.data[::-1], listed.has_more


def events_before(event: str | None) -> tuple[list[stripe.Event], bool]:
    """The page right before an event, or the newest, newest first; and whether there is more."""
    parameters: Any = {"limit": PAGE} | ({"starting_after": event} if event else {})
    with errors("read back in the events"):
        listed = client().v1.events.list(parameters)
    return listed.data, listed.has_more


def webhook_endpoints() -> list[stripe.WebhookEndpoint]:
    with errors("list the webhook endpoints"):
        return client().v1.webhook_endpoints.list({"limit": PAGE}).data
