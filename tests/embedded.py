"""Real databases for tests: one embedded PostgreSQL a run, migrated once, cloned in a moment.

The top conftest.py says `pytest_plugins = ["tests.embedded"]`. Then:

- `db` and `transactional_db` (and the marker `django_db`) work as pytest-django describes them. Each
  pytest worker has a database of its own. It begins with what `migrate` and `sync_plans` put
  there, and after a transactional test every table is put back to just that, the queue's included.
- `fresh_database` is the URL of one more such database, for real server and worker processes.
- `own_cluster` is a whole PostgreSQL for tests that stop it, with such a database in `.url(...)`.

The cluster is kept in `.data/test-pg`, or the next free `.data/test-pg-2` and so on when several runs
go on at once. It holds one template a state of the migrations and the pins, and one a state of the
code, from which the plans come.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import TransactionTestCase

from deploy.postgres import OWNER, SUPERUSER, Cluster, ClusterInUse, binary, plain_environment

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
MOST_RUNS_AT_ONCE = 8
CLUSTER_KEY = pytest.StashKey["RunningCluster"]()


@dataclass
class RunningCluster:
    """What a pytest worker needs to know of the cluster that the run started."""

    home: str
    port: int
    template: str

    @property
    def cluster(self) -> Cluster:
        """A handle for making databases; it neither starts nor stops the server."""
        return Cluster(Path(self.home), port=self.port)

    def clone(self, name: str) -> str:
        return self.cluster.create_database(name, self.template)

    def drop(self, name: str) -> None:
        self.cluster.drop_database(name)


# Fixtures, as tests ask for them.


@pytest.fixture(scope="session")
def django_db_setup(
    running_cluster: RunningCluster, django_test_environment: None, django_db_blocker: Any
) -> Generator[None, None, None]:
    """Replaces pytest-django's: clones the template where that would migrate an empty database."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    os.environ["DATABASE_URL"] = running_cluster.clone(name)
    address = {
        "NAME": name,
        "HOST": "127.0.0.1",
        "PORT": running_cluster.port,
        "USER": OWNER,
        "PASSWORD": running_cluster.cluster.password,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: restore_tables())
        with django_db_blocker.unblock():
            connections.close_all()
        connections.settings["default"].update(address)
        yield
        with django_db_blocker.unblock():
            connections.close_all()
    running_cluster.drop(name)


@pytest.fixture
def fresh_database(running_cluster: RunningCluster) -> Generator[str, None, None]:
    """The URL of a database for this test alone, for processes that the test starts."""
    with clone_database(running_cluster) as url:
        yield url


@pytest.fixture
def own_cluster(running_cluster: RunningCluster) -> Generator[Cluster, None, None]:
    """A PostgreSQL for this test alone, durable as in production; `own_cluster.url("app")` is migrated.

    `stop("immediate")` is a crash, `start()` recovers on the same port.
    """
    home = DATA / "test-clusters" / uuid.uuid4().hex[:8]
    try:
        with Cluster(home) as cluster:
            copy_database(running_cluster.cluster.url(running_cluster.template), cluster.create_database("app"))
            yield cluster
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def clone_database(running_cluster: RunningCluster) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        yield running_cluster.clone(name)
    finally:
        running_cluster.drop(name)


@pytest.fixture(scope="session")
def running_cluster(pytestconfig: pytest.Config) -> RunningCluster:
    handed_over = getattr(pytestconfig, "workerinput", {}).get("cluster")
    return RunningCluster(**handed_over) if handed_over else ensure_running(pytestconfig)


# One cluster a run: started by the process that distributes the tests, or by the only one, when first needed.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by xdist, in the distributing process, for each worker."""
    node.workerinput["cluster"] = vars(ensure_running(node.config))


def ensure_running(config: pytest.Config) -> RunningCluster:
    if CLUSTER_KEY not in config.stash:
        cluster = start_cluster()
        config.add_cleanup(cluster.stop)
        for left_over in [name for name in cluster.databases() if name.startswith("test_")]:
            cluster.drop_database(left_over)
        assert cluster.port is not None
        config.stash[CLUSTER_KEY] = RunningCluster(str(cluster.home), cluster.port, template(cluster))
    return config.stash[CLUSTER_KEY]


def start_cluster() -> Cluster:
    for number in range(1, MOST_RUNS_AT_ONCE + 1):
        cluster = Cluster(DATA / (f"test-pg-{number}" if number > 1 else "test-pg"), is_durable=False)
        try:
            cluster.start()
        except ClusterInUse:
            continue
        return cluster
    raise pytest.UsageError(f"{MOST_RUNS_AT_ONCE} test runs already go on in this checkout.")


