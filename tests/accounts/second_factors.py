"""An authenticator app, as somebody has it on their phone."""

import time

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value

from accounts.models import User

STEP = 30


def authenticator(user: User) -> str:
    """Give the account a second factor; returns the secret that the app keeps."""
    Authenticator.objects.filter(user=user).delete()
    secret: str = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def recovery_codes(user: User) -> list[str]:
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return codes


def code_of(secret: str, *, steps: int = 0) -> str:
    """What the app shows now, or so many steps later."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // STEP + steps)))


def wrong_code(secret: str) -> str:
    """Six digits that the app shows neither now nor in the steps around it."""
    shown = {code_of(secret, steps=steps) for steps in range(-3, 4)}
    return next(code for number in range(10) if (code := f"{number:06}") not in shown)
