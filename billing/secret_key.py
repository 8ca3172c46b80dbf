"""dj-stripe writes the secret key into its table of keys and finds its account by it. It writes a fingerprint here.

The fingerprint has the shape of a key, because dj-stripe reads kind and mode from the prefix and validates
the rest, and it is keyed with SECRET_KEY. Whoever brings the key finds the row; whoever has only the row can
call nobody with it.
"""

import re
from typing import Any

from django.utils.crypto import salted_hmac
from djstripe.models import APIKey
from djstripe.models.api import APIKeyManager

KEY = re.compile(r"((?:pk|sk|rk)_(?:test|live)_)(?!fingerprint[0-9a-f]{64}$)[a-zA-Z0-9]{24,}")


def fingerprint(key: Any) -> Any:
    """Of a key; anything else, a fingerprint too, is handed back."""
    match = KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None:
        return key
    return f"{match[1]}fingerprint{salted_hmac('billing.secret_key', key, algorithm='sha256').hexdigest()}"


class FingerprintingManager(APIKeyManager):  # type: ignore[misc]  # dj-stripe is untyped
    def get_or_create_by_api_key(self, secret: str) -> tuple[APIKey, bool]:
        row, created = super().get_or_create_by_api_key(secret)
        # For the call that asks Stripe whose key it is; saving the row writes the fingerprint again.
        row.secret = secret
        return row, created


def keep_out_of_the_database() -> None:
    """Every write and every comparison of the column passes here, whichever way dj-stripe takes to it."""
    column: Any = APIKey._meta.get_field("secret")
    # A field of a class of ours would want a migration of dj-stripe's.
    column.get_prep_value = fingerprint
    APIKey.objects.__class__ = FingerprintingManager
