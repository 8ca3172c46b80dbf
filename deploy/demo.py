"""The whole service on this machine, for a person to try: `make demo` starts it, Ctrl-C ends it."""

import fcntl
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psycopg

from deploy import demo_env, stand_in
from deploy.children import Child, stop_all
from deploy.files import LaunchError, is_port_free, make_folder, reason, require_space
from deploy.postgres import Cluster
from deploy.relay import Relay
from deploy.terminal import paint, say, summary

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
DATABASE = "ai_manus"
# A customer made at the stand-in is unknown to Stripe, and the other way round.
DATABASE_OF_AN_ACCOUNT = "ai_manus_at_stripe"
POLL_SECONDS = 0.1
READY_SECONDS = 60


class Stopped(Exception):
    """Somebody asked the demo to end."""


def main() -> None:
    sys.exit(Demo(number("PORT", 8000), number("STRIPE_PORT", stand_in.PORT)).run())


def number(name: str, default: int) -> int:
    given = os.environ.get(name) or str(default)
    if not given.isdecimal() or not 0 < int(given) < 65536:
        sys.exit(f"{name} must be a number from 1 to 65535, and is {given!r}.")
    return int(given)


@dataclass
class Demo:
    port: int
    stripe_port: int
    cluster: Cluster | None = None
    stripe: Child | None = None
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
        has_stand_in = stand_in.is_wanted(os.environ)
        self.require_ports(has_stand_in)
        require_space(DATA)
        make_folder(DATA / "log")
        # Mails with links that sign in go there.
        (DATA / "log").chmod(0o700)
        settings = self.environment(has_stand_in)
        environment = stand_in.without(os.environ) | settings
        if has_stand_in:
            self.start_stripe(environment)
        self.prepare(environment)
        for child in self.services(environment):
            self.begin(child)
        say("Starting the web server and the workers ...")
        self.wait_until_ready("The web server", f"http://127.0.0.1:{self.port}/readyz")
        say(summary(self.port, self.stripe_port if has_stand_in else None, environment["DEMO_PASSWORD"]))

    def require_ports(self, has_stand_in: bool) -> None:
        if not is_port_free(self.port):
            raise LaunchError(
                f"Port {self.port} is in use by another program; choose one with `make demo PORT={self.port + 1}`."
            )
        if has_stand_in and (self.stripe_port == self.port or not is_port_free(self.stripe_port)):
            raise LaunchError(
                f"Port {self.stripe_port}, which the stand-in for Stripe needs, is in use; choose one with"
                f" `make demo STRIPE_PORT={self.stripe_port + 1}`."
            )

    def environment(self, has_stand_in: bool) -> dict[str, str]:
        """Starts PostgreSQL, unless DATABASE_URL names a server, and writes demo.env."""
        url = os.environ.get("DATABASE_URL")
        if not url:
            say("Starting PostgreSQL ...")
            self.cluster = Cluster(DATA / "pg")
            self.cluster.start()
            url = self.cluster.ensure_database(DATABASE if has_stand_in else DATABASE_OF_AN_ACCOUNT)
        self.leave_if_asked()
        return demo_env.make(
            DATA / "demo.env",
            port=self.port,
            stripe_port=self.stripe_port,
            database_url=url,
            environment=os.environ,
        )

    def start_stripe(self, environment: dict[str, str]) -> None:
        """Before the preparation, which makes the plans' prices there."""
        say("Starting the stand-in for Stripe ...")
        command = stand_in.command(environment, port=self.stripe_port, state=DATA / "stripe")
        self.stripe = self.child("stripe", command, environment)
        self.begin(self.stripe)
        self.wait_until_ready("The stand-in for Stripe", f"{stand_in.address(self.stripe_port)}/_control/clock")

    def begin(self, child: Child) -> None:
        self.children.append(child)
        child.start()
        self.relays[child.name] = Relay()

    def prepare(self, environment: dict[str, str]) -> None:
        is_new = is_without_tables(environment["DATABASE_URL"])
        say(f"Preparing the database{', which takes about a minute the first time' if is_new else ''} ...")
        child = self.child("prepare", ["-m", "deploy.prepare"], environment)
        self.children.append(child)
        child.start()
        while child.exit_code is None:
            self.pause()
        self.children.remove(child)
        # A stand-in that has ended is the better reason.
        self.require_alive()
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

    def wait_until_ready(self, what: str, url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (answer := readiness(url)) != "ready":
            if time.monotonic() > deadline:
                raise LaunchError(f"{what} was not ready within {READY_SECONDS} seconds: {answer}")
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
        """What asks before what answers: PostgreSQL is used to the end, and Stripe by web and workers."""
        asking = [child for child in self.children if child is not self.stripe]
        answering = [child for child in self.children if child is self.stripe]
        running = [child.name for child in (*asking, *answering) if child.exit_code is None]
        if self.cluster is not None and self.cluster.is_running:
            running.append("PostgreSQL")
        if running:
            say(f"\nStopping {', '.join(running)} ...")
        stop_all(asking)
        stop_all(answering)
        if self.cluster is not None:
            self.cluster.stop()
        if running:
            say("Everything that the demo started has stopped.")


def is_without_tables(url: str) -> bool:
    """Asks for dj-stripe's, whose migrations take most of the first minute. What cannot be reached is not new."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("SELECT to_regclass('djstripe_account')").fetchone() == (None,)
    except psycopg.Error:
        return False


def readiness(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of this launcher's own
            return "ready"
    except urllib.error.HTTPError as error:
        with error:
            return error.read(500).decode(errors="replace")
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    main()
