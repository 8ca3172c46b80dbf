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
            if isinstance(claim, Response):
                return claim
            response = post(view, request, *args, **kwargs)
            if status.is_success(response.status_code):
                _store(claim, response)
            else:
                transaction.set_rollback(True)
            return response

    # The OpenAPI description names the header where this is set.
    wrapped.is_idempotent = True  # type: ignore[attr-defined]
    return wrapped


def key_of(request: Request) -> str | None:
    """Raises Problem (400) for a key that is empty, too long, or not printable ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Problem("Idempotency-Key must be 1 to 255 printable ASCII characters.", "invalid", status=400)
    return key


def forget_old(now: datetime) -> int:
    """Delete the answers that are kept no longer; the number of rows. `now` is the wall clock's."""
    return IdempotentRequest.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _claim(request: Request, key: str) -> int | Response:
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
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO accounts_idempotentrequest AS r
                (user_id, workspace_id, path, key, body_hash, headers, created_at)
            VALUES (%(user)s, %(workspace)s, %(path)s, %(key)s, %(hash)s, '{}', %(now)s)
            ON CONFLICT (user_id, workspace_id, path, key) DO UPDATE
                SET body_hash = EXCLUDED.body_hash, created_at = EXCLUDED.created_at
                WHERE r.created_at < %(expired)s
            RETURNING id
            """,
            named,
        )
        if row := cursor.fetchone():
            return int(row[0])
    stored = IdempotentRequest.objects.get(
        user=named["user"], workspace=named["workspace"], path=named["path"], key=key
    )
    if bytes(stored.body_hash) != named["hash"]:
        raise Problem(
            "This Idempotency-Key was used with another body. Send a new key with a new request.",
            "idempotency_mismatch",
            status=409,
        )
    return Response(
        json.loads(bytes(stored.body or b"null")),
        status=stored.status,
        headers={**stored.headers, "Idempotent-Replayed": "true"},
    )


def _store(claim: int, response: Response) -> None:
    IdempotentRequest.objects.filter(pk=claim).update(
        status=response.status_code,
        headers={name: value for name, value in response.headers.items() if name.startswith("X-Quota-")},
        body=JSONRenderer().render(response.data),
    )
