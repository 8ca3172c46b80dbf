"""What several do at one instant, each in a thread with a connection of its own."""

from collections.abc import Callable, Sequence
from threading import Barrier, Thread
from time import monotonic
from typing import Any

from django.db import connection


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """All released together; what each returned or raised, in their order."""
    gate = Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def carry_out(number: int) -> None:
        try:
            connection.ensure_connection()
            gate.wait()
            results[number] = acts[number]()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [Thread(target=carry_out, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def wait_until_one_waits_for(holder: int) -> None:
    """Until a backend is held up by the one with this process id."""
    end = monotonic() + 30
    with connection.cursor() as cursor:
        while monotonic() < end:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))", [holder])
            if cursor.fetchone():
                return
    raise AssertionError("Nobody waits.")
