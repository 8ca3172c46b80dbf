"""The keys in the links that mails carry: verifying an address, changing to another, resetting a password."""

import uuid
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core import signing

from accounts.models import User

VERIFY_SALT = "accounts.verify-email"
CHANGE_SALT = "accounts.change-email"


def verification_key(user: User) -> str:
    return signing.dumps([str(user.pk), user.email], salt=VERIFY_SALT)


def verification_link(user: User) -> str:
    return f"{settings.SITE_URL}/accounts/confirm-email/{quote(verification_key(user), safe='')}/"


def user_to_verify(key: str) -> User | None:
    """The user whose present address the key proves; None when it is forged, too old, or for a former address."""
    try:
        user_id, email = signing.loads(key, salt=VERIFY_SALT, max_age=settings.EMAIL_VERIFICATION_TIMEOUT)
    except (signing.BadSignature, ValueError):
        return None
    return User.objects.filter(pk=user_id, email=email, is_active=True).first()


def email_change_link(user: User) -> str:
    key = signing.dumps([str(user.pk), user.pending_email], salt=CHANGE_SALT)
    return f"{settings.SITE_URL}/accounts/email/confirm/{quote(key, safe='')}/"


def email_to_change_to(user: User, key: str) -> str | None:
    """The address that the key proves for this user; None when it is forged, too old, or not asked for any more."""
    try:
        user_id, email = signing.loads(key, salt=CHANGE_SALT, max_age=settings.EMAIL_VERIFICATION_TIMEOUT)
    except (signing.BadSignature, ValueError):
        return None
    return str(email) if (user_id, email) == (str(user.pk), user.pending_email) else None


def reset_link(user: User) -> str:
    return f"{settings.SITE_URL}/accounts/password/reset/key/{user.pk.hex}-{default_token_generator.make_token(user)}/"


def user_to_reset(uid: str, token: str) -> User | None:
    """The user for whom the link was made; None when it is forged, expired, or was used."""
    try:
        user = User.objects.filter(pk=uuid.UUID(uid), is_active=True).first()
    except ValueError:
        return None
    if user is None or not default_token_generator.check_token(user, token):
        return None
    return user
