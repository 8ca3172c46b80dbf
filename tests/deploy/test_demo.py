"""The demo as a person meets it, in a copy of the checkout with a space in its name."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from deploy.files import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("accounts", "billing", "config", "deploy", "sessions_app", "static", "templates", "manage.py")
START_SECONDS = 90
STOP_SECONDS = 30
# One that a shell, JSON, a command line and the file of the environment could each misread.
PASSWORD = """-it's "quoted" for $5 & more"""
# Set for the tests themselves; a person's terminal has none of them.
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
            shutil.copy(ROOT / part, copy)
    yield copy
    shutil.rmtree(copy)


def environment(port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return kept | {"PORT": str(port), "WEB_CONCURRENCY": "1", "DEMO_PASSWORD": PASSWORD}


@contextlib.contextmanager
def demo(checkout: Path, port: int) -> Iterator["tuple[subprocess.Popen[bytes], Path]"]:
    """The launcher once it says that all is up, and the file that its terminal's words go to."""
    terminal = checkout / f"terminal-{uuid.uuid4().hex[:6]}"
    with terminal.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo"],
            cwd=checkout,
            env=environment(port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: "is running." in terminal.read_text() or launcher.poll() is not None, START_SECONDS)
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


def pasted(terminal: Path) -> str:
    """The command that the demo offers, as its lines stand there."""
    return terminal.read_text().partition("pro@example.com:\n\n")[2].partition("\n\n")[0]


def manage(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=checkout, env=kept, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_the_demo_from_its_first_start_to_a_killed_launcher(checkout: Path) -> None:
    port = free_port()
    with demo(checkout, port) as (launcher, terminal):
        written = checkout / ".data" / "demo.env"
        first_env = written.read_text()
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        answer = subprocess.run(["/bin/bash", "-c", pasted(terminal)], capture_output=True, text=True, check=True)
        assert '"plan":"pro"' in answer.stdout.replace(" ", "")
        # Beside the demo, with nothing set, a command reaches the demo's database.
        asked = manage(checkout, "shell", "--command", "print(User.objects.filter(email='pro@example.com').count())")
        assert asked.stdout.strip().endswith("1"), asked.stderr
        second = subprocess.run(
            [sys.executable, "-m", "deploy.demo"],
            cwd=checkout,
            env=environment(free_port()),
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert second.stdout.strip() == "A demo already runs from this checkout."
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(STOP_SECONDS) == 0
        assert "Stopping worker, standard, web, PostgreSQL" in terminal.read_text()
        assert processes_of(checkout) == set()

    started = time.monotonic()
    with demo(checkout, port) as (launcher, _):
        assert time.monotonic() - started < 10
        assert written.read_text() == first_env
        assert len(processes_of(checkout)) > 4
        launcher.kill()
        launcher.wait()
        wait_for(lambda: processes_of(checkout) == set(), STOP_SECONDS)

    with demo(checkout, port) as (launcher, terminal):
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


def test_a_port_in_use_is_one_sentence(checkout: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        finished = subprocess.run(
            [sys.executable, "-m", "deploy.demo"],
            cwd=checkout,
            env=environment(port),
            capture_output=True,
            text=True,
            check=False,
        )
    assert finished.returncode == 1
    assert finished.stdout.strip() == (
        f"Port {port} is in use by another program; choose one with `make demo PORT={port + 1}`."
    )


def test_a_server_that_does_not_answer_is_named_without_a_traceback(checkout: Path) -> None:
    url = f"postgres://somebody:secret@127.0.0.1:{free_port()}/nothing"
    finished = subprocess.run(
        [sys.executable, "-m", "deploy.demo"],
        cwd=checkout,
        env=environment(free_port()) | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "The database that DATABASE_URL names cannot be reached" in finished.stdout
    assert "Traceback" not in finished.stdout
    assert "secret" not in finished.stdout
