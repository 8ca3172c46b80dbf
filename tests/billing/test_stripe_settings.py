"""What the settings take and refuse of Stripe's, and what they make of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.accounts.test_settings import PRODUCTION
from tests.fake_stripe import API_VERSION

ROOT = Path(__file__).resolve().parents[2]
# Put together, so that nothing that looks for lost keys takes them for one.
LIVE = "sk_live_" + "Aa0" * 8
TEST = "sk_test_" + "Bb1" * 8
RESTRICTED = "rk_test_" + "Cc2" * 8
HOOK = "whsec_only_for_tests"
SHOW = """
import json
from config import settings
found = {name: getattr(settings, name) for name in dir(settings) if name.isupper() and "STRIPE" in name}
found["STRIPE_PRICE_IDS"] = {"-".join(key): value for key, value in settings.STRIPE_PRICE_IDS.items()}
print(json.dumps(found | {"DEFAULT_CURRENCY": settings.DEFAULT_CURRENCY}))
"""


def load(**changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(**changes: str) -> dict[str, Any]:
    """Those of Stripe's, the pairs that name a price written with a hyphen."""
    finished = load(**changes)
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_without_a_key_everything_starts() -> None:
    settings = loaded()
    assert (settings["STRIPE_SECRET_KEY"], settings["STRIPE_LIVE_MODE"], settings["STRIPE_PRICE_IDS"]) == (
        "",
        False,
        {},
    )
    assert (settings["STRIPE_API_BASE"], settings["STRIPE_API_VERSION"]) == ("https://api.stripe.com", API_VERSION)
    assert (settings["STRIPE_AUTOMATIC_TAX"], settings["STRIPE_PROMOTION_CODES"]) == (False, False)
    assert (settings["STRIPE_TIMEOUT_SECONDS"], settings["STRIPE_RETRIES"]) == (8, 2)
    assert settings["DEFAULT_CURRENCY"] == "usd"


@pytest.mark.parametrize(("key", "is_live"), [(LIVE, True), (TEST, False), (RESTRICTED, False)])
def test_the_mode_is_the_keys(key: str, is_live: bool) -> None:
    settings = loaded(STRIPE_SECRET_KEY=key, STRIPE_WEBHOOK_SECRET=HOOK)
    assert settings["STRIPE_LIVE_MODE"] is is_live
    assert settings["STRIPE_LIVE_SECRET_KEY"] == (key if is_live else "")
    assert settings["STRIPE_TEST_SECRET_KEY"] == ("" if is_live else key)


def test_the_rest_is_read() -> None:
    settings = loaded(
        STRIPE_SECRET_KEY=TEST,
        STRIPE_WEBHOOK_SECRET=f"{HOOK}_new, {HOOK}_old",
        STRIPE_API_HOST="https://api.stripe.com/",
        STRIPE_PRICE_ID_BASIC="price_basic",
        STRIPE_PRICE_ID_PRO_YEARLY="price_pro_yearly",
        STRIPE_AUTOMATIC_TAX="on",
        STRIPE_PROMOTION_CODES="on",
        STRIPE_TIMEOUT_SECONDS="2.5",
        STRIPE_RETRIES="0",
        DEFAULT_CURRENCY="EUR",
    )
    assert settings["STRIPE_WEBHOOK_SECRETS"] == [f"{HOOK}_new", f"{HOOK}_old"]
    assert settings["STRIPE_PRICE_IDS"] == {"basic-month": "price_basic", "pro-year": "price_pro_yearly"}
    assert (settings["STRIPE_AUTOMATIC_TAX"], settings["STRIPE_PROMOTION_CODES"]) == (True, True)
    assert (settings["STRIPE_TIMEOUT_SECONDS"], settings["STRIPE_RETRIES"]) == (2.5, 0)
    assert (settings["STRIPE_API_BASE"], settings["DEFAULT_CURRENCY"]) == ("https://api.stripe.com", "eur")
    # dj-stripe looks whether it is there, not what it says.
    assert "STRIPE_API_HOST" not in settings


def test_in_development_another_host_may_stand_in_and_no_webhook_secret_is_needed() -> None:
    settings = loaded(DEBUG="on", STRIPE_SECRET_KEY=TEST, STRIPE_API_HOST="http://127.0.0.1:12111", STRIPE_LOG="info")
    assert settings["STRIPE_API_BASE"] == "http://127.0.0.1:12111"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"STRIPE_SECRET_KEY": "pk_test_" + "a" * 24}, "STRIPE_SECRET_KEY is not a secret key of Stripe"),
        ({"STRIPE_SECRET_KEY": "sk_test_" + "a" * 23}, "STRIPE_SECRET_KEY is not a secret key of Stripe"),
        ({"STRIPE_SECRET_KEY": f"{LIVE}-"}, "STRIPE_SECRET_KEY is not a secret key of Stripe"),
        ({"STRIPE_SECRET_KEY": LIVE, "DEBUG": "on"}, "with DEBUG=on only test keys are taken."),
        ({"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": " ,"}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_API_HOST": "http://127.0.0.1:12111"}, "STRIPE_API_HOST is refused in production"),
        ({"STRIPE_API_HOST": "https://api.stripe.com.example.com"}, "STRIPE_API_HOST is refused in production"),
        ({"STRIPE_LOG": "debug"}, "STRIPE_LOG prints what Stripe answers and is refused in production."),
        ({"STRIPE_AUTOMATIC_TAX": "maybe"}, "STRIPE_AUTOMATIC_TAX is 'maybe': say on or off."),
        ({"STRIPE_TIMEOUT_SECONDS": "0"}, "STRIPE_TIMEOUT_SECONDS must be more than 0"),
        ({"STRIPE_RETRIES": "-1"}, "STRIPE_RETRIES 0 or more."),
        ({"DEFAULT_CURRENCY": "dollars"}, "DEFAULT_CURRENCY is 'dollars': say three letters, such as usd."),
    ],
    ids=str,
)
def test_what_is_not_safe_is_refused_in_a_sentence_without_the_key(changes: dict[str, str], sentence: str) -> None:
    finished = load(**{"STRIPE_WEBHOOK_SECRET": HOOK, **changes})
    last_line = finished.stderr.strip().splitlines()[-1]
    assert (finished.returncode, sentence in last_line) == (1, True), last_line
    if key := changes.get("STRIPE_SECRET_KEY"):
        assert key not in finished.stdout + finished.stderr
