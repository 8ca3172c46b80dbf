"""The demo as a person meets it, in a copy of the checkout with a space in its name."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy import demo_env
from deploy.files import free_port
from deploy.postgres import Cluster
from tests.embedded import RunningCluster, copy_database

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = (
    *("accounts", "billing", "config", "deploy", "sessions_app", "static", "templates", "manage.py"),
    *("tests/__init__.py", "tests/fake_stripe"),
)
START_SECONDS = 90
STOP_SECONDS = 30
MAIL_SECONDS = 15
MONTH_SECONDS = 32 * 24 * 3600
# One that a shell, JSON, a command line and the file of the environment could each misread.
PASSWORD = """-it's "quoted" for $5 & more"""
# Set for the tests themselves; a person's terminal has none of them.
BESIDE = """
import json
from django.conf import settings
from accounts import clock
from accounts.models import User
found = User.objects.filter(email="pro@example.com").count()
print(json.dumps([found, settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY, int(clock.offset().total_seconds())]))
"""
FOREIGN = ("DATABASE_URL", "SECRET_KEY", "DEBUG", "SITE_URL", "ALLOWED_HOSTS", "EMAIL_URL", "DJANGO_SETTINGS_MODULE")


@pytest.fixture(scope="module")
def checkout() -> Generator[Path, None, None]:
    # Not pytest's own temporary folder, which the user that PostgreSQL runs as may not enter.
    copy = ROOT / ".data" / "test demos" / uuid.uuid4().hex[:8]
    copy.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / part).exists():
            (copy / part).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, copy / part)
    yield copy
    shutil.rmtree(copy)


def terminal_environment() -> dict[str, str]:
    """What a person's terminal has, of which nothing is about the service."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and not name.startswith(("STRIPE_", "CLOCK_"))
    }


def environment(port: int, stripe_port: int | None = None) -> dict[str, str]:
    ports = {"PORT": str(port), "STRIPE_PORT": str(stripe_port or free_port())}
    return terminal_environment() | ports | {"WEB_CONCURRENCY": "1", "DEMO_PASSWORD": PASSWORD}


@contextlib.contextmanager
def demo(
    checkout: Path, port: int, stripe_port: int, until: str = "is running."
) -> Iterator["tuple[subprocess.Popen[bytes], Path]"]:
    """The launcher once it says that all is up, and the file that its terminal's words go to."""
    terminal = checkout / f"terminal-{uuid.uuid4().hex[:6]}"
    with terminal.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo"],
            cwd=checkout,
            # A price without its account's key is none of the stand-in's.
            env=environment(port, stripe_port) | {"STRIPE_PRICE_ID_PRO": "price_of_an_account"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: until in terminal.read_text() or launcher.poll() is not None, START_SECONDS)
        assert launcher.poll() is None, terminal.read_text()
        yield launcher, terminal
    finally:
        if launcher.poll() is None:
            launcher.terminate()
            launcher.wait(STOP_SECONDS)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def processes_of(checkout: Path) -> set[str]:
    """The command lines of what runs in the checkout, the launcher included."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cwd").resolve().is_relative_to(checkout):
                found.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def offered(terminal: Path, title: str) -> str:
    """What the command that the demo offers under this title says, pasted as its lines stand there."""
    command = terminal.read_text().partition(f"{title}\n\n")[2].partition("\n\n")[0]
    return subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=True).stdout


def launch(checkout: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The launcher to its end, for a start that fails."""
    command = [sys.executable, "-m", "deploy.demo"]
    return subprocess.run(
        command, cwd=checkout, env=environment(free_port()) | variables, capture_output=True, text=True, check=False
    )


def manage(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=checkout, env=terminal_environment(), capture_output=True, text=True, check=False
    )


def prepare_database(checkout: Path, running_cluster: RunningCluster) -> None:
    """The migrated database of the tests as the demo's, but for one small migration that is left to it.

    Applying those of dj-stripe takes most of a minute, which the template has spent already.
    """
    with Cluster(checkout / ".data" / "pg") as cluster:
        cluster.drop_database("ai_manus")
        url = cluster.create_database("ai_manus")
        copy_database(running_cluster.cluster.url(running_cluster.template), url)
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE django_session")
            connection.execute("DELETE FROM django_migrations WHERE app = 'sessions'")


