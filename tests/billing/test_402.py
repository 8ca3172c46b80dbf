"""A refusal names plan, number, period and reset date; every metered answer says what is left."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from billing.models import LedgerEntry, Plan, UsagePeriod
from billing.quotas import QuotaExceeded
from sessions_app.models import Run, Session
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, consume, consume_all, give, plan
from tests.people import Person

NOW = at(2026, 11, 20, 12)


def refusal(someone: Person, now: datetime = NOW) -> QuotaExceeded:
    consume_all(someone.workspace, now)
    with pytest.raises(QuotaExceeded) as refused:
        consume(someone.workspace, now)
    return refused.value


def test_on_free_it_names_the_month(bob: Person) -> None:
    refused = refusal(bob)
    assert str(refused.detail) == (
        "You have used all 10 runs of the Free plan for November. "
        "They reset on 1 December 2026; a larger plan gives you more now."
    )
    assert refused.members["subscription"] == {
        "plan": "free",
        "status": "active",
        "monthly_runs": 10,
        "monthly_runs_limit": 10,
        "resets_at": at(2026, 12),
    }


def test_on_the_trial_it_names_its_end(bob: Person) -> None:
    change(bob.workspace, **facts.trial(at(2026, 11, 10, 9), at(2026, 11, 24, 9)) | {"trial_plan": plan(Plan.TRIAL)})
    refused = refusal(bob)
    assert str(refused.detail) == (
        "You have used all 50 runs of the Trial plan for the trial. "
        "The trial ends on 24 November 2026; a larger plan gives you more now."
    )
    assert refused.members["subscription"]["status"] == "trialing"
    assert refused.members["subscription"]["resets_at"] == at(2026, 11, 24, 9)


@pytest.mark.parametrize("source", ["comp", "paid"])
def test_on_a_plan_it_names_the_period_and_writes_large_numbers_readably(bob: Person, source: str) -> None:
    basic = plan(Plan.BASIC)
    make = facts.comp if source == "comp" else facts.paid
    change(bob.workspace, **make(basic, at(2026, 10, 31), at(2026, 11, 30)))
    consume(bob.workspace, NOW)
    UsagePeriod.objects.update(used=1000)
    refused = refusal(bob)
    assert str(refused.detail) == (
        "You have used all 1,000 runs of the Basic plan for the period from 31 October 2026. "
        "They reset on 30 November 2026; a larger plan gives you more now."
    )
    assert refused.members["subscription"]["plan"] == "basic"
    assert refused.members["subscription"]["status"] == "active"


def test_what_is_past_due_is_called_so(bob: Person) -> None:
    late = {"stripe_status": "past_due", "oldest_unpaid_at": NOW, "is_period_paid": False}
    change(bob.workspace, **facts.paid(plan(Plan.PRO, grace_runs=12), at(2026, 11, 10), at(2026, 12, 10), **late))
    subscription = refusal(bob).members["subscription"]
    assert (subscription["status"], subscription["monthly_runs_limit"]) == ("past_due", 12)


def test_a_plan_that_staff_named_is_called_by_its_name(bob: Person) -> None:
    plan(Plan.FREE, name="Starter pack", runs_limit=2)
    assert "all 2 runs of the Starter pack plan" in str(refusal(bob).detail)


@pytest.fixture
def november(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


def written() -> tuple[int, ...]:
    return tuple(table.objects.count() for table in (Session, Run, LedgerEntry))


def quota_headers(answer: Any) -> dict[str, str]:
    return {name: answer[name] for name in ("X-Quota-Limit", "X-Quota-Remaining", "X-Quota-Reset")}


def test_over_the_api_a_refusal_explains_itself_and_makes_nothing(
    bob: Person, november: datetime, settings: SettingsWrapper
) -> None:
    settings.SITE_URL = "https://app.example.com"
    for _ in range(10):
        assert bob.post("/sessions").status_code == 201
    before = written()
    answer = bob.post("/sessions", {"prompt": "Write a haiku"})
    assert answer.status_code == 402
    body = answer.json()
    assert body.pop("detail").startswith("You have used all 10 runs of the Free plan for November.")
    assert body == {
        "code": "quota_exceeded",
        "subscription": {
            "plan": "free",
            "status": "active",
            "monthly_runs": 10,
            "monthly_runs_limit": 10,
            "resets_at": "2026-12-01T00:00:00Z",
        },
        "upgrade_url": "https://app.example.com/billing/",
    }
    assert quota_headers(answer) == {
        "X-Quota-Limit": "10",
        "X-Quota-Remaining": "0",
        "X-Quota-Reset": str(int(at(2026, 12).timestamp())),
    }
    assert written() == before


def test_a_granted_run_says_what_is_left_of_period_and_credits(bob: Person, november: datetime) -> None:
    give(bob.workspace, 3, november)
    headers = quota_headers(bob.post("/sessions"))
    assert (headers["X-Quota-Limit"], headers["X-Quota-Remaining"]) == ("10", "12")


def test_a_run_paid_by_a_credit_says_what_is_left_too(bob: Person, november: datetime) -> None:
    plan(Plan.FREE, runs_limit=0)
    give(bob.workspace, 3, november)
    headers = quota_headers(bob.post("/sessions"))
    assert (headers["X-Quota-Limit"], headers["X-Quota-Remaining"]) == ("0", "2")


def test_without_a_limit_the_headers_say_unlimited(bob: Person, november: datetime) -> None:
    change(bob.workspace, **facts.comp(plan(Plan.ENTERPRISE), at(2026, 11, 5), at(2027)))
    headers = quota_headers(bob.post("/sessions"))
    assert headers == {
        "X-Quota-Limit": "unlimited",
        "X-Quota-Remaining": "unlimited",
        "X-Quota-Reset": str(int(at(2026, 12, 5).timestamp())),
    }


@pytest.mark.parametrize("path", ["/sessions", "/billing/subscription", "/billing/usage", "/billing/ledger"])
def test_reading_is_never_refused_for_quota(bob: Person, november: datetime, path: str) -> None:
    plan(Plan.FREE, runs_limit=0)
    assert bob.post("/sessions").status_code == 402
    assert bob.get(path).status_code == 200
