"""What every answer gets, whoever made it."""

import functools
import re
import secrets
import zoneinfo
from collections.abc import Callable
from io import BytesIO

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from accounts.errors import BAD_REQUEST, TooLarge, as_json

type Handler = Callable[[HttpRequest], HttpResponseBase]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """X-Request-ID on every answer: the caller's own where it is a plain word, or a new one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        request.request_id = request_id  # type: ignore[attr-defined]  # pages name it beside what failed
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if request.path.startswith("/api/"):
            # Tokens and a workspace's data are for who asked, and for nobody's cache.
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class HostMiddleware:
    """A host that is not ours gets a plain 400, as JSON under /api/, before anything looks at the request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            request.get_host()
        except DisallowedHost:
            if request.path.startswith("/api/"):
                return as_json(BAD_REQUEST, 400)
            return HttpResponse("400 Bad Request\n", status=400, content_type="text/plain")
        return self.get_response(request)


class ChunkedBodyMiddleware:
    """Reads a chunked body, no further than the limit; Django would take it for an empty one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
            try:
                body = request.META["wsgi.input"].read(settings.MAX_BODY_BYTES + 1)
            except Exception:  # every server has its own for a chunk that is none
                return as_json(BAD_REQUEST, 400)
            if len(body) > settings.MAX_BODY_BYTES:
                error = TooLarge(settings.MAX_BODY_BYTES)
                return as_json({"detail": str(error.detail), "code": error.code, **error.members}, error.status_code)
            request.META["CONTENT_LENGTH"] = str(len(body))
            request._stream = BytesIO(body)  # where Django reads the body from
        return self.get_response(request)


class ViewerMiddleware:
    """Pages speak the viewer's language, and in the zone that site.js leaves in a cookie; the API in neither.

    Instants are UTC everywhere else, and the sentences of the API are English.
    """

    ZONE_COOKIE = "zone"

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/api/"):
            return self.get_response(request)
        language = translation.get_language_from_request(request)
        with translation.override(language), timezone.override(self._zone(request)):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language",))
        return response

    def _zone(self, request: HttpRequest) -> zoneinfo.ZoneInfo | None:
        name = request.COOKIES.get(self.ZONE_COOKIE, "")
        # Only names of the database itself: what a cookie says is never looked for as a path.
        return zoneinfo.ZoneInfo(name) if name in _zones() else None


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
