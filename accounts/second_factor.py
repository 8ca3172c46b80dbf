"""The second factor of an account: an authenticator app, and the recovery codes that stand in for it.

allauth keeps both in its Authenticator rows and has the pages; whether a code passes is decided here, for
pages and API alike.
"""

from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.db import transaction
from django.utils import timezone

from accounts.models import User

APP, RECOVERY_CODES = Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES

# Of an app's row: the time step of the code that passed last.
LAST_STEP = "last_step"


def is_on(user: User) -> bool:
    return bool(Authenticator.objects.filter(user_id=user.pk, type=APP).exists())


@transaction.atomic
def use(user: User, code: str) -> Any:
    """The Authenticator whose code it is, or None. A code passes once, by whichever door.

    The rows are held meanwhile, so that of two who send the same code at once the second is refused.
    allauth would remember a used code in the cache, and for less time than it is good for.
    """
    for factor in Authenticator.objects.select_for_update().filter(user_id=user.pk).order_by("pk"):
        if _is_of_app(factor, code) if factor.type == APP else factor.wrap().validate_code(code):
            Authenticator.objects.filter(pk=factor.pk).update(last_used_at=timezone.now())
            return factor
    return None


def remove(user: User) -> None:
    Authenticator.objects.filter(user_id=user.pk).delete()


def _is_of_app(factor: Any, code: str) -> bool:
    secret = decrypt(factor.data["secret"])
    for step in yield_hotp_counters_from_time():
        is_new = step > factor.data.get(LAST_STEP, 0)
        if is_new and compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step))):
            factor.data[LAST_STEP] = step
            factor.save(update_fields=["data"])
            return True
    return False
