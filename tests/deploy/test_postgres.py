"""The embedded PostgreSQL, through what happens to the process that started it."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from deploy.files import LaunchError
from deploy.postgres import SUPERUSER, Cluster, ClusterInUse, require_entry

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_SECONDS = 20


@pytest.fixture
def home() -> Generator[Path, None, None]:
    """Not pytest's own temporary folder, which `nobody` may not enter."""
    path = ROOT / ".data" / "test clusters" / uuid.uuid4().hex[:8]
    path.mkdir(parents=True)
    yield path
    subprocess.run(["/bin/rm", "-rf", str(path)], check=True)


def cluster_in(home: Path) -> Cluster:
    return Cluster(home, is_durable=False)


def has_ended(pid: int) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            continue
    return False


def test_rows_and_port_outlive_a_restart_and_a_crash(home: Path) -> None:
    with cluster_in(home) as cluster:
        port = cluster.port
        url = cluster.create_database("shop")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        cluster.execute("CHECKPOINT")
        cluster.stop("immediate")
        assert not cluster.is_running
        cluster.start()
        assert cluster.port == port
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_it_listens_on_loopback_and_lets_nobody_in_without_the_password(home: Path) -> None:
    with cluster_in(home) as cluster:
        assert cluster.execute("SHOW listen_addresses") == [("127.0.0.1",)]
        assert cluster.execute("SHOW unix_socket_directories") == [("",)]
        assert cluster.execute("SHOW max_connections") == [("200",)]
        assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
        for role in (SUPERUSER, "ai_manus"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"postgres://{role}:wrong@127.0.0.1:{cluster.port}/postgres")
        with psycopg.connect(cluster.create_database("shop")) as connection:
            row = connection.execute("SELECT usesuper FROM pg_user WHERE usename = current_user").fetchone()
        assert row == (False,)


def test_a_second_launcher_is_refused_and_disturbs_nothing(home: Path) -> None:
    with cluster_in(home) as cluster:
        with pytest.raises(ClusterInUse, match=f"process {os.getpid()}"):
            cluster_in(home).start()
        assert cluster.is_running


def test_an_aborted_initdb_is_begun_anew(home: Path) -> None:
    (home / "data.new").mkdir()
    (home / "data.new" / "PG_VERSION").write_text("18")
    with cluster_in(home) as cluster:
        assert cluster.is_running


def test_a_pid_file_whose_process_is_another_program_is_no_obstacle(home: Path) -> None:
    with cluster_in(home):
        pass
    # Our own pid: alive, and no PostgreSQL.
    (home / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{home / 'data'}\n")
    with cluster_in(home) as cluster:
        assert cluster.is_running


LAUNCHER = """
import sys, pathlib, signal
from deploy.postgres import Cluster
cluster = Cluster(pathlib.Path(sys.argv[1]), is_durable=False)
cluster.start()
print(cluster.process.pid, flush=True)
signal.pause()
"""


def launch(home: Path) -> tuple["subprocess.Popen[str]", int]:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    return launcher, int(launcher.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_the_server_ends_with_a_launcher_that_was_killed(home: Path) -> None:
    launcher, server = launch(home)
    with launcher:
        launcher.kill()
    assert has_ended(server)
    with cluster_in(home) as cluster:
        assert cluster.is_running


def test_a_server_that_was_left_behind_is_replaced(home: Path) -> None:
    with cluster_in(home) as cluster:
        assert cluster.process is not None
        left_behind = cluster.process
        # What a launcher leaves where the system cannot tie the two: the server, and no lock.
        assert cluster.lock is not None
        cluster.lock.close()
        with cluster_in(home) as second:
            assert second.process is not None
            assert second.process.pid != left_behind.pid
            assert left_behind.wait(DEADLINE_SECONDS) == 0


def test_a_server_that_was_killed_recovers(home: Path) -> None:
    with cluster_in(home) as cluster:
        assert cluster.process is not None
        cluster.process.send_signal(signal.SIGKILL)
        cluster.process.wait()
    with cluster_in(home) as cluster:
        assert cluster.is_running


def test_a_folder_that_the_server_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "below").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    closed.chmod(0o700)
    with pytest.raises(LaunchError, match=f"cannot enter {closed}:"):
        require_entry(closed / "below", pwd.getpwnam("nobody"))
    closed.chmod(0o711)
    require_entry(closed / "below", pwd.getpwnam("nobody"))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's server can be met by root alone")
def test_as_root_the_server_runs_as_nobody(home: Path) -> None:
    with cluster_in(home) as cluster:
        assert cluster.process is not None
        assert Path(f"/proc/{cluster.process.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
