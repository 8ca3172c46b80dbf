"""Turns: of those who want to do the same thing at once, one does it and the others wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import OperationalError, connection

LONGEST_WAIT = timedelta(seconds=40)


class TurnNotCome(Exception):
    """Whoever had the turn kept it for longer than anybody waits."""


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Hold the turn of that name. Raises TurnNotCome after LONGEST_WAIT.

    The lock is the database connection's and no transaction's: work that speaks to another system
    may go on for seconds under it without holding a row, and with the process it falls.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LONGEST_WAIT.total_seconds():.0f}s"])
        try:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
        except OperationalError as error:
            # 55P03: lock_not_available.
            if getattr(error.__cause__, "sqlstate", None) == "55P03":
                raise TurnNotCome(name) from error
            raise
        finally:
            if not connection.needs_rollback and _is_alive():
                cursor.execute("SELECT set_config('lock_timeout', '0', false)")
    try:
        yield
    finally:
        if _is_alive():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def _is_alive() -> bool:
    return connection.connection is not None and not connection.connection.closed
