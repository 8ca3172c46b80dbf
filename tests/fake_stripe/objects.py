"""An API object as it is kept: a JSON object whose references are ids and whose private keys begin with `_`."""

import os
import string
from typing import Any

Object = dict[str, Any]

ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """As Stripe's: `cus_` and random letters and digits."""
    return f"{prefix}_{''.join([ALPHABET[byte % len(ALPHABET)] for byte in os.urandom(length)])}"


def listing(data: list[Object], url: str, *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
