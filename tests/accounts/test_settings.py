"""What the settings refuse: in production nothing falls into development."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "a-secret-key-for-production-of-a-good-length-0123456789",
    "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/none",
    "ALLOWED_HOSTS": "app.example.com",
    "SITE_URL": "https://app.example.com",
    "EMAIL_URL": "smtp://mail.example.com:587",
    "JWT_SIGNING_KEYS": "2026-11:a-signing-key-of-more-than-thirty-two-characters",
}


SHOW = "settings.DEBUG, list(settings.JWT_SIGNING_KEYS)"


def load(show: str = SHOW, **changes: str) -> tuple[int, str]:
    """The exit code and the last line of a process that reads the settings in this environment."""
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
    finished = subprocess.run(
        [sys.executable, "-c", f"from config import settings; print({show})"],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.returncode, (finished.stdout + finished.stderr).strip().splitlines()[-1]


def test_a_production_environment_is_taken() -> None:
    assert load() == (0, "False ['2026-11']")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"RATE_LIMITS": "off"}, "RATE_LIMITS=off is refused in production."),
        ({"STAFF_REQUIRES_MFA": "off"}, "STAFF_REQUIRES_MFA=off is refused in production."),
        ({"RATE_LIMITS": "of"}, "RATE_LIMITS is 'of': say on or off."),
        ({"DEBUG": "perhaps"}, "DEBUG is 'perhaps': say on or off."),
        ({"CLOCK_OFFSET_FILE": "offset"}, "CLOCK_OFFSET_FILE moves the clock and is refused in production."),
        ({"JWT_SIGNING_KEYS": ""}, "JWT_SIGNING_KEYS is not set"),
        ({"JWT_SIGNING_KEYS": "a:short"}, "must be kid:secret with 32 characters or more."),
        ({"JWT_SIGNING_KEYS": "no-kid-but-more-than-thirty-two-characters"}, "must be kid:secret"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set"),
        ({"SITE_URL": "http://app.example.com"}, "SITE_URL must begin with https:// in production."),
        ({"EMAIL_URL": ""}, "EMAIL_URL is not set"),
        ({"DATABASE_URL": "sqlite:///db"}, "DATABASE_URL must name a PostgreSQL database"),
        ({"TRUSTED_PROXIES": "10.0.0.0/33"}, "10.0.0.0/33"),
    ],
    ids=str,
)
def test_an_environment_that_is_not_safe_is_refused(changes: dict[str, str], sentence: str) -> None:
    code, line = load(**changes)
    assert code == 1
    assert sentence in line


def test_in_development_the_limits_may_be_off() -> None:
    assert load(DEBUG="on", RATE_LIMITS="off")[0] == 0


def test_keys_are_read_in_their_order() -> None:
    keys = ",".join(f"{kid}:{'x' * 32}" for kid in ("new", "old"))
    assert load(JWT_SIGNING_KEYS=keys) == (0, "False ['new', 'old']")


def test_cookies_are_for_this_site_alone_in_production() -> None:
    """Over TLS only, out of the reach of scripts, and not sent along from elsewhere."""
    kept = "[getattr(settings, f'{cookie}_COOKIE_{rule}') for cookie in ('SESSION', 'CSRF', 'LANGUAGE')"
    for rule, expected in (("SECURE", [True] * 3), ("HTTPONLY", [True] * 3), ("SAMESITE", ["Lax"] * 3)):
        assert load(f"{kept} for rule in ['{rule}']]") == (0, str(expected))
    assert load("settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE", DEBUG="on") == (0, "False False")


def test_what_needs_a_proven_address_or_a_second_factor_does_so_in_production() -> None:
    asked = "TRIAL_REQUIRES_VERIFIED_EMAIL", "BUYING_REQUIRES_VERIFIED_EMAIL", "STAFF_REQUIRES_MFA"
    show = ", ".join(f"settings.{name}" for name in asked)
    assert load(show) == (0, "True True True")
    assert load(show, DEBUG="on") == (0, "False False False")
    assert load(show, TRIAL_REQUIRES_VERIFIED_EMAIL="off", BUYING_REQUIRES_VERIFIED_EMAIL="off") == (
        0,
        "False False True",
    )
