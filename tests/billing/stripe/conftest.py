"""What the tests of money begin with: the stand-in, our prices at it, and people who can pay."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn
from tests.people import Person


@pytest.fixture
def payer(shop: StandIn, stripe_client: stripe.StripeClient, bob: Person) -> Payer:
    """bob, on FREE, with a way to pay."""
    return Payer(bob, shop, stripe_client)


@pytest.fixture
def subscriber(payer: Payer) -> Payer:
    """bob, who has bought BASIC by the month."""
    payer.buy("basic")
    return payer


@pytest.fixture
def pro(payer: Payer) -> Payer:
    """bob, who has bought PRO by the month."""
    payer.buy("pro")
    return payer


@pytest.fixture
def other(shop: StandIn, stripe_client: stripe.StripeClient, charlie: Person) -> Payer:
    """charlie, a stranger who can pay too."""
    return Payer(charlie, shop, stripe_client)


@pytest.fixture
def calls(shop: StandIn) -> Callable[[], list[str]]:
    """The requests that reached Stripe since it was last asked: `POST /v1/customers`."""

    def made() -> list[str]:
        requests: list[dict[str, Any]] = shop.control("GET", "requests")["requests"]
        shop.control("DELETE", "requests")
        return [f"{request['method']} {request['path']}" for request in requests]

    made()
    return made
