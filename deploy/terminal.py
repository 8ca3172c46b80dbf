"""What the person at the terminal reads."""

import json
import os
import shlex
import sys
from contextlib import suppress

from deploy import stand_in

ACCOUNTS = {
    "pro@example.com": "on PRO, by comp",
    "free@example.com": "on FREE",
    "team@example.com": "owns a team workspace",
    "staff@example.com": "staff, for the admin",
}
# Past the end of the longest month, and past the hour for which a renewal's invoice is a draft.
MONTH_SECONDS = 32 * 24 * 3600


def summary(port: int, stripe_port: int | None, password: str) -> str:
    """Without a `stripe_port` there is no stand-in."""
    here = f"http://127.0.0.1:{port}"
    accounts = "\n".join(f"    {address:<20}{what}" for address, what in ACCOUNTS.items())
    if stripe_port is None:
        stripe = "your account, in test mode"
        more = webhooks(here)
    else:
        stripe = f"{underlined(stand_in.address(stripe_port))}, a stand-in: no money moves"
        more = time_travel(stand_in.address(stripe_port))
    return f"""
  {paint("AI-Manus is running.", 1, 32)} Ctrl-C stops it.

  API docs    {underlined(f"{here}/api/v1/docs")}
  Admin       {underlined(f"{here}/admin/")}
  Stripe      {stripe}
  Logs        .data/log/

  Sign in with the password {paint(password, 1)}

{accounts}

  Ask for the subscription of pro@example.com:

{curl(here, password)}

{more}
"""


def time_travel(stripe: str) -> str:
    """How to pay at the stand-in, and how to see what comes of it later."""
    body = shlex.quote(json.dumps({"advance": MONTH_SECONDS}))
    return f"""\
  Pay with the card {paint("4242 4242 4242 4242", 1)}, any date to come and any code.

  Travel to a month later; the clock never goes back:

curl -s {stripe}/_control/clock -H 'Content-Type: application/json' -d {body}"""


def webhooks(here: str) -> str:
    return f"""\
  Stripe's events arrive while this runs too, with its secret in STRIPE_WEBHOOK_SECRET:

stripe listen --forward-to {here}/api/v1/billing/webhook"""


def curl(here: str, password: str) -> str:
    """One command: the inner curl signs in, the outer one asks."""
    body = shlex.quote(json.dumps({"email": "pro@example.com", "password": password}))
    return (
        f'curl -s {here}/api/v1/billing/subscription -H "Authorization: Bearer $(\n'
        f"  curl -s {here}/api/v1/auth/login -H 'Content-Type: application/json' \\\n"
        f"    -d {body} |\n"
        '  sed \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/\')"'
    )


def underlined(address: str) -> str:
    return paint(address, 4)


def say(text: str) -> None:
    # The terminal may be gone, and the children must be stopped all the same.
    with suppress(OSError):
        print(text, flush=True)


def paint(text: str, *codes: int) -> str:
    """In colour, on a terminal that wants it."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{';'.join(str(code) for code in codes)}m{text}\033[0m"
