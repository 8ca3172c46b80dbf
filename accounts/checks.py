"""System checks on what the code relies on outside itself."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections


@register(Tags.database)
def postgresql_has_uuidv7(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
            number, version = cursor.fetchone()
        if number < 180000:
            message = f"PostgreSQL {version} is too old: ids are made by uuidv7(), new in 18."
            found.append(Error(message, id="accounts.E001"))
    return found
