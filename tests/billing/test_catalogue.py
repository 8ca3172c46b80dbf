"""sync_plans brings the shipped plans into the database, and leaves alone what staff changed."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import catalogue
from billing.catalogue import CATALOGUE, Offer
from billing.models import Interval, Plan, Price

pytestmark = pytest.mark.django_db

type Say = Callable[..., None]


def sync(*options: str) -> list[str]:
    out = StringIO()
    call_command("sync_plans", *options, stdout=out)
    return out.getvalue().splitlines()


def stored() -> list[Any]:
    return [list(Plan.objects.order_by("rank").values()), list(Price.objects.order_by("id").values())]


@pytest.fixture
def catalogue_says(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Release another catalogue: `catalogue_says("basic", runs_limit=2000)`, or with `offers=`."""

    def say(slug: str, *, offers: tuple[Offer, ...] | None = None, **values: Any) -> None:
        entries = tuple(
            replace(entry, values=entry.values | values, offers=entry.offers if offers is None else offers)
            if entry.slug == slug
            else entry
            for entry in catalogue.CATALOGUE
        )
        monkeypatch.setattr(catalogue, "CATALOGUE", entries)

    return say


def test_the_plans_are_as_shipped() -> None:
    plans = Plan.objects.order_by("rank").values_list("slug", "name", "description", "runs_limit")
    assert list(plans) == [
        ("free", "AI-Manus FREE", "10 agent runs per month", 10),
        ("trial", "AI-Manus TRIAL", "50 agent runs in 14 days, no card needed", 50),
        ("basic", "AI-Manus BASIC", "1,000 agent runs per month", 1000),
        ("pro", "AI-Manus PRO", "5,000 agent runs per month", 5000),
        ("enterprise", "AI-Manus ENTERPRISE", "Unlimited agent runs, by agreement", None),
    ]
    prices = Price.objects.values_list("plan__slug", "unit_amount", "currency", "interval", "is_active")
    assert list(prices) == [
        ("basic", 1900, "usd", "month", True),
        ("basic", 19000, "usd", "year", True),
        ("pro", 4900, "usd", "month", True),
        ("pro", 49000, "usd", "year", True),
    ]
    others = Plan.objects.values_list("concurrency_limit", "storage_limit", "members_limit")
    assert set(others) == {(None, None, None)}


def test_into_an_empty_database_everything_is_loaded() -> None:
    before = Plan.objects.order_by("rank").values_list("slug", "runs_limit", "features", "loaded")
    expected = list(before)
    Price.objects.all().delete()
    Plan.objects.all().delete()
    with pytest.raises(CommandError):
        sync("--check")
    assert sync() == ["5 plans in the catalogue, 5 written."]
    assert list(before.all()) == expected
    assert sync("--check") == ["All 5 plans are as the catalogue has them."]


def test_loading_again_changes_nothing() -> None:
    before = stored()
    assert sync() == ["5 plans in the catalogue, 0 written."]
    assert sync("--overwrite") == ["5 plans in the catalogue, 0 written."]
    assert stored() == before


def test_a_check_tells_every_difference_changes_nothing_and_fails(catalogue_says: Say) -> None:
    catalogue_says("basic", runs_limit=2000, offers=(Offer(2100),))
    Plan.objects.filter(slug=Plan.PRO).update(name="Professional")
    before, out = stored(), StringIO()
    with pytest.raises(CommandError, match=r"3 values differ from the catalogue\.") as failed:
        call_command("sync_plans", "--check", stdout=out)
    assert failed.value.returncode == 1
    assert out.getvalue().splitlines() == [
        "basic.runs_limit is 1000, the catalogue has 2000",
        "basic.price month usd is 1900, the catalogue has 2100",
        "pro.name is 'Professional', the catalogue has 'AI-Manus PRO' (changed by staff)",
    ]
    assert stored() == before


def test_what_staff_edited_is_kept_and_named_while_the_rest_of_the_plan_follows(catalogue_says: Say) -> None:
    Plan.objects.filter(slug=Plan.BASIC).update(runs_limit=1500, features=["api_keys"])
    catalogue_says("basic", runs_limit=2000, grace_days=10)
    assert sync() == [
        "Kept: basic.runs_limit is 1500, the catalogue has 2000 (changed by staff)",
        "Kept: basic.features is ['api_keys'], the catalogue has "
        "['basic_agent', 'email_support', 'priority_processing'] (changed by staff)",
        "5 plans in the catalogue, 1 written.",
    ]
    basic = Plan.objects.get(slug=Plan.BASIC)
    assert (basic.runs_limit, basic.features, basic.grace_days) == (1500, ["api_keys"], 10)
    assert sync()[-1] == "5 plans in the catalogue, 0 written."


def test_overwriting_undoes_what_staff_edited() -> None:
    Plan.objects.filter(slug=Plan.BASIC).update(runs_limit=None, name="Basis")
    assert sync("--overwrite") == ["5 plans in the catalogue, 1 written."]
    basic = Plan.objects.get(slug=Plan.BASIC)
    assert (basic.runs_limit, basic.name) == (1000, "AI-Manus BASIC")


def test_a_plan_that_staff_made_is_none_of_its_business() -> None:
    made = Plan.objects.create(slug="students", name="Students", rank=15, runs_limit=100)
    sync("--overwrite")
    assert sync("--check") == ["All 5 plans are as the catalogue has them."]
    made.refresh_from_db()
    assert (made.name, made.runs_limit) == ("Students", 100)


def test_a_new_price_retires_the_old_one_which_somebody_may_be_paying(catalogue_says: Say) -> None:
    old = Price.objects.get(plan__slug=Plan.BASIC, interval=Interval.MONTH)
    catalogue_says("basic", offers=(Offer(2100), Offer(21000, Interval.YEAR), Offer(1900, currency="eur")))
    assert sync() == ["5 plans in the catalogue, 1 written."]
    old.refresh_from_db()
    assert (old.is_active, old.unit_amount) == (False, 1900)
    active = Price.objects.filter(plan__slug=Plan.BASIC, is_active=True)
    assert sorted(active.values_list("unit_amount", "interval", "currency")) == [
        (1900, "month", "eur"),
        (2100, "month", "usd"),
        (21000, "year", "usd"),
    ]
    before = stored()
    assert sync() == ["5 plans in the catalogue, 0 written."]
    assert stored() == before


def test_a_price_that_staff_changed_is_kept_also_when_the_catalogue_has_another(catalogue_says: Say) -> None:
    Price.objects.filter(plan__slug=Plan.BASIC).update(is_active=False)
    Price.objects.create(plan=Plan.objects.get(slug=Plan.BASIC), unit_amount=2500)
    before = list(Price.objects.order_by("id").values())
    for wanted in (1900, 2000):
        catalogue_says("basic", offers=(Offer(wanted),))
        kept = f"Kept: basic.price month usd is 2500, the catalogue has {wanted} (changed by staff)"
        assert sync() == [kept, "5 plans in the catalogue, 0 written."]
        assert list(Price.objects.order_by("id").values()) == before
    sync("--overwrite")
    assert Price.objects.get(plan__slug=Plan.BASIC, is_active=True).unit_amount == 2000


def test_a_price_that_staff_withdrew_stays_withdrawn() -> None:
    Price.objects.filter(plan__slug=Plan.PRO).update(is_active=False)
    sync()
    assert not Price.objects.filter(plan__slug=Plan.PRO, is_active=True).exists()


def test_every_shipped_value_is_named_once() -> None:
    assert len({entry.slug for entry in CATALOGUE}) == len({entry.values["rank"] for entry in CATALOGUE}) == 5
