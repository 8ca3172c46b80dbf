"""Setting a new password: with a mailed link, from the page or the API, or knowing the old one."""

import uuid

from django.db import transaction

from accounts import jobs, second_factor, tokens
from accounts.models import User


@transaction.atomic
def reset(user: User, password: str) -> bool:
    """Set it and end every sign-in; False when another request with the same link came first.

    Who could open the mail has proved the address. While it was not proven anybody could set a second
    factor, so one from then ends. One that was set since stays: a mailbox alone is not to get past it.
    """
    locked = _lock(user)
    if locked is None:
        return False
    if not locked.is_email_verified:
        second_factor.remove(user)
    user.is_email_verified = True
    _set(user, password, "is_email_verified", keep=None)
    return True


@transaction.atomic
def change(user: User, password: str, *, keep: uuid.UUID | None = None) -> bool:
    """Set it and end every sign-in but the token family `keep`; False when the old one was replaced meanwhile.

    A browser session is kept by its view, with `devices.keep`.
    """
    if _lock(user) is None:
        return False
    _set(user, password, keep=keep)
    return True


def _lock(user: User) -> User | None:
    locked = User.objects.select_for_update().get(pk=user.pk)
    return locked if locked.password == user.password else None


def _set(user: User, password: str, *facts: str, keep: uuid.UUID | None) -> None:
    user.set_password(password)
    # A change of address that somebody else began must not be completed after this.
    user.pending_email = ""
    user.save(update_fields=["password", "pending_email", *facts])
    tokens.revoke_families(user, keep=keep)
    jobs.send_notice.defer(user_id=str(user.pk), event=jobs.Notice.PASSWORD_CHANGED)
