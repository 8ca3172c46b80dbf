"""The demo's environment, kept in .data/demo.env so that `manage.py` typed beside it finds it too."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from deploy import stand_in
from deploy.files import LaunchError, write_private

BARE_VALUE = re.compile(r"[A-Za-z0-9_./:@,+=%-]*")


def make(
    path: Path, *, port: int, stripe_port: int, database_url: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Writes the file and returns what it says. Keys and the password outlive a restart.

    `environment` is the launcher's: it may choose a password, and a Stripe account.
    """
    before = read(path)
    here = f"http://127.0.0.1:{port}"
    frontend = "http://localhost:3000"
    values = {
        "DEBUG": "on",
        "SECRET_KEY": before.get("SECRET_KEY") or secrets.token_urlsafe(48),
        "DATABASE_URL": database_url,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "SITE_URL": here,
        "EMAIL_URL": "consolemail://",
        "CORS_ALLOWED_ORIGINS": frontend,
        "ALLOWED_REDIRECT_ORIGINS": f"{frontend},http://localhost:{port},{here}",
        "TRIAL_REQUIRES_VERIFIED_EMAIL": "off",
        "DEMO_PASSWORD": environment.get("DEMO_PASSWORD") or before.get("DEMO_PASSWORD") or secrets.token_hex(6),
        **stand_in.variables(
            environment, before, port=stripe_port, clock_offset=path.parent / "stripe" / "clock-offset"
        ),
    }
    for name, value in values.items():
        if not value.isprintable():
            raise LaunchError(f"{name} must be one line of printable characters.")
    write_private(path, "".join(f"{name}={quoted(value)}\n" for name, value in values.items()))
    return values


def read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name: unquoted(value) for name, _, value in pairs}


def quoted(value: str) -> str:
    """As both django-environ and a shell read it."""
    if BARE_VALUE.fullmatch(value):
        return value
    return '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'


def unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