def ask_stripe(key: str, port: int, path: str, **parameters: str) -> tuple[int, Any]:
    """The status, and the object."""
    content = urllib.parse.urlencode(parameters).encode() if parameters else None
    authorization = base64.b64encode(f"{key}:".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{path}", content, {"Authorization": f"Basic {authorization}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - on this machine
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def register(port: int, email: str) -> None:
    body = json.dumps({"fullname": "Ann", "email": email, "password": "correct horse battery"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/auth/register", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - on this machine
        assert answer.status == 201


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_the_demo_from_its_first_start_to_a_killed_launcher(checkout: Path, running_cluster: RunningCluster) -> None:
    port, stripe_port = free_port(), free_port()
    with demo(checkout, port, stripe_port, until="about a minute the first time ...") as (launcher, terminal):
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(STOP_SECONDS) == 0
        assert "Stopping prepare, stripe, PostgreSQL" in terminal.read_text()
        assert processes_of(checkout) == set()
    prepare_database(checkout, running_cluster)

    with demo(checkout, port, stripe_port) as (launcher, terminal):
        assert "Preparing the database ...\n" in terminal.read_text()
        written = checkout / ".data" / "demo.env"
        first_env = written.read_text()
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        answer = offered(terminal, "pro@example.com:")
        assert '"plan":"pro"' in answer.replace(" ", "")
        # Mails are read at the terminal, whichever process wrote them.
        register(port, "newcomer@example.com")
        wait_for(lambda: "Mail to newcomer@example.com: " in terminal.read_text(), MAIL_SECONDS)
        assert "/accounts/confirm-email/" in terminal.read_text()
        # The stand-in takes the demo's key and no other, and the clock that it moves is the demo's.
        key = demo_env.read(written)["STRIPE_SECRET_KEY"]
        assert ask_stripe(key, stripe_port, "account")[0] == 200
        assert ask_stripe(f"{key}0", stripe_port, "account")[0] == 401
        customer = ask_stripe(key, stripe_port, "customers", name="Ann")[1]["id"]
        # What can be bought is for sale there.
        prices = {price["unit_amount"] for price in ask_stripe(key, stripe_port, "prices")[1]["data"]}
        assert prices >= {1900, 4900}
        assert json.loads(offered(terminal, "the clock never goes back:"))["offset"] == MONTH_SECONDS
        # Beside the demo, with nothing set, a command reaches the demo's database, its Stripe and its clock.
        asked = manage(checkout, "shell", "--verbosity=0", "--command", BESIDE)
        assert json.loads(asked.stdout) == [1, f"http://127.0.0.1:{stripe_port}", key, MONTH_SECONDS], asked.stderr
        assert manage(checkout, "migrate", "--check").returncode == 0
        second = launch(checkout)
        assert second.returncode == 1
        assert second.stdout.strip() == "A demo already runs from this checkout."
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(STOP_SECONDS) == 0
        assert "Stopping worker, standard, web, stripe, PostgreSQL" in terminal.read_text()
        assert processes_of(checkout) == set()

    started = time.monotonic()
    with demo(checkout, port, stripe_port) as (launcher, _):
        assert time.monotonic() - started < 20
        assert written.read_text() == first_env
        assert ask_stripe(key, stripe_port, f"customers/{customer}")[1]["name"] == "Ann"
        with urllib.request.urlopen(f"http://127.0.0.1:{stripe_port}/_control/clock", timeout=10) as clock:
            assert json.load(clock)["offset"] == MONTH_SECONDS
        assert sum("tests.fake_stripe" in command for command in processes_of(checkout)) == 1
        assert len(processes_of(checkout)) > 5
        launcher.kill()
        launcher.wait()
        wait_for(lambda: processes_of(checkout) == set(), STOP_SECONDS)

    with demo(checkout, port, stripe_port) as (launcher, terminal):
        web = next(
            int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_web_master(folder, checkout, launcher.pid)
        )
        os.kill(web, signal.SIGKILL)
        assert launcher.wait(STOP_SECONDS) == 1
        assert "web ended with exit code -9" in terminal.read_text()
        assert processes_of(checkout) == set()


def is_web_master(folder: Path, checkout: Path, launcher: int) -> bool:
    with contextlib.suppress(OSError):
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == launcher and "gunicorn" in (folder / "cmdline").read_text()
    return False


@pytest.mark.parametrize("name", ["PORT", "STRIPE_PORT"])
def test_a_port_in_use_is_one_sentence(checkout: Path, name: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        finished = launch(checkout, **{name: str(port)})
    assert finished.returncode == 1
    sentence = {
        "PORT": f"Port {port} is in use by another program; choose one with `make demo PORT={port + 1}`.",
        "STRIPE_PORT": f"Port {port}, which the stand-in for Stripe needs, is in use;"
        f" choose one with `make demo STRIPE_PORT={port + 1}`.",
    }
    assert finished.stdout.strip() == sentence[name]


@pytest.mark.parametrize("name", ["PORT", "STRIPE_PORT"])
@pytest.mark.parametrize("given", ["eighty", "0", "65536"])
def test_a_port_that_is_none_is_one_sentence(checkout: Path, name: str, given: str) -> None:
    finished = launch(checkout, **{name: given})
    assert finished.returncode == 1
    assert finished.stderr.strip() == f"{name} must be a number from 1 to 65535, and is {given!r}."


def test_a_server_that_does_not_answer_is_named_without_a_traceback(checkout: Path) -> None:
    url = f"postgres://somebody:secret@127.0.0.1:{free_port()}/nothing"
    finished = launch(checkout, DATABASE_URL=url)
    assert finished.returncode == 1
    assert "The database that DATABASE_URL names cannot be reached" in finished.stdout
    assert 'File "' not in finished.stdout
    assert "secret" not in finished.stdout


def test_with_an_account_of_one_s_own_no_stand_in_is_started(checkout: Path, fresh_database: str) -> None:
    account = {
        "STRIPE_SECRET_KEY": "sk_test_0123456789abcdefABCDEF01",
        "STRIPE_WEBHOOK_SECRET": "whsec_mine",
        # Nothing listens there.
        "STRIPE_API_HOST": f"http://127.0.0.1:{free_port()}",
        "STRIPE_RETRIES": "0",
    }
    with socket.socket() as holder:
        # The stand-in's port may be taken then.
        holder.bind(("127.0.0.1", 0))
        finished = launch(checkout, **account, DATABASE_URL=fresh_database, STRIPE_PORT=str(holder.getsockname()[1]))
    assert finished.returncode == 1
    assert f"Stripe at {account['STRIPE_API_HOST']}: The payment service cannot be reached" in finished.stdout
    # A trace's first line may be too far up to be shown.
    assert 'File "' not in finished.stdout
    assert "stand-in" not in finished.stdout
    written = demo_env.read(checkout / ".data" / "demo.env")
    assert {name: value for name, value in written.items() if name.startswith(("STRIPE_", "CLOCK_"))} == account
