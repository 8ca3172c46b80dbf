"""The service as in production, in processes of its own: gunicorn with four workers, and procrastinate's."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from deploy.children import Child, stop_all
from deploy.files import free_port
from tests.environment import ENVIRONMENT, ROOT
from tests.processes.bursts import CLIENTS, at_once

WEB_THREADS = 8
POLL_SECONDS = 0.05
BOOTED = re.compile(r"Booting worker with pid: (\d+)")


def until(condition: Callable[[], object], what: str, *, seconds: float = 60) -> None:
    """Raises AssertionError when `condition()` does not become true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"In {seconds:g} s it did not happen that {what}."
        time.sleep(POLL_SECONDS)


@dataclass
class Service:
    """Everything that runs on one database. `stop` ends what was started, and nothing else."""

    database_url: str = field(repr=False)
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    web_workers: int = 4
    port: int = field(default_factory=free_port)
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def environment(self) -> dict[str, str]:
        """All of it: nothing that a developer has exported reaches these processes."""
        return {
            "PATH": os.environ["PATH"],
            "DEBUG": "on",
            "SECRET_KEY": ENVIRONMENT["SECRET_KEY"],
            "SITE_URL": ENVIRONMENT["SITE_URL"],
            "DATABASE_URL": self.database_url,
            "EMAIL_URL": "dummymail://",
            "LOG_LEVEL": "ERROR",
            "WEB_CONCURRENCY": str(self.web_workers),
            "WEB_THREADS": str(WEB_THREADS),
            "AGENT_STEP_SECONDS": "0.01",
            "SWEEP_SECONDS": "2",
            "AGENT_GATES": str(self.gates),
            **self.settings,
        }

    def launch_web(self) -> Child:
        """Returns at once; until it answers there is nothing at its port."""
        gunicorn = ["-m", "gunicorn", "config.wsgi:application", "--config=deploy/gunicorn.conf.py"]
        return self.launch("web", [*gunicorn, f"--bind=127.0.0.1:{self.port}"])

    def start_web(self) -> None:
        self.launch_web()
        self.wait_until_ready()

    def start_worker(self, *options: str, name: str = "worker") -> Child:
        """Returns when the worker has told the database that it is there."""
        known = self.workers()
        worker = self.launch_worker(*options, name=name)
        until(lambda: worker.exit_code is not None or self.workers() - known, f"the {name} registers itself")
        assert worker.exit_code is None, worker.last_lines()
        return worker

    def launch_worker(self, *options: str, name: str = "worker") -> Child:
        """Returns at once."""
        command = ["manage.py", "procrastinate", "worker", f"--name={name}", "--shutdown-graceful-timeout=1", *options]
        return self.launch(name, command)

    def launch(self, name: str, arguments: list[str]) -> Child:
        self.folder.mkdir(parents=True, exist_ok=True)
        child = Child(name, [sys.executable, *arguments], self.folder / f"{name}.log", self.environment, ROOT)
        self.children[name] = child
        child.start()
        return child

    def wait_until_ready(self) -> None:
        """Every gunicorn worker has answered: all but one of them together have fewer threads than this asks for."""
        web = self.children["web"]
        wanted = WEB_THREADS * (self.web_workers - 1) + 1
        with httpx.Client(limits=httpx.Limits(max_connections=1)) as client:
            until(lambda: self.is_ready(client) or web.exit_code is not None, "/readyz answers")
        assert web.exit_code is None, web.last_lines()
        until(lambda: self.warm_up() >= wanted, "every gunicorn worker serves")

    def is_ready(self, client: httpx.Client) -> bool:
        with suppress(httpx.TransportError):
            return client.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10).status_code == 200
        return False

    def warm_up(self) -> int:
        """Asks /readyz from all clients at once; the number of connections that the web processes hold then."""
        with httpx.Client(limits=httpx.Limits(max_connections=CLIENTS)) as client:
            at_once(CLIENTS, lambda _: self.is_ready(client))
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(query, ["ai-manus"]).fetchone()
        assert row is not None
        return int(row[0])

    def web_pids(self) -> list[int]:
        """Of the gunicorn workers since its last start, the latest last."""
        return [int(pid) for pid in BOOTED.findall(self.children["web"].log.read_text(errors="replace"))]

    def kill_web_worker(self) -> None:
        """kill -9 of one of the processes that serve; gunicorn starts another."""
        os.kill(self.web_pids()[-1], signal.SIGKILL)

    def kill(self, name: str) -> None:
        """kill -9 of a process and all that it started."""
        self.children[name].kill()

    @property
    def gates(self) -> Path:
        """The folder in which GatedAgent looks."""
        return self.folder / "gates"

    def open_gate(self, name: str) -> None:
        self.gates.mkdir(exist_ok=True)
        (self.gates / name).touch()

    def take_jobs_as_a_worker_that_died(self) -> None:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id"
            ).fetchone()
            assert row is not None
            connection.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", row)

    def workers(self) -> set[int]:
        with psycopg.connect(self.database_url) as connection:
            return {int(id) for (id,) in connection.execute("SELECT id FROM procrastinate_workers")}

    def is_silent(self) -> bool:
        """No worker has given a sign of life for as long as makes it a dead one."""
        seconds = float(self.settings["WORKER_SILENT_SECONDS"])
        query = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => %s)"
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, [seconds]).fetchone() == (0,)

    def manage(self, *arguments: str) -> str:
        """What a `manage.py` command prints. Raises AssertionError when it exits otherwise than by 0."""
        finished = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        return finished.stdout

    def check_billing(self) -> None:
        assert "proofs hold" in self.manage("check_billing")

    def stop(self) -> None:
        stop_all(list(self.children.values()))

    def last_words(self) -> str:
        return "\n".join(f"--- {child.name}\n{child.last_lines(40)}" for child in self.children.values())
