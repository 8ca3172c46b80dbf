"""Where a page elsewhere may lead a person back to: only to origins that are ours or listed."""

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

LONGEST = 2000
# White space and control characters, which browsers drop, and the backslash, which they take for a slash.
DECEPTIVE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PORTS = {"http": 80, "https": 443}


class NotAllowed(ValueError):
    """A sentence that names what is wrong."""


def check(url: str) -> str:
    """The URL, when its scheme, host and port are those of an allowed origin. Raises NotAllowed."""
    if len(url) > LONGEST:
        raise NotAllowed(f"At most {LONGEST:,} characters.")
    if DECEPTIVE.search(url):
        raise NotAllowed("Spaces, control characters and backslashes are not allowed.")
    try:
        parts = urlsplit(url)
        origin = _origin(parts)
    except ValueError as error:
        raise NotAllowed("This is no URL.") from error
    if not parts.scheme or not parts.hostname:
        raise NotAllowed("A full URL is needed, with its scheme and host.")
    if "@" in parts.netloc:
        raise NotAllowed("A URL with a user name is not allowed.")
    # In production the settings take no http origin at all.
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise NotAllowed("Only https is allowed.")
    if origin not in {
        _origin(urlsplit(allowed)) for allowed in (settings.SITE_URL, *settings.ALLOWED_REDIRECT_ORIGINS)
    }:
        raise NotAllowed("This origin is not among those that are allowed.")
    return url


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return (parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme))


@extend_schema_field({"type": "string", "format": "uri", "maxLength": LONGEST})
class RedirectURLField(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            return check(super().to_internal_value(data))
        except NotAllowed as error:
            raise serializers.ValidationError(str(error)) from error
