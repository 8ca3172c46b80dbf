"""The demo's people: there after the first start, and as they were after every other."""

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings as SettingsWrapper

from accounts.models import User, Workspace
from billing.models import Subscription
from tests.people import Person

pytestmark = pytest.mark.django_db

PASSWORD = "a password for the demo"


@pytest.fixture(autouse=True)
def in_development(settings: SettingsWrapper) -> None:
    settings.DEBUG = True


def seed(password: str = PASSWORD) -> str:
    out = StringIO()
    call_command("seed_demo", f"--password={password}", stdout=out)
    return out.getvalue()


def plan_of(email: str) -> str:
    user = User.objects.get(email=email)
    return str(Person(user, user.personal_workspace).get("/billing/subscription").json()["plan"])


def test_it_makes_its_people_with_one_password() -> None:
    expected = "4 demo accounts: pro@example.com, free@example.com, team@example.com, staff@example.com.\n"
    assert seed() == expected
    assert all(user.check_password(PASSWORD) and user.is_email_verified for user in User.objects.all())
    assert [user.email for user in User.objects.filter(is_staff=True, is_superuser=True)] == ["staff@example.com"]
    plans = {email: plan_of(email) for email in User.objects.values_list("email", flat=True)}
    assert plans.pop("pro@example.com") == "pro"
    assert set(plans.values()) == {"free"}
    assert Workspace.objects.get(personal_user=None).owner.email == "team@example.com"


def test_a_second_start_changes_nothing() -> None:
    seed()
    tables = (User, Workspace, Subscription)
    before = [list(table.objects.order_by("id").values()) for table in tables]
    seed()
    assert [list(table.objects.order_by("id").values()) for table in tables] == before


def test_another_password_replaces_the_first() -> None:
    seed()
    seed("another password for the demo")
    assert all(user.check_password("another password for the demo") for user in User.objects.all())


def test_a_demo_that_lay_for_years_still_has_somebody_on_pro(travel: Callable[[timedelta], datetime]) -> None:
    seed()
    travel(timedelta(days=800))
    assert plan_of("pro@example.com") == "free"
    seed()
    assert plan_of("pro@example.com") == "pro"


def test_in_production_it_is_refused(settings: SettingsWrapper) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="refused in production"):
        seed()
    assert not User.objects.exists()
