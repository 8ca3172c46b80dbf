"""The stand-in for Stripe, as tests of the application ask for it; tests/conftest.py hands the fixtures on."""

from collections.abc import Callable, Generator

import pytest
import stripe
from pytest_django import Settings as SettingsWrapper

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.running import API_KEY, StandIn, running
from tests.stripe_shop import Published


@pytest.fixture(scope="session")
def stripe_stand_in_process(tmp_path_factory: pytest.TempPathFactory) -> Generator[StandIn, None, None]:
    """One a pytest worker, holding everything against Stripe's own description."""
    with running(tmp_path_factory.mktemp("stripe"), "--check", f"--api-key={API_KEY}") as stand_in:
        yield stand_in


@pytest.fixture
def stripe_stand_in(
    stripe_stand_in_process: StandIn, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> Generator[StandIn, None, None]:
    """Empty, and the Stripe of the application, with which it shares its clock. A call that Stripe's
    description does not allow, in either direction, fails the test at its end."""
    stand_in = stripe_stand_in_process
    stand_in.control("POST", "reset")
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = API_KEY
    settings.STRIPE_API_BASE = stand_in.url
    settings.CLOCK_OFFSET_FILE = str(stand_in.state / "clock-offset")
    # dj-stripe's own calls go where the SDK's module says.
    monkeypatch.setattr(stripe, "api_base", stand_in.url)
    # Between its tries the SDK waits, half a second and longer each time.
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    yield stand_in
    assert stand_in.violations() == []


@pytest.fixture(scope="session")
def published() -> Published:
    return Published()


@pytest.fixture
def shop(db: None, stripe_stand_in: StandIn, published: Published) -> StandIn:
    """Stripe, with our plans published to it."""
    published.at(stripe_stand_in)
    return stripe_stand_in


@pytest.fixture
def stripe_client(stripe_stand_in: StandIn) -> stripe.StripeClient:
    """For what the application does not do by itself: a product in the dashboard, a card of the customer's."""
    return stripe.StripeClient(
        API_KEY,
        base_addresses={"api": stripe_stand_in.url},
        stripe_version=API_VERSION,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=30),
    )


@pytest.fixture
def stripe_calls(stripe_stand_in: StandIn) -> Callable[[], list[str]]:
    """Method and path of each request to the API since the test began."""
    return lambda: [
        f"{request['method']} {request['path']}" for request in stripe_stand_in.control("GET", "requests")["requests"]
    ]
