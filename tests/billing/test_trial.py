"""The trial from its start to its end, over the API."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from billing.models import Plan, Subscription, SubscriptionChange, TrialUse
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, consume_all, plan, subscription_of
from tests.people import Person

START, END = at(2026, 11, 10, 9), at(2026, 11, 24, 9)
TRIAL = "/billing/activate-trial"
type Travel = Callable[[datetime], datetime]


@pytest.fixture
def go_to(travel: Callable[[timedelta], datetime]) -> Travel:
    """Travel to an instant, and a second past it for as long as the test takes."""

    def go(instant: datetime) -> datetime:
        travel(timedelta())
        return travel(instant - clock.now())

    return go


def assert_no_trial_began(someone: Person) -> None:
    subscription = someone.subscription
    assert (subscription.trial_plan, subscription.trial_start, subscription.trial_end) == (None, None, None)
    assert not SubscriptionChange.objects.filter(subscription=subscription, cause=SubscriptionChange.TRIAL).exists()


def test_the_trial_begins_at_once_and_gives_50_runs_for_14_days(bob: Person, go_to: Travel) -> None:
    go_to(START)
    answer = bob.post(TRIAL)
    assert answer.status_code == 200
    body, subscription = answer.json(), bob.subscription
    assert subscription.trial_start is not None
    assert subscription.trial_end == subscription.trial_start + timedelta(days=14)
    assert body["message"] == "Your trial has begun: 50 runs until 24 November 2026."
    assert (body["runs_limit"], body["trial_end"]) == (50, body["subscription"]["trial_end"])
    assert body["subscription"] == bob.get("/billing/subscription").json()
    shown = body["subscription"]
    assert (shown["plan"], shown["source"], shown["status"], shown["is_trial"]) == ("trial", "trial", "trialing", True)
    assert (shown["monthly_agent_runs"], shown["monthly_agent_runs_limit"], shown["runs_remaining"]) == (0, 50, 50)
    assert (shown["current_period_start"], shown["current_period_end"]) == (shown["trial_start"], shown["trial_end"])
    assert shown["trial_available"] is False


def test_runs_used_on_free_do_not_count_against_the_trial_nor_the_trials_against_free(
    bob: Person, go_to: Travel
) -> None:
    now = go_to(START)
    assert len(consume_all(bob.workspace, now)) == 10
    bob.post(TRIAL)
    now = clock.now()
    assert len(consume_all(bob.workspace, now)) == 50
    assert bob.post("/sessions").status_code == 402
    now = go_to(END + timedelta(minutes=1))
    shown = bob.get("/billing/subscription").json()
    assert (shown["plan"], shown["source"], shown["monthly_agent_runs"]) == ("free", "free", 10)
    assert bob.post("/sessions").status_code == 402
    go_to(at(2026, 12, 1))
    assert bob.get("/billing/subscription").json()["runs_remaining"] == 10


def test_the_trial_ends_by_itself_and_falls_back_to_free(bob: Person, go_to: Travel) -> None:
    go_to(START)
    bob.post(TRIAL)
    go_to(END - timedelta(minutes=1))
    running = bob.get("/billing/subscription").json()
    assert running["plan"] == "trial"
    before = Subscription.objects.filter(pk=bob.subscription.pk).values().get()
    go_to(END + timedelta(minutes=1))
    shown = bob.get("/billing/subscription").json()
    assert (shown["plan"], shown["source"], shown["status"], shown["is_trial"]) == ("free", "free", "active", False)
    assert (shown["trial_available"], shown["trial_end"]) == (False, running["trial_end"])
    assert bob.post("/sessions").status_code == 201
    assert Subscription.objects.filter(pk=bob.subscription.pk).values().get() == before


def test_the_start_of_a_trial_is_a_line_of_history(bob: Person) -> None:
    bob.post(TRIAL)
    change = SubscriptionChange.objects.get(cause=SubscriptionChange.TRIAL)
    assert (change.subscription, change.actor, change.monthly_amount) == (bob.subscription, bob.user, 0)
    assert (change.before["trial_plan_id"], change.after["trial_plan_id"]) == (None, str(Plan.objects.trial().pk))
    assert change.at == bob.subscription.trial_start


def test_who_has_a_plan_keeps_the_trial_for_later(alice: Person) -> None:
    answer = alice.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_subscribed")
    assert_no_trial_began(alice)
    assert not TrialUse.objects.exists()
    shown = alice.get("/billing/subscription").json()
    assert (shown["trial_available"], shown["plan"]) == (False, "pro")


def test_who_pays_needs_no_trial(bob: Person) -> None:
    now = clock.now()
    rows = facts.paid(plan(Plan.BASIC), now - timedelta(days=1), now + timedelta(days=29))
    change(bob.workspace, **rows)
    assert bob.post(TRIAL).json()["code"] == "already_subscribed"
    assert_no_trial_began(bob)


def test_who_has_paid_before_would_get_nothing_from_a_trial_and_is_told_so(bob: Person) -> None:
    assert bob.get("/billing/subscription").json()["trial_available"] is True
    rows = facts.paid(plan(Plan.BASIC), at(2026, 1), at(2026, 2), stripe_status="canceled")
    change(bob.workspace, **rows)
    assert bob.get("/billing/subscription").json()["trial_available"] is False
    answer = bob.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (409, "trial_already_used")
    assert_no_trial_began(bob)
    assert not TrialUse.objects.exists()


def test_a_trial_under_a_comp_goes_on_below_it(bob: Person, go_to: Travel) -> None:
    go_to(START)
    bob.post(TRIAL)
    change(bob.workspace, **facts.comp(plan(Plan.PRO), START, START + timedelta(days=7)))
    assert bob.get("/billing/subscription").json()["source"] == "comp"
    go_to(START + timedelta(days=8))
    assert bob.get("/billing/subscription").json()["source"] == "trial"


def test_an_unverified_address_gets_no_trial_where_that_is_required(bob: Person, settings: SettingsWrapper) -> None:
    settings.TRIAL_REQUIRES_VERIFIED_EMAIL = True
    answer = bob.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
    assert_no_trial_began(bob)
    assert not TrialUse.objects.exists()
    bob.user.is_email_verified = True
    bob.user.save(update_fields=["is_email_verified"])
    assert bob.post(TRIAL).status_code == 200


def test_an_unverified_address_gets_it_where_that_is_not_required(bob: Person, settings: SettingsWrapper) -> None:
    settings.TRIAL_REQUIRES_VERIFIED_EMAIL = False
    assert bob.post(TRIAL).status_code == 200


def test_members_may_not_start_it_and_admins_only_where_the_owner_allows(
    tara: Person, dana: Person, mike: Person
) -> None:
    for someone in (mike, dana):
        answer = someone.post(TRIAL)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
    assert_no_trial_began(tara)
    tara.workspace.may_admins_bill = True
    tara.workspace.save(update_fields=["may_admins_bill"])
    assert mike.post(TRIAL).status_code == 403
    assert_no_trial_began(tara)
    assert dana.post(TRIAL).status_code == 200
    change = SubscriptionChange.objects.get(cause=SubscriptionChange.TRIAL)
    assert (change.actor, change.subscription) == (dana.user, subscription_of(tara.workspace))


def test_a_suspended_workspace_starts_no_trial(bob: Person) -> None:
    bob.workspace.suspended_at = clock.now()
    bob.workspace.save(update_fields=["suspended_at"])
    answer = bob.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (403, "workspace_suspended")
    assert_no_trial_began(bob)


def test_the_same_key_starts_it_once_and_answers_alike(bob: Person) -> None:
    key = {"Idempotency-Key": "start-my-trial"}
    first, second = bob.post(TRIAL, **key), bob.post(TRIAL, **key)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert SubscriptionChange.objects.filter(cause=SubscriptionChange.TRIAL).count() == 1
