"""The whole service on this machine, for a person to try: `make demo` starts it, Ctrl-C ends it."""

import fcntl
import json
import os
import shlex
import signal
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from deploy import demo_env
from deploy.children import Child, stop_all
from deploy.files import LaunchError, is_port_free, make_folder, reason, require_space
from deploy.postgres import Cluster
from deploy.relay import Relay

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
DATABASE = "ai_manus"
POLL_SECONDS = 0.1
READY_SECONDS = 60
ACCOUNTS = {
    "pro@example.com": "on PRO, by comp",
    "free@example.com": "on FREE",
    "team@example.com": "owns a team workspace",
    "staff@example.com": "staff, for the admin",
}


class Stopped(Exception):
    """Somebody asked the demo to end."""


def main() -> None:
    try:
        port = int(os.environ.get("PORT") or 8000)
    except ValueError:
        sys.exit(f"PORT must be a number, and is {os.environ['PORT']!r}.")
    sys.exit(Demo(port).run())


@dataclass
class Demo:
    port: int
    cluster: Cluster | None = None
    children: list[Child] = field(default_factory=list)
    relays: dict[str, Relay] = field(default_factory=dict)
    is_stopping: bool = False

    def run(self) -> int:
        """Returns the exit code: 0 when it was asked to end, 1 when something failed."""
        # A flag and no exception: nothing is left half started.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.note_stop)
        try:
            make_folder(DATA)
            with (DATA / "demo.lock").open("a+") as lock:
                self.take(lock.fileno())
                try:
                    self.start()
                    self.watch()
                finally:
                    self.stop()
        except Stopped:
            return 0
        except LaunchError as error:
            say(f"\n{paint(str(error), 31)}")
        except OSError as error:
            say(f"\n{paint(f'The demo cannot run: {reason(error)}.', 31)}")
        return 1

    def note_stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True

    def take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError("A demo already runs from this checkout.") from None

    def start(self) -> None:
        if not is_port_free(self.port):
            raise LaunchError(
                f"Port {self.port} is in use by another program; choose one with `make demo PORT={self.port + 1}`."
            )
        require_space(DATA)
        make_folder(DATA / "log")
        # Mails with links that sign in go there.
        (DATA / "log").chmod(0o700)
        environment = os.environ | self.environment()
        self.prepare(environment)
        self.children = self.services(environment)
        for child in self.children:
            child.start()
            self.relays[child.name] = Relay()
        self.wait_until_ready()
        say(summary(self.port, environment["DEMO_PASSWORD"]))

    def environment(self) -> dict[str, str]:
        """Starts PostgreSQL, unless DATABASE_URL names a server, and writes demo.env."""
        url = os.environ.get("DATABASE_URL")
        if not url:
            say("Starting PostgreSQL ...")
            self.cluster = Cluster(DATA / "pg")
            self.cluster.start()
            url = self.cluster.ensure_database(DATABASE)
        self.leave_if_asked()
        return demo_env.make(
            DATA / "demo.env",
            port=self.port,
            database_url=url,
            password=os.environ.get("DEMO_PASSWORD") or None,
        )

    def prepare(self, environment: dict[str, str]) -> None:
        say("Preparing the database ...")
        child = self.child("prepare", ["-m", "deploy.prepare"], environment)
        self.children = [child]
        child.start()
        while child.exit_code is None:
            self.pause()
        if child.exit_code != 0:
            raise LaunchError(f"The database could not be prepared:\n{child.last_lines()}")

    def services(self, environment: dict[str, str]) -> list[Child]:
        worker = ["manage.py", "procrastinate", "worker", "--shutdown-graceful-timeout=5"]
        gunicorn = ["-m", "gunicorn", "config.wsgi:application", "--config=deploy/gunicorn.conf.py"]
        services = [
            self.child("worker", [*worker, "--name=worker", "--concurrency=4"], environment),
            # Takes only runs without priority, so that those never starve.
            self.child("standard", [*worker, "--name=standard", "--queues=runs"], environment),
            self.child("web", [*gunicorn, f"--bind=127.0.0.1:{self.port}"], environment),
        ]
        # With the launcher PostgreSQL is gone too, and a worker would look for it for half a minute.
        services[0].death_signal = services[1].death_signal = "KILL"
        return services

    def child(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        return Child(
            name=name,
            command=[sys.executable, *arguments],
            log=DATA / "log" / f"{name}.log",
            environment=environment,
            folder=ROOT,
        )

    def wait_until_ready(self) -> None:
        say("Starting the web server and the workers ...")
        deadline = time.monotonic() + READY_SECONDS
        while (answer := readiness(self.port)) != "ready":
            if time.monotonic() > deadline:
                raise LaunchError(f"The web server was not ready within {READY_SECONDS} seconds: {answer}")
            self.pause()
            self.require_alive()

    def watch(self) -> None:
        while True:
            self.pause()
            self.require_alive()

    def pause(self) -> None:
        """Waits a little, relays what the children wrote, and raises Stopped when asked to end."""
        time.sleep(POLL_SECONDS)
        self.relay()
        self.leave_if_asked()

    def leave_if_asked(self) -> None:
        if self.is_stopping:
            raise Stopped

    def relay(self) -> None:
        for child in self.children:
            if child.name in self.relays:
                for line in child.new_lines():
                    for shown in self.relays[child.name].feed(line):
                        say(f"{paint(f'{child.name:>8} |', 2)} {shown}")

    def require_alive(self) -> None:
        for child in self.children:
            if child.exit_code is not None:
                raise LaunchError(
                    f"{child.name} ended with exit code {child.exit_code}. Its last lines, of"
                    f" {child.log.relative_to(ROOT)}:\n{child.last_lines()}"
                )
        if self.cluster is not None and not self.cluster.is_running:
            raise LaunchError(f"PostgreSQL ended. Its last lines:\n{self.cluster.log_tail()}")

    def stop(self) -> None:
        """The children first, PostgreSQL last, since they use it to the end."""
        running = [child.name for child in self.children if child.exit_code is None]
        if self.cluster is not None and self.cluster.is_running:
            running.append("PostgreSQL")
        if running:
            say(f"\nStopping {', '.join(running)} ...")
        stop_all(self.children)
        if self.cluster is not None:
            self.cluster.stop()
        if running:
            say("Everything that the demo started has stopped.")


def readiness(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return "ready"
    except urllib.error.HTTPError as error:
        with error:
            return error.read(500).decode(errors="replace")
    except OSError as error:
        return str(error)


def summary(port: int, password: str) -> str:
    here = f"http://127.0.0.1:{port}"
    accounts = "\n".join(f"    {address:<20}{what}" for address, what in ACCOUNTS.items())
    return f"""
  {paint("AI-Manus is running.", 1, 32)} Ctrl-C stops it.

  API docs    {paint(f"{here}/api/v1/docs", 4)}
  Admin       {paint(f"{here}/admin/", 4)}
  Logs        .data/log/

  Sign in with the password {paint(password, 1)}

{accounts}

  Ask for the subscription of pro@example.com:

{curl(here, password)}
"""


def curl(here: str, password: str) -> str:
    """One command: the inner curl signs in, the outer one asks."""
    body = shlex.quote(json.dumps({"email": "pro@example.com", "password": password}))
    return (
        f'curl -s {here}/api/v1/billing/subscription -H "Authorization: Bearer $(\n'
        f"  curl -s {here}/api/v1/auth/login -H 'Content-Type: application/json' \\\n"
        f"    -d {body} |\n"
        '  sed \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/\')"'
    )


def say(text: str) -> None:
    # The terminal may be gone, and the children must be stopped all the same.
    with suppress(OSError):
        print(text, flush=True)


def paint(text: str, *codes: int) -> str:
    """In colour, on a terminal that wants it."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{';'.join(str(code) for code in codes)}m{text}\033[0m"


if __name__ == "__main__":
    main()
