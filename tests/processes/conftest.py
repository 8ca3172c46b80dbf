"""Services for the tests of this folder, on databases that they share with nobody."""

import logging
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import environ
import pytest
from django.db import connections

from billing import proofs
from deploy.postgres import Cluster
from tests.embedded import RunningCluster, clone_database
from tests.environment import SCRATCH
from tests.people import Person, person
from tests.processes.clients import Caller
from tests.processes.money import Shop, open_shop, two_workers_that_are_rung
from tests.processes.service import Service

SERVICES = pytest.StashKey[list[Service]]()

type Somebody = Callable[..., Caller]


# One line a request would bury what a failed test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def shared_service(running_cluster: RunningCluster) -> Generator[Service, None, None]:
    """Four gunicorn workers without a worker for the jobs, for tests that end no process. Its clock can be moved."""
    with clone_database(running_cluster) as url, serving(url) as service:
        service.settings["CLOCK_OFFSET_FILE"] = str(service.folder / "clock-offset")
        service.start_web()
        yield service


@pytest.fixture
def service(
    shared_service: Service, request: pytest.FixtureRequest, django_db_blocker: Any
) -> Generator[Service, None, None]:
    """The shared one, and the ORM of this process on its database."""
    request.node.stash[SERVICES] = [shared_service]
    with orm_on(shared_service.database_url, django_db_blocker):
        yield shared_service


@pytest.fixture
def own_service(
    fresh_database: str, request: pytest.FixtureRequest, django_db_blocker: Any
) -> Generator[Service, None, None]:
    """One that the test starts, kills and starts again."""
    with serving(fresh_database) as service, orm_on(fresh_database, django_db_blocker):
        request.node.stash[SERVICES] = [service]
        yield service


@pytest.fixture(scope="session")
def shared_shop(running_cluster: RunningCluster) -> Generator[Shop, None, None]:
    """One gunicorn worker, a worker for the jobs and the stand-in for Stripe. What a test ends, it starts again."""
    with clone_database(running_cluster) as url, serving(url) as service:
        service.web_workers = 1
        with open_shop(service) as shop:
            yield shop
            service.check_billing()


@pytest.fixture
def shop(shared_shop: Shop, request: pytest.FixtureRequest, django_db_blocker: Any) -> Generator[Shop, None, None]:
    """The shared one, and the ORM of this process on its database. The books are right at the end of each test."""
    with visiting(shared_shop, request, django_db_blocker):
        yield shared_shop


@pytest.fixture(scope="module")
def shared_rung_shop(running_cluster: RunningCluster) -> Generator[Shop, None, None]:
    """One whose stand-in delivers its events, and whose two workers look at nothing but what they are rung for."""
    with clone_database(running_cluster) as url, serving(url) as service:
        service.web_workers = 1
        # Who is held at Stripe stays there until a test is done with it.
        service.settings |= {"STRIPE_WEBHOOK_SECRET": "whsec_between_the_two", "STRIPE_TIMEOUT_SECONDS": "45"}
        with open_shop(service, two_workers_that_are_rung) as shop:
            yield shop
            service.check_billing()


@pytest.fixture
def rung_shop(
    shared_rung_shop: Shop, request: pytest.FixtureRequest, django_db_blocker: Any
) -> Generator[Shop, None, None]:
    with visiting(shared_rung_shop, request, django_db_blocker):
        yield shared_rung_shop


@pytest.fixture
def crashing_service(
    own_cluster: Cluster, request: pytest.FixtureRequest, django_db_blocker: Any
) -> Generator[Service, None, None]:
    """One on a PostgreSQL of its own, `own_cluster`, that the test stops."""
    url = own_cluster.url("app")
    with serving(url) as service, orm_on(url, django_db_blocker):
        request.node.stash[SERVICES] = [service]
        yield service


@pytest.fixture
def somebody() -> Generator[Somebody, None, None]:
    """Calls a service as a person: `who`, or a new one on FREE, or on a comp of `plan`."""
    callers: list[Caller] = []

    def make(service: Service, who: Person | None = None, **extra: Any) -> Caller:
        callers.append(Caller(service, who or person(f"{uuid.uuid4().hex}@example.com", **extra)))
        return callers[-1]

    yield make
    for caller in callers:
        caller.http.close()


@contextmanager
def serving(url: str) -> Iterator[Service]:
    folder = SCRATCH / f"service-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    service = Service(url, folder)
    try:
        yield service
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def visiting(shop: Shop, request: pytest.FixtureRequest, blocker: Any) -> Iterator[None]:
    request.node.stash[SERVICES] = [shop.service]
    with orm_on(shop.service.database_url, blocker):
        yield
        assert proofs.find() == []
    assert shop.stand_in.violations() == []


@contextmanager
def orm_on(url: str, blocker: Any) -> Iterator[None]:
    """This process's `default` database is `url` meanwhile; it stays outside of every transaction."""
    named = environ.Env.db_url_config(url)
    settings = connections.settings["default"]
    kept = {name: settings[name] for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    with blocker.unblock():
        connections.close_all()
        settings.update({name: named[name] for name in kept})
        try:
            yield
        finally:
            connections.close_all()
            settings.update(kept)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        for service in item.stash.get(SERVICES, []):
            report.sections.append(("the services' last words", service.last_words()))
    return report
