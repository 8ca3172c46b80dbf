"""Setting a new password: with a mailed link, from the page or the API, or knowing the old one."""

import uuid

from django.db import transaction

from accounts import tokens
from accounts.models import User


def reset(user: User, password: str) -> bool:
    """Set it and end every sign-in; False when another request with the same link came first."""
    # Who could open the mail has proved the address.
    return _replace(user, password, is_email_verified=True)


def change(user: User, password: str, *, keep: uuid.UUID | None) -> bool:
    """Set it and end every sign-in but one; False when the old one was replaced meanwhile."""
    return _replace(user, password, keep=keep)


@transaction.atomic
def _replace(user: User, password: str, *, keep: uuid.UUID | None = None, **facts: bool) -> bool:
    locked = User.objects.select_for_update().get(pk=user.pk)
    if locked.password != user.password:
        return False
    user.set_password(password)
    for name, value in facts.items():
        setattr(user, name, value)
    user.save(update_fields=["password", *facts])
    tokens.revoke_families(user, keep=keep)
    return True
