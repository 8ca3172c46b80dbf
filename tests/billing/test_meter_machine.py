"""Whatever is done in whatever order, counters equal the ledger, and a run is granted exactly when one is left."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Workspace
from billing import quotas
from billing.models import CreditGrant, LedgerEntry, Plan
from billing.quotas import QuotaExceeded
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import (
    assert_books_are_right,
    change,
    consume,
    give,
    line,
    plan,
    quota,
    rows,
)
from tests.people import Person

LIMITS = {Plan.FREE: 2, Plan.TRIAL: 3, Plan.BASIC: 4, Plan.PRO: 6, Plan.ENTERPRISE: None}
numbers = st.integers(0, 5)
slugs = st.sampled_from(list(LIMITS))


class Meter(RuleBasedStateMachine):
    """A workspace, and beside it the runs that were granted and those given back."""

    workspace: Workspace

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint_create()
        self.now = at(2026, 1, 30)
        self.granted: list[uuid.UUID] = []
        self.returned: set[uuid.UUID] = set()

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.savepoint)

    @initialize()
    def small_plans(self) -> None:
        for slug, limit in LIMITS.items():
            plan(slug, runs_limit=limit)

    @rule(days=st.integers(0, 20), hours=st.integers(1, 24))
    def time_passes(self, days: int, hours: int) -> None:
        self.now += timedelta(days=days, hours=hours)

    @rule()
    def a_run_is_asked_for(self) -> None:
        before, untouched = quota(self.workspace, self.now), rows(self.workspace)
        if before.remaining == 0:
            with pytest.raises(QuotaExceeded):
                consume(self.workspace, self.now)
            assert rows(self.workspace) == untouched
            return
        run = consume(self.workspace, self.now)
        self.granted.append(run)
        after = quota(self.workspace, self.now)
        assert after.remaining == (None if before.remaining is None else before.remaining - 1)
        assert (line(run).grant_id is None) == (before.left != 0)
        if line(run).period_id:
            assert line(run).balance == after.left

    @precondition(lambda self: self.granted)
    @rule(number=st.integers(0, 99))
    def a_run_is_given_back(self, number: int) -> None:
        run = self.granted[number % len(self.granted)]
        assert quotas.refund(run_id=run, now=self.now) == (run not in self.returned)
        self.returned.add(run)

    @rule(quantity=st.integers(1, 3), days=st.none() | st.integers(1, 40), kind=st.sampled_from(["given", "bought"]))
    def credits_are_given(self, quantity: int, days: int | None, kind: CreditGrant.Kind) -> None:
        expires_at = self.now + timedelta(days=days) if days else None
        give(self.workspace, quantity, self.now, expires_at=expires_at, kind=kind)

    @rule(slug=slugs, days=st.integers(1, 60))
    def a_comp_is_given(self, slug: str, days: int) -> None:
        change(self.workspace, **facts.comp(plan(slug), self.now, self.now + timedelta(days=days)))

    @rule(slug=slugs, is_period_paid=st.booleans())
    def a_plan_is_bought(self, slug: str, is_period_paid: bool) -> None:
        rows = facts.paid(plan(slug), self.now, self.now + timedelta(days=30), is_period_paid=is_period_paid)
        change(self.workspace, **rows)

    @rule(slug=slugs, status=st.sampled_from(["active", "past_due", "canceled"]), is_period_paid=st.booleans())
    def the_plan_at_stripe_changes(self, slug: str, status: str, is_period_paid: bool) -> None:
        if quota(self.workspace, self.now).subscription.paid_start:
            change(self.workspace, paid_plan=plan(slug), stripe_status=status, is_period_paid=is_period_paid)

    @rule(number=st.none() | numbers, days=st.integers(1, 20))
    def an_override_is_set_or_lifted(self, number: int | None, days: int) -> None:
        end: datetime | None = None if number is None else self.now + timedelta(days=days)
        change(self.workspace, runs_override=number, runs_override_end=end)

    @rule(slug=slugs, limit=st.none() | numbers)
    def staff_edit_a_plan(self, slug: str, limit: int | None) -> None:
        plan(slug, runs_limit=limit)

    @invariant()
    def the_books_are_right(self) -> None:
        assert_books_are_right(self.workspace)
        lines = LedgerEntry.objects.filter(workspace=self.workspace)
        assert set(lines.filter(kind="consume").values_list("run_id", flat=True)) == set(self.granted)
        assert set(lines.filter(kind="refund").values_list("run_id", flat=True)) == self.returned


def test_any_sequence_of_acts_keeps_the_books(bob: Person) -> None:
    class BobsMeter(Meter):
        workspace = bob.workspace

    run_state_machine_as_test(
        BobsMeter,
        settings=settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
