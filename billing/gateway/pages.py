"""Stripe's pages: Checkout and the portal."""

from typing import Any

import stripe

from billing.gateway.connection import PAGE, client, errors


def open_checkouts(customer: str) -> list[stripe.checkout.Session]:
    with errors("list the open Checkout Sessions"):
        return client().v1.checkout.sessions.list({"customer": customer, "status": "open", "limit": PAGE}).data


def checkout(session: str) -> stripe.checkout.Session:
    with errors("read a Checkout Session"):
        return client().v1.checkout.sessions.retrieve(session)


def expire_checkout(session: str) -> None:
    """Raises StripeRefused when it was completed meanwhile."""
    with errors("expire a Checkout Session"):
        client().v1.checkout.sessions.expire(session)


def update_portal_configuration(configuration: str, parameters: dict[str, Any]) -> None:
    with errors("change the portal's configuration"):
        client().v1.billing_portal.configurations.update(configuration, parameters)  # type: ignore[arg-type]


def checkouts_of(customer: str) -> list[stripe.checkout.Session]:
    """The newest, whatever became of them."""
    with errors("list a customer's Checkout Sessions"):
        return client().v1.checkout.sessions.list({"customer": customer, "limit": PAGE}).data
