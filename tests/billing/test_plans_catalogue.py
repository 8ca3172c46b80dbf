"""A release that brings other plans meets what staff did to them, and periods that run."""

from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts import clock
from billing import assortment, catalogue
from billing.models import Plan
from tests.billing.meter import consume, quota
from tests.people import Person

pytestmark = pytest.mark.django_db


def release(monkeypatch: pytest.MonkeyPatch, slug: str, **values: Any) -> None:
    entries = (
        replace(entry, values=entry.values | values) if entry.slug == slug else entry for entry in catalogue.CATALOGUE
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", tuple(entries))


def test_another_number_of_runs_holds_from_the_next_period(
    bob: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    consume(bob.workspace, now)
    release(monkeypatch, Plan.FREE, runs_limit=8)
    call_command("sync_plans", verbosity=0)
    assert [quota(one.workspace, now).limit for one in (bob, charlie)] == [10, 10]
    end = quota(bob.workspace, now).entitlement.period.end
    assert [quota(one.workspace, end).limit for one in (bob, charlie)] == [8, 8]
    (earlier,) = Plan.objects.free().earlier_limits
    call_command("sync_plans", "--overwrite", verbosity=0)
    assert Plan.objects.free().earlier_limits == [earlier]


def test_a_rank_that_a_plan_of_staffs_has_is_not_taken_from_it(staff: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assortment.create(
        slug="small",
        name="AI-Manus SMALL",
        rank=25,
        runs_limit=2000,
        actor=staff.user,
        reason="A test",
        now=clock.now(),
    )
    release(monkeypatch, Plan.PRO, rank=25, runs_limit=7000)
    before = list(Plan.objects.order_by("pk").values())
    with pytest.raises(CommandError) as refused:
        call_command("sync_plans", verbosity=0)
    assert str(refused.value) == "AI-Manus SMALL has the number 25, which pro is to have: move one of them first."
    assert list(Plan.objects.order_by("pk").values()) == before


def test_ranks_that_go_round_in_a_circle_are_changed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, Plan.BASIC, rank=30)
    release(monkeypatch, Plan.PRO, rank=40)
    release(monkeypatch, Plan.ENTERPRISE, rank=20)
    call_command("sync_plans", verbosity=0)
    assert list(Plan.objects.values_list("slug", flat=True)) == ["free", "trial", "enterprise", "basic", "pro"]
