"""How workers come by their jobs, beside each other."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection

from tests.threads import wait_until_one_waits_for

FETCH = "SELECT id FROM procrastinate_fetch_job_v2(%s, %s)"


def queue(on: psycopg.Connection, *, lock: str, priority: int = 0) -> int:
    row = on.execute(
        "INSERT INTO procrastinate_jobs (task_name, queue_name, lock, priority) VALUES ('look', 'billing', %s, %s)"
        " RETURNING id",
        [lock, priority],
    ).fetchone()
    assert row is not None
    return int(row[0])


def fetch(by: psycopg.Connection) -> int | None:
    worker = by.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone()
    assert worker is not None
    row = by.execute(FETCH, [["billing"], worker[0]]).fetchone()
    return None if row is None else row[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_another_there", [True, False])
def test_a_worker_that_loses_a_lock_to_another_takes_the_next_job(is_another_there: bool) -> None:
    url = connection.get_connection_params()
    url = {name: url[name] for name in ("host", "port", "user", "password", "dbname") if name in url}
    with (
        psycopg.connect(**url) as first,
        psycopg.connect(**url, autocommit=True) as second,
        psycopg.connect(**url, autocommit=True) as stripe,
        ThreadPoolExecutor(1) as threads,
    ):
        older = queue(stripe, lock="cus_1")
        assert fetch(first) == older
        # What is taken is not committed yet when the purchase comes.
        purchase = queue(stripe, lock="cus_1", priority=10)
        another = queue(stripe, lock="cus_2") if is_another_there else None
        fetching = threads.submit(fetch, second)
        wait_until_one_waits_for(first.info.backend_pid)
        first.commit()
        assert fetching.result(timeout=30) == another
        rows = stripe.execute("SELECT id FROM procrastinate_jobs WHERE status = 'doing' ORDER BY id").fetchall()
        assert [row[0] for row in rows] == [id for id in (older, another) if id is not None]
        # It waits until the one before it is done, and is then the first.
        stripe.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", [older])
        assert fetch(second) == purchase
