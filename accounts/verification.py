"""That an address is its account's own. `User.is_email_verified` is the one place where it stands.

allauth has a table of addresses of its own, which stays empty: nothing here asks it.
"""

import uuid

from django.db import transaction

from accounts import second_factor, tokens
from accounts.errors import Problem
from accounts.models import User


class EmailNotVerified(Problem):
    """The sentence says what a proven address is needed for."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "email_not_verified", status=403)


@transaction.atomic
def confirm(user: User, *, keep: uuid.UUID | None = None) -> bool:
    """Note that the address is proven; False when it was before, or is not the account's any more.

    Until now anybody could have made the account. So whatever was set by then ends: browsers and programs
    that are signed in, but for the token family `keep`, and second factors. A browser session is kept by
    its view, with `devices.keep`.
    """
    unproven = User.objects.filter(pk=user.pk, email=user.email, is_email_verified=False, is_active=True)
    if not unproven.update(is_email_verified=True, pending_email=""):
        return False
    user.is_email_verified = True
    second_factor.remove(user)
    tokens.revoke_families(user, keep=keep)
    return True
