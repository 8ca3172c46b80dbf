"""The same request gives the same answer and does its work once: by `Idempotency-Key`, or by a form's once-token.

See API.md, Headers, for the key; `once` and `once_beyond` say how a page uses the token.
"""

import functools
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.access import Access
from accounts.errors import Problem
from accounts.models import IdempotentRequest
from accounts.turns import turn

KEPT = timedelta(hours=24)

# The hidden field that the tag `{% once_token %}` puts into a form.
ONCE_FIELD = "once"

type Post = Callable[..., Response]


def idempotent(post: Post) -> Post:
    """Make a view's `post` answer a repeated key from its first answer.

    Invariant 4. The key is claimed, the work done and the answer stored in one transaction: only a
    2xx commits, everything else leaves the key free. A second request meanwhile waits at the unique index.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = _asked_by_header(request)
        if asked is None:
            return post(view, request, *args, **kwargs)
        return _answer(asked, lambda: post(view, request, *args, **kwargs))

    # The OpenAPI description names the header where this is set.
    wrapped.is_idempotent = True  # type: ignore[attr-defined]
    return wrapped


def idempotent_beyond(post: Post) -> Post:
    """The same for work that reaches beyond the database, where no rollback undoes it.

    The claim is committed before the work, and a second request waits for its turn. A claim whose
    request died is taken over; what it had begun elsewhere, the work itself has to find again.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = _asked_by_header(request)
        if asked is None:
            return post(view, request, *args, **kwargs)
        return _answer_beyond(asked, lambda: post(view, request, *args, **kwargs))

    wrapped.is_idempotent = True  # type: ignore[attr-defined]
    return wrapped


def once(request: HttpRequest, held: Access, work: Callable[[], str]) -> str:
    """Do the work of a page's form once, however often the form is sent; returns the address to lead the browser to.

    For a POST that a double click must not do twice. The form has `{% once_token %}` beside `{% csrf_token %}`,
    and the view, when the role was looked at and the fields are good, says

        return redirect(once(request, held, work))

    `work` does it, sets the message if there is one, and returns the address. It runs in one transaction with
    the claim of the token: what it raises undoes all of it, leaves the token free and reaches the view.
    When the same form comes again, the first address is returned and `work` not called; one that comes
    meanwhile waits. The same token with other fields is another wish, of somebody who went back, and is done.

    Raises Problem (400) for a form without a token.
    """
    return str(_answer(_asked_by_form(request, held), lambda: Response(work())).data)


def once_beyond(request: HttpRequest, held: Access, work: Callable[[], str]) -> str:
    """The same for work that reaches beyond the database, to Stripe say; see `idempotent_beyond`."""
    return str(_answer_beyond(_asked_by_form(request, held), lambda: Response(work())).data)


def once_token() -> str:
    return secrets.token_urlsafe(16)


def key_of(request: Request) -> str | None:
    """Raises Problem (400) for a key that is empty, too long, or not printable ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Problem("Idempotency-Key must be 1 to 255 printable ASCII characters.", "invalid", status=400)
    return key


def forget_old(now: datetime) -> int:
    """Delete the answers that are kept no longer; the number of rows. `now` is the wall clock's."""
    return IdempotentRequest.objects.filter(created_at__lt=now - KEPT).delete()[0]


@dataclass(frozen=True)
class Asked:
    """By what two requests are the same one."""

    held: Access
    path: str
    key: str
    body_hash: bytes


def _asked_by_header(request: Request) -> Asked | None:
    key = key_of(request)
    return None if key is None else Asked(access.of(request), request.path, key, _hash(request.data))


def _asked_by_form(request: HttpRequest, held: Access) -> Asked:
    token = request.POST.get(ONCE_FIELD, "")
    if not (0 < len(token) <= 64 and token.isascii() and token.isprintable()):
        detail = _("This form was not complete. Load the page again, and send it from there.")
        raise Problem(detail, "invalid", status=400)
    fields = {name: values for name, values in request.POST.lists() if name not in (ONCE_FIELD, "csrfmiddlewaretoken")}
    body_hash = _hash(fields)
    return Asked(held, request.path, f"{token} {body_hash.hex()}", body_hash)


def _hash(body: Any) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


def _answer(asked: Asked, work: Callable[[], Response]) -> Response:
    with transaction.atomic():
        claim = _claim(asked)
        if claim.status is not None:
            return _replay(claim)
        response = work()
        if status.is_success(response.status_code):
            _store(claim, response)
        else:
            transaction.set_rollback(True)
        return response


def _answer_beyond(asked: Asked, work: Callable[[], Response]) -> Response:
    while True:
        claim = _claim(asked)
        if claim.status is not None:
            return _replay(claim)
        with turn(f"idempotency:{claim.pk}"):
            found = IdempotentRequest.objects.filter(pk=claim.pk).first()
            if found is None:
                # Whoever had it has failed meanwhile and left the key free.
                continue
            if found.status is not None:
                return _replay(found)
            return _answer_or_release(claim, work)


def _answer_or_release(claim: IdempotentRequest, work: Callable[[], Response]) -> Response:
    is_stored = False
    try:
        response = work()
        if status.is_success(response.status_code):
            _store(claim, response)
            is_stored = True
        return response
    finally:
        if not is_stored:
            IdempotentRequest.objects.filter(pk=claim.pk).delete()


def _claim(asked: Asked) -> IdempotentRequest:
    """The request's row, made now or before. Its `status` is None while nobody has answered."""
    now = datetime.now(UTC)
    named: dict[str, Any] = {
        "user": asked.held.user.pk,
        "workspace": asked.held.workspace.pk,
        "path": asked.path[:100],
        "key": asked.key,
        "hash": asked.body_hash,
        "now": now,
        "expired": now - KEPT,
    }
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, named)
            if row := cursor.fetchone():
                return IdempotentRequest(pk=row[0])
        stored = IdempotentRequest.objects.filter(
            user=named["user"], workspace=named["workspace"], path=named["path"], key=asked.key
        ).first()
        # Gone again: the one that had the key failed in this instant and left it free.
        if stored is not None:
            break
    if bytes(stored.body_hash) != named["hash"]:
        raise Problem(
            "This Idempotency-Key was used with another body. Send a new key with a new request.",
            "idempotency_mismatch",
            status=409,
        )
    return stored


_CLAIM = """
INSERT INTO accounts_idempotentrequest AS r (user_id, workspace_id, path, key, body_hash, headers, created_at)
VALUES (%(user)s, %(workspace)s, %(path)s, %(key)s, %(hash)s, '{}', %(now)s)
ON CONFLICT (user_id, workspace_id, path, key) DO UPDATE
    SET body_hash = EXCLUDED.body_hash, created_at = EXCLUDED.created_at, status = NULL
    WHERE r.created_at < %(expired)s
RETURNING id
"""


def _replay(stored: IdempotentRequest) -> Response:
    return Response(
        json.loads(bytes(stored.body or b"null")),
        status=stored.status,
        headers={**stored.headers, "Idempotent-Replayed": "true"},
    )


def _store(claim: IdempotentRequest, response: Response) -> None:
    IdempotentRequest.objects.filter(pk=claim.pk).update(
        status=response.status_code,
        headers={name: value for name, value in response.headers.items() if name.startswith("X-Quota-")},
        body=JSONRenderer().render(response.data),
    )
