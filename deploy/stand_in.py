"""Which Stripe the demo speaks to: the stand-in, which it starts, or the developer's account in test mode."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from deploy.files import LaunchError

PORT = 12111
PREFIX = "STRIPE_"
# What belongs to one account at Stripe, and says nothing at the stand-in.
OF_AN_ACCOUNT = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PRICE_ID_", "STRIPE_API_HOST")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """False when a key names a Stripe account. Raises LaunchError for a live key: this is no place for real cards."""
    key = environment.get("STRIPE_SECRET_KEY", "").strip()
    if "_live_" in key:
        raise LaunchError("STRIPE_SECRET_KEY is a live key: the demo takes a test key (sk_test_...), or none.")
    return not key


def variables(
    environment: Mapping[str, str], before: Mapping[str, str], *, port: int, clock_offset: Path
) -> dict[str, str]:
    """What the application is told of Stripe. The stand-in's key and secret outlive a restart, in `before`."""
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and name != "STRIPE_PORT"}
    if not is_wanted(environment):
        return given
    options = {name: value for name, value in given.items() if not name.startswith(OF_AN_ACCOUNT)}
    # Those of an account, with which the demo ran last, stand without a clock that can be moved.
    kept = before if "CLOCK_OFFSET_FILE" in before else {}
    return options | {
        "STRIPE_SECRET_KEY": kept.get("STRIPE_SECRET_KEY") or f"sk_test_{secrets.token_hex(16)}",
        "STRIPE_WEBHOOK_SECRET": kept.get("STRIPE_WEBHOOK_SECRET") or f"whsec_{secrets.token_hex(16)}",
        "STRIPE_API_HOST": address(port),
        "CLOCK_OFFSET_FILE": str(clock_offset),
    }


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the children before `variables` are added to it."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(PREFIX) and name != "CLOCK_OFFSET_FILE"
    }


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def command(environment: Mapping[str, str], *, port: int, state: Path) -> list[str]:
    """What Python is given to run it. As a process: nothing outside `tests` imports `tests`."""
    return [
        "-m",
        "tests.fake_stripe",
        f"--port={port}",
        f"--state-dir={state}",
        f"--webhook-url={environment['SITE_URL']}/api/v1/billing/webhook",
        f"--webhook-secret={environment['STRIPE_WEBHOOK_SECRET']}",
        f"--api-key={environment['STRIPE_SECRET_KEY']}",
    ]
