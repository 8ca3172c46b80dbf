"""Where the figures are taken: a durable PostgreSQL of the benchmark's own, and gunicorn as in production."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.children import Child, stop_all
from deploy.files import LaunchError, free_port
from deploy.postgres import Cluster

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / ".data"
SCRATCH = DATA / "tmp"
READY_SECONDS = 60
# As a server with some memory is set up; the same for both sides of every ratio.
POSTGRESQL = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def environment(database_url: str) -> dict[str, str]:
    """Production's: TLS ends at a proxy, for which the load generators stand in."""
    return {
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
    """Removed afterwards: ten million ledger lines take some gigabytes."""
    home = DATA / "bench-pg"
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


def manage(*arguments: str, database_url: str) -> None:
    finished = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(database_url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise LaunchError(f"manage.py {arguments[0]} failed:\n{finished.stdout}")


@contextmanager
def gunicorn(database_url: str, name: str) -> Iterator[str]:
    """The URL of the API; the workers and threads are those of deploy/gunicorn.conf.py."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "config.wsgi:application", "--config=deploy/gunicorn.conf.py"]
    child = Child(
        name,
        [*command, f"--bind=127.0.0.1:{port}"],
        SCRATCH / f"bench-{name}.log",
        environment(database_url),
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
