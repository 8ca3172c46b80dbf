"""Setting a new password with a mailed link, from the page or the API."""

from django.db import transaction

from accounts import tokens
from accounts.models import User


@transaction.atomic
def reset(user: User, password: str) -> bool:
    """Set it and end every sign-in; False when another request with the same link came first."""
    locked = User.objects.select_for_update().get(pk=user.pk)
    if locked.password != user.password:
        return False
    user.set_password(password)
    # Who could open the mail has proved the address.
    user.is_email_verified = True
    user.save(update_fields=["password", "is_email_verified"])
    tokens.revoke_families(user)
    return True
