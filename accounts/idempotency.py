"""`Idempotency-Key`: the same request gives the same answer and does its work once. See API.md, Headers."""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from rest_framework import status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.errors import Problem
from accounts.models import IdempotentRequest
from accounts.turns import turn

KEPT = timedelta(hours=24)

type Post = Callable[..., Response]


def idempotent(post: Post) -> Post:
    """Make a view's `post` answer a repeated key from its first answer.

    Invariant 4. The key is claimed, the work done and the answer stored in one transaction: only a
    2xx commits, everything else leaves the key free. A second request meanwhile waits at the unique index.
    """

    @functools.wraps(post)
    def wrapped(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = key_of(request)
        if key is None:
            return post(view, request, *args, **kwargs)
        with transaction.atomic():
            claim = _claim(request, key)
            if claim.status is not None:
                return _replay(claim)
            response = post(view, request, *args, **kwargs)
            if status.is_success(response.status_code):
                _store(claim, response)
            else:
                transaction.set_rollback(True)
            return response

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
        key = key_of(request)
        if key is None:
            return post(view, request, *args, **kwargs)
        while True:
            claim = _claim(request, key)
            if claim.status is not None:
                return _replay(claim)
            with turn(f"idempotency:{claim.pk}"):
                found = IdempotentRequest.objects.filter(pk=claim.pk).first()
                if found is None:
                    # Whoever had it has failed meanwhile and left the key free.
                    continue
                if found.status is not None:
                    return _replay(found)
                return _answer_once(claim, lambda: post(view, request, *args, **kwargs))

    wrapped.is_idempotent = True  # type: ignore[attr-defined]
    return wrapped


def _answer_once(claim: IdempotentRequest, work: Callable[[], Response]) -> Response:
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


def key_of(request: Request) -> str | None:
    """Raises Problem (400) for a key that is empty, too long, or not printable ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Problem("Idempotency-Key must be 1 to 255 printable ASCII characters.", "invalid", status=400)
    return key


def forget_old(now: datetime) -> int:
    """Delete the answers that are kept no longer; the number of rows. `now` is the wall clock's."""
    return IdempotentRequest.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _claim(request: Request, key: str) -> IdempotentRequest:
    """The request's row, made now or before. Its `status` is None while nobody has answered."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":")).encode()
    now = datetime.now(UTC)
    held = access.of(request)
    named: dict[str, Any] = {
        "user": held.user.pk,
        "workspace": held.workspace.pk,
        "path": request.path[:100],
        "key": key,
        "hash": hashlib.sha256(body).digest(),
        "now": now,
        "expired": now - KEPT,
    }
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, named)
            if row := cursor.fetchone():
                return IdempotentRequest(pk=row[0])
        stored = IdempotentRequest.objects.filter(
            user=named["user"], workspace=named["workspace"], path=named["path"], key=key
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
