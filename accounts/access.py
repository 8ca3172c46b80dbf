"""Who asks, in which workspace, in which role: one SELECT, to which other apps add what they always need.

The statement is written once and prepared by the server. Built by the ORM for every request,
these joins would cost more time than the rest of the request.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.db import InterfaceError, OperationalError, connection, models
from django.http import Http404
from rest_framework.request import Request

from accounts.models import Membership, Role, User, Workspace

type Attach = Callable[[Workspace, Sequence[Any], Sequence[Any]], None]


class NoSuchUser(Exception):
    """The user is not there, or was deactivated."""


@dataclass(frozen=True)
class Join:
    """A model read beside the workspace (alias `w`); its columns come back as an instance, or None."""

    model: type[models.Model]
    alias: str
    on: str


@dataclass(frozen=True)
class Addition:
    """What another app reads in the same statement.

    `expressions` are SQL over the joined aliases and the parameter `%(now)s`. `attach` gets the
    workspace, the joined instances and the expressions' values, in their order.
    """

    joins: tuple[Join, ...]
    expressions: tuple[str, ...]
    attach: Attach


@dataclass
class Access:
    """What a request may go by: who, where, as what, and the one instant that all of it happens at."""

    user: User
    workspace: Workspace
    role: Role
    now: datetime
    # Of a token; a browser session has none.
    family_id: uuid.UUID | None = None


_additions: list[Addition] = []
_statements: dict[bool, str] = {}


def add(addition: Addition) -> None:
    """Called from AppConfig.ready()."""
    _additions.append(addition)
    _statements.clear()


def of(request: Request) -> Access:
    """What a signed-in request may go by."""
    return cast(Access, request.auth)


def load(
    user_id: uuid.UUID,
    *,
    workspace_id: uuid.UUID | None,
    now: datetime,
    auth_epoch: int | None = None,
    family_id: uuid.UUID | None = None,
    is_session: bool = False,
) -> Access:
    """Raises NoSuchUser when the tokens of this epoch have ended, Http404 when the workspace is not the user's.

    For a browser session the caller compares the hash that the session carries, in which the epoch is.
    """
    row = _read(
        _statement(chosen=workspace_id is not None),
        {"user": user_id, "workspace": workspace_id, "now": now},
    )
    if row is None:
        raise NoSuchUser
    values = iter(row)
    user = _instance(User, values)
    if user is None or not user.is_active or not (is_session or user.auth_epoch == auth_epoch):
        raise NoSuchUser
    workspace = _instance(Workspace, values)
    membership = _instance(Membership, values)
    if workspace is None or membership is None or workspace.closed_at is not None:
        raise Http404
    for addition in _additions:
        instances = [_instance(join.model, values) for join in addition.joins]
        addition.attach(workspace, instances, [next(values) for _ in addition.expressions])
    return Access(user=user, workspace=workspace, role=Role(membership.role), now=now, family_id=family_id)


def _read(sql: str, parameters: dict[str, Any]) -> Sequence[Any] | None:
    try:
        return _fetch(sql, parameters)
    except (OperationalError, InterfaceError):
        # The first statement of a request is where a restarted server shows: nothing was done
        # yet, so a new connection and one more try do what a health check would, for nothing.
        if connection.in_atomic_block:
            raise
        connection.close()
        return _fetch(sql, parameters)


def _fetch(sql: str, parameters: dict[str, Any]) -> Sequence[Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row: Sequence[Any] | None = cursor.fetchone()
    return row


def _statement(*, chosen: bool) -> str:
    if chosen not in _statements:
        condition = "w.id = %(workspace)s" if chosen else "w.personal_user_id = u.id"
        joins = [
            Join(Workspace, "w", condition),
            Join(Membership, "m", "m.workspace_id = w.id AND m.user_id = u.id"),
        ]
        columns = _columns(User, "u") + [c for join in joins for c in _columns(join.model, join.alias)]
        for addition in _additions:
            joins += addition.joins
            columns += [c for join in addition.joins for c in _columns(join.model, join.alias)]
            columns += addition.expressions
        tables = " ".join(f'LEFT JOIN "{join.model._meta.db_table}" {join.alias} ON {join.on}' for join in joins)
        _statements[chosen] = (
            f'SELECT {", ".join(columns)} FROM "{User._meta.db_table}" u {tables} '  # noqa: S608  (of constants)
            "WHERE u.id = %(user)s"
        )
    return _statements[chosen]


def _columns(model: type[models.Model], alias: str) -> list[str]:
    return [f'{alias}."{f.column}"' for f in model._meta.concrete_fields]


def _instance[M: models.Model](model: type[M], values: Any) -> M | None:
    fields = model._meta.concrete_fields
    row = [next(values) for _ in fields]
    names = [f.attname for f in fields]
    if row[names.index(model._meta.pk.attname)] is None:
        return None
    for index, field in enumerate(fields):
        # What the ORM's compiler would do; of our columns only JSON needs it.
        if isinstance(field, models.JSONField) and row[index] is not None:
            row[index] = json.loads(row[index])
    return model.from_db("default", names, row)
