"""All that Stripe holds of a kind, newest first, a page at a time: what was read is not kept."""

from collections.abc import Callable, Iterator
from typing import Any

import stripe

from billing.gateway.connection import PAGE, client, errors


def all_customers() -> Iterator[list[stripe.Customer]]:
    """Those that are deleted are not listed."""
    return _pages("list the customers", client().v1.customers.list)


def all_subscriptions() -> Iterator[list[stripe.Subscription]]:
    return _pages("list the subscriptions", client().v1.subscriptions.list, status="all")


def all_refunds() -> Iterator[list[stripe.Refund]]:
    """With their charges, which name the customers."""
    return _pages("list the refunds", client().v1.refunds.list, expand=["data.charge"])


def all_disputes() -> Iterator[list[stripe.Dispute]]:
    """With their charges, which name the customers."""
    return _pages("list the disputes", client().v1.disputes.list, expand=["data.charge"])


def all_open_checkouts() -> Iterator[list[stripe.checkout.Session]]:
    return _pages("list the open Checkout Sessions", client().v1.checkout.sessions.list, status="open")


def _pages(act: str, read: Callable[[Any], Any], **parameters: Any) -> Iterator[list[Any]]:
    parameters["limit"] = PAGE
    while True:
        with errors(act):
            listed = read(parameters)
        if listed.data:
            yield listed.data
        if not listed.has_more:
            return
        parameters["starting_after"] = listed.data[-1].id
