"""The cast, and what a test may ask for."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from procrastinate import App
from procrastinate.contrib.django import app
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import clock
from accounts.models import Role, Workspace
from billing.models import Plan
from tests.people import Person, join, person
from tests.stripe_stand_in import (
    published,
    shop,
    stripe_calls,
    stripe_client,
    stripe_stand_in,
    stripe_stand_in_process,
)

__all__ = ["published", "shop", "stripe_calls", "stripe_client", "stripe_stand_in", "stripe_stand_in_process"]


@pytest.fixture
def alice(db: None) -> Person:
    """On PRO, by comp."""
    return person("alice@example.com", plan=Plan.PRO)


@pytest.fixture
def bob(db: None) -> Person:
    """On FREE."""
    return person("bob@example.com")


@pytest.fixture
def charlie(db: None) -> Person:
    """A stranger with a workspace of his own."""
    return person("charlie@example.com")


@pytest.fixture
def staff(db: None) -> Person:
    return person("staff@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def team(db: None) -> Workspace:
    """A team workspace that tara owns."""
    tara = person("tara@example.com").user
    return Workspace.objects.open(name="The team", owner=tara, now=clock.now())


@pytest.fixture
def tara(team: Workspace) -> Person:
    """The team's owner, in the team."""
    return Person(team.owner, team)


@pytest.fixture
def dana(team: Workspace) -> Person:
    """The team's admin, in the team."""
    dana = person("dana@example.com")
    join(team, dana.user, Role.ADMIN)
    return dana.into(team)


@pytest.fixture
def mike(team: Workspace) -> Person:
    """A member of the team, in the team."""
    mike = person("mike@example.com")
    join(team, mike.user, Role.MEMBER)
    return mike.into(team)


@pytest.fixture
def nobody() -> APIClient:
    """Somebody who is not signed in."""
    return APIClient()


@pytest.fixture
def work(transactional_db: None, settings: SettingsWrapper) -> Callable[[], None]:
    """Call it to have every job that is waiting carried out by the real worker, in this process."""
    settings.AGENT_STEP_SECONDS = 0

    def carry_out() -> None:
        connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]  # Django's connector has it
        with app.replace_connector(connector) as worker_app:
            asyncio.run(drain(worker_app))

    async def drain(worker_app: App) -> None:
        async with worker_app.open_async():
            await worker_app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)

    return carry_out


@pytest.fixture
def travel(tmp_path: Path, settings: SettingsWrapper) -> Callable[[timedelta], datetime]:
    """Move the domain's clock to an offset from the system's; returns the new present."""
    file = tmp_path / "clock-offset"
    settings.CLOCK_OFFSET_FILE = str(file)

    def to(offset: timedelta) -> datetime:
        file.write_text(str(offset.total_seconds()), encoding="ascii")
        return clock.now()

    return to


@pytest.fixture
def statements() -> Callable[[], CaptureQueriesContext]:
    """`with statements() as seen:` and then `len(seen)`, transaction marks included."""
    return lambda: CaptureQueriesContext(connection)
