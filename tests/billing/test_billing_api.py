"""Plans and subscription over the API, field by field."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import clock
from accounts.models import Workspace
from billing.models import Interval, LedgerEntry, Plan, Price, UsagePeriod
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, consume, give, plan, rows, subscription_of
from tests.people import Person

NOW = at(2026, 11, 20, 12)
type Statements = Callable[[], CaptureQueriesContext]


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


def shown(someone: Person) -> dict[str, Any]:
    answer = someone.get("/billing/subscription")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def differs(body: dict[str, Any], from_: dict[str, Any]) -> dict[str, Any]:
    assert list(body) == list(from_)
    return {name: value for name, value in body.items() if value != from_[name] and name != "updated_at"}


def written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


# Plans.


def test_anybody_sees_the_plans_in_order(nobody: APIClient, db: None) -> None:
    answer = nobody.get("/api/v1/billing/plans")
    assert answer.status_code == 200
    plans = answer.json()
    assert [shape["plan"] for shape in plans] == ["free", "trial", "basic", "pro", "enterprise"]
    month, year = Price.objects.filter(plan__slug=Plan.BASIC)
    assert plans[2] == {
        "plan": "basic",
        "name": "AI-Manus BASIC",
        "description": "1,000 agent runs per month",
        "monthly_agent_runs_limit": 1000,
        "features": ["basic_agent", "email_support", "priority_processing"],
        "prices": [
            {"id": str(month.pk), "interval": "month", "currency": "usd", "unit_amount": 1900},
            {"id": str(year.pk), "interval": "year", "currency": "usd", "unit_amount": 19000},
        ],
    }
    assert (plans[0]["prices"], plans[4]["monthly_agent_runs_limit"]) == ([], None)


def test_plans_that_are_not_public_and_prices_that_are_retired_are_not_shown(nobody: APIClient, db: None) -> None:
    Plan.objects.create(slug="secret", name="Secret", rank=50, is_public=False)
    Price.objects.filter(plan__slug=Plan.PRO).update(is_active=False)
    plans = {shape["plan"]: shape for shape in nobody.get("/api/v1/billing/plans").json()}
    assert "secret" not in plans
    assert plans["pro"]["prices"] == []


def test_the_plans_take_two_statements_however_many_there_are(
    nobody: APIClient, db: None, statements: Statements
) -> None:
    for rank in range(50, 60):
        made = Plan.objects.create(slug=f"plan-{rank}", name="Plan", rank=rank)
        Price.objects.create(plan=made, unit_amount=rank)
    with statements() as seen:
        assert len(nobody.get("/api/v1/billing/plans").json()) == 15
    assert len(seen) == 2


# The subscription.


def test_a_new_workspace_is_on_free(bob: Person, now: datetime) -> None:
    subscription = bob.subscription
    assert shown(bob) == {
        "id": str(subscription.pk),
        "workspace_id": str(bob.workspace.pk),
        "user_id": str(bob.user.pk),
        "plan": "free",
        "plan_name": "AI-Manus FREE",
        "status": "active",
        "source": "free",
        "monthly_agent_runs": 0,
        "monthly_agent_runs_limit": 10,
        "runs_remaining": 10,
        "credits": 0,
        "current_period_start": "2026-11-01T00:00:00Z",
        "current_period_end": "2026-12-01T00:00:00Z",
        "cancel_at_period_end": False,
        "canceled_at": None,
        "is_trial": False,
        "trial_start": None,
        "trial_end": None,
        "trial_available": True,
        "has_stripe_customer": False,
        "pending_plan": None,
        "pending_at": None,
        "grace_until": None,
        "created_at": written(subscription.created_at),
        "updated_at": written(subscription.updated_at),
    }


def test_runs_and_credits_show(bob: Person, now: datetime) -> None:
    new = shown(bob)
    consume(bob.workspace, now)
    give(bob.workspace, 5, now)
    assert differs(shown(bob), new) == {"monthly_agent_runs": 1, "runs_remaining": 14, "credits": 5}


def test_a_comp_shows(bob: Person, now: datetime) -> None:
    new = shown(bob)
    change(bob.workspace, **facts.comp(plan(Plan.ENTERPRISE), at(2026, 10, 31), at(2027)))
    assert differs(shown(bob), new) == {
        "plan": "enterprise",
        "plan_name": "AI-Manus ENTERPRISE",
        "source": "comp",
        "monthly_agent_runs_limit": None,
        "runs_remaining": None,
        "current_period_start": "2026-10-31T00:00:00Z",
        "current_period_end": "2026-11-30T00:00:00Z",
        "trial_available": False,
    }


def test_a_paid_plan_that_is_past_due_with_a_change_and_a_cancel_ahead_shows_all_of_it(
    bob: Person, now: datetime
) -> None:
    new = shown(bob)
    start, end = at(2026, 11, 18), at(2026, 12, 18)
    late = {"stripe_status": "past_due", "oldest_unpaid_at": start, "is_period_paid": False}
    ahead = {"pending_plan": plan(Plan.BASIC), "pending_at": end, "cancel_at": end, "canceled_at": NOW}
    change(bob.workspace, **facts.paid(plan(Plan.PRO), start, end, **late, **ahead), stripe_customer_id="cus_1")
    assert differs(shown(bob), new) == {
        "plan": "pro",
        "plan_name": "AI-Manus PRO",
        "status": "past_due",
        "source": "paid",
        "monthly_agent_runs_limit": 500,
        "runs_remaining": 500,
        "current_period_start": "2026-11-18T00:00:00Z",
        "current_period_end": "2026-12-18T00:00:00Z",
        "cancel_at_period_end": True,
        "canceled_at": "2026-11-20T12:00:00Z",
        "trial_available": False,
        "has_stripe_customer": True,
        "pending_plan": "basic",
        "pending_at": "2026-12-18T00:00:00Z",
        "grace_until": "2026-11-25T00:00:00Z",
    }


def test_of_a_year_the_present_month_shows(bob: Person, now: datetime) -> None:
    year = facts.paid(plan(Plan.PRO), at(2026, 1, 31), at(2027, 1, 31), paid_interval=Interval.YEAR)
    change(bob.workspace, **year)
    body = shown(bob)
    assert (body["current_period_start"], body["current_period_end"]) == (
        "2026-10-31T00:00:00Z",
        "2026-11-30T00:00:00Z",
    )


def test_in_a_team_the_owner_is_named_whoever_asks(tara: Person, mike: Person) -> None:
    body = shown(mike)
    assert (body["user_id"], body["workspace_id"]) == (str(tara.user.pk), str(tara.workspace.pk))
    assert body == shown(tara)


def test_reading_changes_nothing(bob: Person) -> None:
    before = subscription_of(bob.workspace).facts(), rows(bob.workspace)
    shown(bob)
    assert (subscription_of(bob.workspace).facts(), rows(bob.workspace)) == before


def fill_ledger(workspace: Workspace, lines: int, now: datetime) -> None:
    """So many lines in the present bucket, and the counter that they add up to."""
    consume(workspace, now)
    period = UsagePeriod.objects.get(workspace=workspace)
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            workspace=workspace, kind="adjust", quantity=-1, period=period, created_at=now - timedelta(seconds=n)
        )
        for n in range(lines - 1)
    )
    UsagePeriod.objects.filter(pk=period.pk).update(used=lines)


@pytest.mark.parametrize("lines", [0, 3000])
def test_reading_takes_as_many_statements_whatever_the_size_of_the_ledger(
    alice: Person, statements: Statements, lines: int
) -> None:
    if lines:
        fill_ledger(alice.workspace, lines, clock.now())
    counted = {}
    for path in ("/billing/subscription", "/billing/usage", "/billing/ledger"):
        with statements() as seen:
            assert alice.get(path).status_code == 200
        counted[path] = len(seen)
    assert counted == {"/billing/subscription": 2, "/billing/usage": 2, "/billing/ledger": 2}
    assert shown(alice)["monthly_agent_runs"] == lines
