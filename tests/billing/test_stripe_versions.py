"""The SDK is set up as the settings say, and versions that move apart stop the start."""

import stripe
from django.conf import settings
from django.core.checks import run_checks
from pytest_django import Settings as SettingsWrapper

from billing import checks
from tests.fake_stripe import API_VERSION

AGREED = {
    "sdk": "15.6.2",
    "mirror": "2.11.0",
    "sdk_speaks": API_VERSION,
    "mirror_speaks": API_VERSION,
    "we_speak": API_VERSION,
}


def stripe_ids() -> list[str | None]:
    return [message.id for message in run_checks(tags=["stripe"])]


def test_what_is_installed_agrees() -> None:
    assert stripe_ids() == []


def test_another_version_of_the_api_in_the_settings_is_an_error(settings: SettingsWrapper) -> None:
    settings.STRIPE_API_VERSION = "2025-03-31.basil"
    assert stripe_ids() == ["billing.E003", "billing.E004"]


def test_each_of_them_that_moves_alone_is_an_error() -> None:
    def ids(**moved: str) -> list[str | None]:
        return [message.id for message in checks.drift(**{**AGREED, **moved})]

    assert ids() == []
    assert ids(sdk="15.60.0") == ids(sdk="15.5.1") == ids(sdk="16.0.0") == ["billing.E001"]
    assert ids(mirror="2.12.0") == ids(mirror="3.0.0") == ["billing.E002"]
    assert ids(mirror_speaks="2026-08-26.dahlia") == ["billing.E003"]
    assert ids(sdk_speaks="2026-08-26.dahlia") == []
    assert ids(sdk_speaks="2026-04-22.dahlia") == ids(sdk_speaks="2027-03-31.edelweiss") == ["billing.E004"]


def test_the_sdk_waits_and_tries_as_long_as_the_settings_say() -> None:
    assert (stripe.api_version, stripe.api_base) == (settings.STRIPE_API_VERSION, settings.STRIPE_API_BASE)
    assert stripe.max_network_retries == settings.STRIPE_RETRIES
    assert stripe.default_http_client is not None
    assert stripe.default_http_client._timeout == settings.STRIPE_TIMEOUT_SECONDS  # type: ignore[attr-defined]
    assert stripe.enable_telemetry is False
    # Without a key of its own, nothing is called by accident.
    assert stripe.api_key is None