# Templates.


def template(cluster: Cluster) -> str:
    """The name of a database with every migration applied and the plans loaded."""
    migrated = f"migrated_{fingerprint(migration_files(), migration_settings())}"
    ready = f"ready_{fingerprint([*migration_files(), *source_files()])}"
    if ready in cluster.databases():
        return ready
    for old in [name for name in cluster.databases() if name.startswith(("ready_", "building_"))]:
        cluster.drop_database(old)
    if migrated not in cluster.databases():
        for old in [name for name in cluster.databases() if name.startswith("migrated_")]:
            cluster.drop_database(old)
        with building(cluster, migrated, "template0") as name:
            manage("migrate", url=cluster.url(name))
    with building(cluster, ready, migrated) as name:
        manage("sync_plans", url=cluster.url(name))
        keep_pristine(cluster.url(name, SUPERUSER))
    return ready


@contextmanager
def building(cluster: Cluster, name: str, origin: str) -> Iterator[str]:
    """Under another name until it is whole, so that an interrupted build is never used."""
    unfinished = f"building_{name}"
    cluster.create_database(unfinished, origin)
    yield unfinished
    cluster.rename_database(unfinished, name)


def manage(command: str, *, url: str) -> None:
    """In a process of its own: this one must not know the template's database."""
    finished = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise pytest.UsageError(f"manage.py {command} failed on the test template:\n{finished.stdout}")


def migration_files() -> list[Path]:
    """Those of the project; those of installed packages change with the pins."""
    return [ROOT / "requirements.txt", *(path for path in source_files() if "migrations" in path.parts)]


def migration_settings() -> str:
    """What decides which migrations there are, and what dj-stripe's read."""
    chosen = {
        name: value for name in dir(settings) if name.startswith("DJSTRIPE_") and (value := getattr(settings, name))
    }
    return repr((settings.INSTALLED_APPS, settings.AUTH_USER_MODEL, chosen))


def source_files() -> list[Path]:
    folders = [ROOT / name for name in ("accounts", "billing", "config", "sessions_app")]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".sql"))


def fingerprint(paths: Sequence[Path], words: str = "") -> str:
    content = hashlib.sha256(f"{sys.version}\0{words}".encode())
    for path in (*paths, Path(__file__)):
        content.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:12]


# Putting the tables back.

# With session_replication_role = replica no trigger fires, so that neither the order of foreign keys nor a
# guard of an append-only table is in the way; that is the superuser's to set, hence SECURITY DEFINER. DELETE
# on the few tables that hold rows takes a tenth of the time of TRUNCATE on all; a table that nobody ever wrote
# to has no pages, and is not even looked into. Sequences go on.
KEEP_PRISTINE = """
CREATE SCHEMA pristine;
GRANT USAGE ON SCHEMA pristine TO PUBLIC;

CREATE FUNCTION pristine.has_rows(name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE found_one boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO found_one;
    RETURN found_one;
END $$;

DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'django_migrations' AND pristine.has_rows(tablename)
    LOOP
        EXECUTE format('CREATE TABLE pristine.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$;

CREATE FUNCTION pristine.restore() RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET session_replication_role = replica SET search_path = public AS $$
DECLARE name text; columns text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'django_migrations'
            AND pg_relation_size(format('public.%I', tablename)::regclass) > 0 AND pristine.has_rows(tablename)
    LOOP
        EXECUTE format('DELETE FROM public.%I', name);
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'pristine' LOOP
        SELECT string_agg(format('%I', column_name), ', ') INTO columns FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = name AND is_generated = 'NEVER';
        EXECUTE format(
            'INSERT INTO public.%1$I (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM pristine.%1$I', name, columns
        );
    END LOOP;
END $$;
"""


def keep_pristine(url: str) -> None:
    """Copies the rows that are there now to a schema of their own. `url` is the superuser's."""
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute(KEEP_PRISTINE)


def restore_tables() -> None:
    """What `flush` would do, and more: the queue's tables are emptied too, and the plans come back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pristine.restore()")


def copy_database(origin: str, target: str) -> None:
    """From one server to another, by pg_dump and psql."""
    dump = [str(binary("pg_dump")), "--no-owner", "--no-privileges", "--exclude-schema=pristine", f"--dbname={origin}"]
    load = [str(binary("psql")), "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={target}"]
    script = subprocess.run(dump, env=plain_environment(), stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(load, env=plain_environment(), input=script, stdout=subprocess.DEVNULL, check=True)
