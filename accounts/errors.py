"""Every error of the API in one shape: a sentence, a machine word, and what the case needs."""

import logging
import sys
import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.shortcuts import render
from django.template.loader import get_template
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response

log = logging.getLogger(__name__)

# Every 401 names the scheme that it asks for.
CHALLENGE = 'Bearer realm="api"'
NOT_FOUND = {"detail": "There is nothing at this address.", "code": "not_found"}
BAD_REQUEST = {"detail": "The request could not be understood.", "code": "bad_request"}
FORBIDDEN = {"detail": "You may not do this.", "code": "permission_denied"}
SERVER_ERROR = {
    "detail": "Something failed on our side; nothing was changed. Try again, and name the X-Request-ID if it stays.",
    "code": "server_error",
}
DATABASE_AWAY = {
    "detail": "The database cannot be reached just now; nothing was done. Try again in a moment.",
    "code": "database_unavailable",
}


class Problem(exceptions.APIException):
    """An error with a status, a code and, where the case needs them, further members and headers."""

    status_code: int = status.HTTP_409_CONFLICT

    def __init__(
        self,
        detail: str,
        code: str,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, code)
        self.code = code
        self.members = members
        self.headers = headers or {}
        if status is not None:
            self.status_code = status

    def answered(self, response: HttpResponseBase, user_id: uuid.UUID | None) -> None:
        """Called with the answer that says it, on pages too, for what is to be kept of it."""


class TooLarge(Problem):
    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The body is larger than {limit:,} bytes, the most that is taken here.",
            "too_large",
            status=413,
            limit=limit,
        )


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler. What nobody expected becomes a 500 in the same shape, and is logged with its trace."""
    headers: dict[str, str] = {}
    body: dict[str, Any]
    code: int
    match error:
        case Problem():
            body = {"detail": str(error.detail), "code": error.code, **error.members}
            code, headers = error.status_code, dict(error.headers)
            if code == 401:
                headers["WWW-Authenticate"] = CHALLENGE
        case Http404() | exceptions.NotFound():
            body, code = NOT_FOUND, 404
        case PermissionDenied():
            body, code = FORBIDDEN, 403
        case RequestDataTooBig():
            return answer(TooLarge(settings.MAX_BODY_BYTES), context)
        case TooManyFieldsSent() | UnreadablePostError():
            body, code = BAD_REQUEST, 400
        case exceptions.ValidationError():
            body, code = _invalid(error.detail), error.status_code
        case exceptions.Throttled():
            wait = max(1, int(getattr(error, "wait", None) or 0) + 1)
            body = {"detail": f"Too many requests. Wait {wait} seconds and try again.", "code": "rate_limited"}
            code, headers = 429, {"Retry-After": str(wait)}
        case exceptions.APIException():
            detail = error.detail if isinstance(error.detail, str) else error.default_detail
            body, code = {"detail": str(detail), "code": _code(error)}, error.status_code
            if challenge := getattr(error, "auth_header", None):
                headers["WWW-Authenticate"] = challenge
        case OperationalError() | InterfaceError():
            # Invariant 15, quota fails closed: with the database unsure, nothing is granted.
            log.error("The database failed a request: %s", error)
            body, code, headers = DATABASE_AWAY, 503, {"Retry-After": "1"}
        case _:
            log.exception("A request failed", exc_info=error)
            body, code = SERVER_ERROR, 500
    response = Response(body, status=code, headers=headers)
    # What is of note was logged above, or where it was raised: a refusal is no error of ours.
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django's own mark, for its request log
    if isinstance(error, Problem):
        user = getattr(context.get("request"), "user", None)
        error.answered(response, getattr(user, "pk", None))
    return response


def _code(error: exceptions.APIException) -> str:
    codes = error.get_codes()
    return codes if isinstance(codes, str) else error.default_code


def _invalid(detail: Any) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    _collect(detail, "", fields)
    general = fields.pop("", None) or fields.pop("non_field_errors", None)
    if not fields:
        return {"detail": general[0] if general else "The request is not valid.", "code": "invalid"}
    name, messages = next(iter(fields.items()))
    return {"detail": general[0] if general else f"{name}: {messages[0]}", "code": "invalid", "errors": fields}


def _collect(detail: Any, path: str, into: dict[str, list[str]]) -> None:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            _collect(inner, f"{path}.{name}" if path else str(name), into)
    elif isinstance(detail, list):
        for inner in detail:
            _collect(inner, path, into)
    else:
        into.setdefault(path, []).append(str(detail))


def as_json(body: dict[str, Any], status: int) -> JsonResponse:
    """An answer from outside DRF, to the byte as DRF would write it."""
    return JsonResponse(body, status=status, json_dumps_params={"separators": (",", ":")})


def api_not_found(request: HttpRequest) -> JsonResponse:
    """Unknown paths under /api/, where no page is ever shown."""
    return as_json(NOT_FOUND, 404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return as_json(BAD_REQUEST, 400)
    if isinstance(exception, RequestDataTooBig):
        text = _("What was sent is larger than we take. Send less, and try again.")
        return _page(request, 413, _("That was too large"), text)
    text = _("The address or the form was not complete. Go back, load the page again and retry.")
    return _page(request, 400, _("This could not be understood"), text)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return as_json(FORBIDDEN, 403)
    text = _("Your account does not have this right. If it should, ask whoever invited you, or write to support.")
    return _page(request, 403, _("You may not do this"), text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if request.path.startswith("/api/"):
        return as_json(FORBIDDEN, 403)
    text = _("This form was open for too long, or cookies are switched off. Go back, load the page again and retry.")
    return _page(request, 403, _("The form was not sent"), text)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return api_not_found(request)
    text = _("Nothing is at this address, or it belongs to a workspace that you are not in.")
    return _page(request, 404, _("There is nothing here"), text)


def server_error(request: HttpRequest) -> HttpResponse:
    """Whatever nobody expected; with the database away, the wish to try again soon."""
    is_away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    status = 503 if is_away else 500
    response: HttpResponse
    if request.path.startswith("/api/"):
        response = as_json(DATABASE_AWAY if is_away else SERVER_ERROR, status)
    else:
        # Plain and by itself: what failed may be what every other page needs.
        page = get_template(f"{status}.html").render(
            {"request_id": getattr(request, "request_id", ""), "support": settings.SUPPORT_EMAIL}
        )
        response = HttpResponse(page, status=status)
    if is_away:
        response["Retry-After"] = "1"
    return response


def _page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    return render(request, "error.html", {"title": title, "text": text, "status": status}, status=status)
