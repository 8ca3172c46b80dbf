"""Where the figures are taken: a durable PostgreSQL of the benchmark's own, gunicorn and workers as in production."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy.children import Child, stop_all
from deploy.files import LaunchError, free_port
from deploy.postgres import Cluster
from tests.fake_stripe.running import API_KEY

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / ".data"
SCRATCH = DATA / "tmp"
READY_SECONDS = 60
# As a server with some memory is set up; the same for both sides of every ratio.
POSTGRESQL = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True)
class Account:
    """At the stand-in for Stripe, as the service is told of it."""

    url: str
    clock: Path
    webhook_secret: str


@dataclass(frozen=True)
class Finished:
    """A command of manage.py: what it said, how long it took, and the most memory that it had."""

    output: str
    exit_code: int
    seconds: float
    megabytes: float


def environment(database_url: str, account: Account | None = None) -> dict[str, str]:
    """Production's: TLS ends at a proxy, for which the load generators stand in."""
    of_stripe = (
        {}
        if account is None
        else {
            "STRIPE_SECRET_KEY": API_KEY,
            "STRIPE_WEBHOOK_SECRET": account.webhook_secret,
            "BENCH_STRIPE": account.url,
            "BENCH_CLOCK": str(account.clock),
        }
    )
    return of_stripe | {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnop",
        "JWT_SIGNING_KEYS": "bench:only-for-the-benchmark-0123456789-abcdefghijklmnop",
        "DATABASE_URL": database_url,
        "ALLOWED_HOSTS": "127.0.0.1",
        "SITE_URL": "https://bench.example.com",
        "EMAIL_URL": "dummymail://",
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "LOG_LEVEL": "ERROR",
    }


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Removed afterwards: ten million ledger lines take some gigabytes. Raises LaunchError beside another benchmark."""
    home = DATA / "bench-pg"
    with (DATA / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError("Another benchmark goes on in this checkout.") from None
        shutil.rmtree(home, ignore_errors=True)
        try:
            with Cluster(home) as running:
                for name, value in POSTGRESQL.items():
                    running.execute(f"ALTER SYSTEM SET {name} = '{value}'")
                running.stop()
                running.start()
                yield running
        finally:
            shutil.rmtree(home, ignore_errors=True)


def manage(*arguments: str, database_url: str, account: Account | None = None) -> Finished:
    finished = attempt(*arguments, database_url=database_url, account=account)
    if finished.exit_code != 0:
        raise LaunchError(f"manage.py {arguments[0]} failed:\n{finished.output}")
    return finished


def attempt(*arguments: str, database_url: str, account: Account | None = None) -> Finished:
    """It may fail."""
    begun = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-m", "tests.bench.measured", *arguments],
        cwd=ROOT,
        env=environment(database_url, account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output, _, last = finished.stdout.rstrip().rpartition("\n")
    with suppress(ValueError, KeyError, TypeError):
        megabytes = float(json.loads(last)["megabytes"])
        return Finished(output, finished.returncode, time.monotonic() - begun, megabytes)
    raise LaunchError(f"manage.py {arguments[0]} failed:\n{finished.stdout}")


@contextmanager
def gunicorn(database_url: str, name: str, *, account: Account | None = None, port: int | None = None) -> Iterator[str]:
    """The URL of the API; the workers and threads are those of deploy/gunicorn.conf.py."""
    port = port or free_port()
    command = [sys.executable, "-m", "gunicorn", "config.wsgi:application", "--config=deploy/gunicorn.conf.py"]
    child = Child(
        name,
        [*command, f"--bind=127.0.0.1:{port}"],
        SCRATCH / f"bench-{name}.log",
        environment(database_url, account),
        ROOT,
    )
    try:
        child.start()
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", child)
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        stop_all([child])


def wait_until_ready(url: str, child: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and child.exit_code is None:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise LaunchError(f"gunicorn did not become ready; its last words were:\n{child.last_lines()}")


@contextmanager
def worker(database_url: str, name: str, *options: str, account: Account) -> Iterator[None]:
    """Procrastinate's, from when it has told the database that it is there."""
    command = [sys.executable, "manage.py", "procrastinate", "worker", f"--name={name}", *options]
    environs = environment(database_url, account)
    child = Child(name, command, SCRATCH / f"bench-{name}.log", environs, ROOT)
    known = _workers(database_url)
    try:
        child.start()
        deadline = time.monotonic() + READY_SECONDS
        while _workers(database_url) == known:
            if time.monotonic() > deadline or child.exit_code is not None:
                raise LaunchError(f"{name} did not become ready; its last words were:\n{child.last_lines()}")
            time.sleep(0.1)
        yield
    finally:
        stop_all([child])


def _workers(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone()
    assert row is not None
    return int(row[0])
