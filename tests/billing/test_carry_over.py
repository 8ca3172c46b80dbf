"""Invariant 7: no act on a subscription refills runs. A paid bucket takes over what the one that it ends had used."""

import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from billing import quotas
from billing.models import LedgerEntry, Plan, Subscription, UsagePeriod
from billing.proofs import find
from sessions_app.proofs import RUN_PROOFS
from tests.people import Person
from tests.threads import at_once

# The proofs want a snapshot of their own.
pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONTH = timedelta(days=31)


def pay(person: Person, plan: str, start: datetime, **facts: Any) -> Subscription:
    """As Stripe would have it: a paid period of a month from `start`."""
    subscription = person.subscription
    subscription.change(
        cause="stripe",
        now=start,
        paid_plan=Plan.objects.get(slug=plan),
        stripe_status="active",
        paid_interval="month",
        paid_anchor=start,
        paid_start=start,
        paid_end=start + MONTH,
        is_period_paid=True,
        first_paid_at=subscription.first_paid_at or start,
        **facts,
    )
    return person.subscription


def use(subscription: Subscription, count: int, *, now: datetime = NOW) -> quotas.Quota:
    for _ in range(count):
        quota = quotas.consume(subscription, quotas.Making.of(uuid.uuid4()), now=now).quota
        quotas.forget_counters(subscription)
    return quota


def books_are_right() -> bool:
    """By what billing proves of itself: the runs of these tests are ids alone, and sessions would miss them."""
    return not [finding for finding in find() if finding.proof not in {proof.name for proof in RUN_PROOFS}]


def test_an_upgrade_opens_with_what_was_used(bob: Person) -> None:
    use(pay(bob, Plan.BASIC, NOW), 3)
    later = NOW + timedelta(days=5)
    upgraded = pay(bob, Plan.PRO, later)
    # Shown before anything has opened the new bucket, and as long after as it takes.
    for at in (later, later + timedelta(days=30)):
        assert (quotas.quota_for(upgraded, now=at).used, quotas.quota_for(upgraded, now=at).left) == (3, 4997)
    quota = use(upgraded, 1, now=later)
    assert (quota.used, quota.left) == (4, 4996)
    basic, pro = UsagePeriod.objects.order_by("starts_at")
    assert (basic.used, basic.ends_at, pro.starts_at) == (3, later, later)
    carried = LedgerEntry.objects.get(kind="adjust")
    assert (carried.period, carried.quantity, carried.balance) == (pro, -3, 4997)
    assert books_are_right()


def test_a_renewal_opens_with_nothing(bob: Person) -> None:
    use(pay(bob, Plan.BASIC, NOW), 3)
    quota = use(pay(bob, Plan.BASIC, NOW + MONTH), 1, now=NOW + MONTH)
    assert quota.used == 1
    assert not LedgerEntry.objects.filter(kind="adjust").exists()


@pytest.mark.parametrize("source", ["free", "trial"])
def test_free_and_trial_runs_are_not_carried_into_the_first_paid_period(bob: Person, source: str) -> None:
    if source == "trial":
        bob.subscription.change(
            cause="trial",
            now=NOW,
            trial_plan=Plan.objects.trial(),
            trial_start=NOW,
            trial_end=NOW + timedelta(days=14),
        )
    use(bob.subscription, 3)
    later = NOW + timedelta(days=1)
    assert use(pay(bob, Plan.BASIC, later), 1, now=later).used == 1


def test_flipping_between_plans_farms_nothing(bob: Person) -> None:
    used = 0
    for day, plan in enumerate([Plan.BASIC, Plan.PRO, Plan.BASIC, Plan.PRO, Plan.BASIC]):
        at = NOW + timedelta(days=day)
        used += 2
        assert use(pay(bob, plan, at), 2, now=at).used == used
    assert books_are_right()


def test_a_bucket_that_was_cut_short_takes_no_more(bob: Person) -> None:
    stale = pay(bob, Plan.BASIC, NOW)
    use(stale, 2)
    later = NOW + timedelta(days=5)
    use(pay(bob, Plan.PRO, later), 1, now=later)
    # A request that read the facts before the upgrade and reaches the counter after it.
    quota = use(stale, 1, now=later + timedelta(seconds=1))
    assert (quota.entitlement.plan.slug, quota.used) == ("pro", 4)
    assert [period.used for period in UsagePeriod.objects.order_by("starts_at")] == [2, 4]


def test_a_run_of_the_old_plan_that_comes_back_is_one_credit(bob: Person) -> None:
    run = uuid.uuid4()
    quotas.consume(pay(bob, Plan.BASIC, NOW), quotas.Making.of(run), now=NOW)
    later = NOW + timedelta(days=5)
    use(pay(bob, Plan.PRO, later), 1, now=later)
    assert quotas.refund(run_id=run, now=later)
    quota = quotas.quota_for(bob.subscription, now=later)
    assert (quota.used, quota.credits, quota.remaining) == (2, 1, 4999)
    assert books_are_right()


def test_sixteen_at_once_open_it_once(bob: Person) -> None:
    use(pay(bob, Plan.BASIC, NOW), 5)
    later = NOW + timedelta(days=5)
    pay(bob, Plan.PRO, later)

    def take(subscription: Subscription) -> None:
        quotas.consume(subscription, quotas.Making.of(uuid.uuid4()), now=later)

    # Each has read its row before any of them opens the bucket.
    assert at_once([partial(take, bob.subscription) for _ in range(16)]) == [None] * 16
    assert UsagePeriod.objects.latest("starts_at").used == 21
    assert LedgerEntry.objects.filter(kind="adjust").count() == 1
    assert books_are_right()
