"""How things stand: what is counted is what the rules say, and what is listed behind it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from billing.entitlements import entitlement
from billing.models import Source, Subscription
from billing.reports.standing import PAYING, Standing, Tally, Trial, Waiting, deliveries, standing, tallies, trials
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, plan
from tests.billing.test_reports_activity import event
from tests.people import Person, person

NOW = at(2026, 3, 20, 12)
DAY = timedelta(days=1)


def owes(someone: Person, since: datetime, **more: Any) -> None:
    held = facts.paid(plan("basic"), since, since + 30 * DAY, stripe_status="past_due", oldest_unpaid_at=since)
    change(someone.workspace, **held | {"monthly_amount": 1900, "currency": "usd", "is_period_paid": False} | more)


def who(which: Standing | Trial, now: datetime = NOW) -> set[str]:
    found = standing(which, now=now) if isinstance(which, Standing) else trials(which, now=now)
    return {subscription.workspace.owner.email.partition("@")[0] for subscription in found}


def counted(which: Standing | Trial | Waiting) -> Tally:
    return tallies(now=NOW, wall=NOW)[which]


@pytest.mark.parametrize(
    ("since", "more", "is_in_grace"),
    [
        (NOW - 3 * DAY, {}, True),
        (NOW - 7 * DAY + timedelta(seconds=1), {}, True),
        (NOW - 7 * DAY, {}, False),
        (NOW - 9 * DAY, {}, False),
        # Longer, by the word of staff; and never shorter.
        (NOW - 9 * DAY, {"grace_until": NOW + DAY}, True),
        (NOW - 9 * DAY, {"grace_until": NOW - DAY}, False),
        (NOW - 3 * DAY, {"grace_until": NOW - DAY}, True),
        # Without an open invoice, from the period's beginning on.
        (NOW - 9 * DAY, {"oldest_unpaid_at": None, "paid_start": NOW - 3 * DAY}, True),
        (NOW - 9 * DAY, {"paid_plan": None}, False),
    ],
)
def test_grace_is_over_when_the_plan_is_gone(
    bob: Person, since: datetime, more: dict[str, Any], is_in_grace: bool
) -> None:
    owes(bob, since, **more)
    assert (entitlement(bob.subscription, NOW).source == Source.PAID) == is_in_grace
    assert (who(Standing.IN_GRACE), who(Standing.GRACE_OVER)) == (({"bob"}, set()) if is_in_grace else (set(), {"bob"}))
    inside, beyond = counted(Standing.IN_GRACE), counted(Standing.GRACE_OVER)
    assert (inside if is_in_grace else beyond) == Tally(1, {"usd": 1900})
    assert (beyond if is_in_grace else inside) == Tally()


def test_sums_at_risk_are_by_currency(bob: Person, charlie: Person, alice: Person) -> None:
    owes(bob, NOW - DAY)
    owes(charlie, NOW - DAY, monthly_amount=4900)
    owes(alice, NOW - DAY, monthly_amount=1700, currency="eur")
    assert counted(Standing.IN_GRACE) == Tally(3, {"usd": 6800, "eur": 1700})


@pytest.mark.parametrize("stop", [{"is_collection_paused": True}, {"on_hold_since": NOW, "hold_reason": "dp_1"}])
def test_what_counts_nothing_is_not_at_risk(bob: Person, stop: dict[str, Any]) -> None:
    owes(bob, NOW - DAY, **stop)
    assert (who(Standing.IN_GRACE), who(Standing.PAYING)) == (set(), set())
    assert who(Standing.ON_HOLD) == ({"bob"} if "on_hold_since" in stop else set())


@pytest.mark.parametrize(
    "more",
    [
        {"stripe_status": "active"},
        {"stripe_status": "past_due"},
        {"stripe_status": "trialing"},
        {"stripe_status": "canceled"},
        {"stripe_status": "active", "is_collection_paused": True},
        {"stripe_status": "active", "on_hold_since": NOW, "hold_reason": "dp_1"},
        {"stripe_status": "active", "monthly_amount": 0},
    ],
)
def test_who_pays_is_who_earns_something(bob: Person, more: dict[str, Any]) -> None:
    owes(bob, NOW - DAY, **more)
    assert Subscription.objects.filter(PAYING).exists() == (bob.subscription.earned > 0)
    assert who(Standing.PAYING) == ({"bob"} if bob.subscription.earned else set())


def on_trial(name: str, start: datetime, **more: Any) -> None:
    someone = person(f"{name}@example.com")
    change(someone.workspace, **facts.trial(start, start + 14 * DAY) | {"trial_plan": plan("trial")} | more)


def test_trials_run_until_they_end_or_are_paid(db: None) -> None:
    on_trial("fresh", NOW)
    on_trial("late", NOW - 13 * DAY)
    on_trial("week", NOW - 7 * DAY)
    on_trial("ends_now", NOW - 14 * DAY)
    on_trial("over", NOW - 16 * DAY)
    on_trial("long_over", NOW - 21 * DAY)
    on_trial("paid", NOW - 13 * DAY, first_paid_at=NOW)
    on_trial("paid_after", NOW - 16 * DAY, first_paid_at=NOW - DAY)
    on_trial("to_come", NOW + DAY)
    assert who(Trial.RUNNING) == {"fresh", "late", "week"}
    assert who(Trial.ENDING) == {"late", "week"}
    assert who(Trial.ENDED) == {"ends_now", "over"}
    assert [counted(which).count for which in (Trial.RUNNING, Trial.ENDING, Trial.ENDED)] == [3, 2, 2]
    running = {subscription for subscription in Subscription.objects.all() if is_on_trial(subscription)}
    assert {subscription.workspace.owner.email.partition("@")[0] for subscription in running} == who(Trial.RUNNING)


def is_on_trial(subscription: Subscription) -> bool:
    return entitlement(Subscription.objects.with_plans().get(pk=subscription.pk), NOW).source == Source.TRIAL


def test_trials_at_stripe_are_told_apart(bob: Person) -> None:
    owes(bob, NOW - DAY, stripe_status="trialing")
    assert (who(Trial.AT_STRIPE), counted(Trial.AT_STRIPE)) == ({"bob"}, Tally(1, {"usd": 1900}))


def test_what_waits(db: None) -> None:
    late = event(NOW - timedelta(minutes=5, seconds=1))
    event(NOW - timedelta(minutes=5))
    event(NOW - DAY, NOW)
    dead, unmatched = event(NOW - DAY, state="dead"), event(NOW - DAY, state="unmatched")
    for which, expected in ((Waiting.LATE, late), (Waiting.DEAD, dead), (Waiting.UNMATCHED, unmatched)):
        assert list(deliveries(which, wall=NOW)) == [expected]
        assert counted(which) == Tally(1)


def test_all_of_it_is_one_statement(bob: Person, statements: Callable[[], CaptureQueriesContext]) -> None:
    with statements() as seen:
        found = tallies(now=NOW, wall=NOW)
    assert len(seen) == 1
    assert set(found) == {*Standing, *Trial, *Waiting} - {Standing.PAYING}
    assert all(tally == Tally() for tally in found.values())
