"""Another number of runs for a plan: from the next period, or now, for all or for some."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Workspace
from billing import limits, quotas
from billing.assortment import Mistake
from billing.limits import When
from billing.models import AuditEntry, LedgerEntry, Plan, Source, UsagePeriod
from billing.quotas import QuotaExceeded
from tests.billing.facts import at
from tests.billing.meter import (
    assert_books_are_right,
    change,
    consume,
    consume_all,
    plan,
    quota,
    rows,
    subscription_of,
)
from tests.people import Person, person, put_on
from tests.threads import at_once

pytestmark = pytest.mark.django_db

NOW = at(2026, 3, 20, 12)
NEXT_MONTH = at(2026, 4, 1)


def set_limit(slug: str, number: int | None, staff: Person, *, now: datetime = NOW, **more: Any) -> Plan:
    found = Plan.objects.get(slug=slug)
    return limits.change(found, runs_limit=number, actor=staff.user, reason="A test", now=now, **more)


def limit(workspace: Workspace, now: datetime = NOW) -> int | None:
    return quota(workspace, now).limit


def test_by_default_a_period_that_has_begun_keeps_its_limit(bob: Person, charlie: Person, staff: Person) -> None:
    consume(bob.workspace, NOW)
    set_limit(Plan.FREE, 20, staff)
    # Also where its bucket is opened only now.
    assert (limit(bob.workspace), limit(charlie.workspace)) == (10, 10)
    assert len(consume_all(charlie.workspace, NOW)) == 10
    assert UsagePeriod.objects.get(workspace=charlie.workspace).runs_limit == 10
    assert (limit(bob.workspace, NEXT_MONTH), limit(charlie.workspace, NEXT_MONTH)) == (20, 20)
    assert len(consume_all(charlie.workspace, NEXT_MONTH)) == 20


def test_a_period_that_begins_at_the_very_instant_has_the_new_limit(bob: Person, staff: Person) -> None:
    set_limit(Plan.FREE, 20, staff, now=NEXT_MONTH)
    assert limit(bob.workspace, NEXT_MONTH) == 20
    assert limit(bob.workspace, NEXT_MONTH - timedelta(microseconds=1)) == 10


def test_each_period_has_the_limit_that_held_as_it_began(bob: Person, staff: Person) -> None:
    for month, number in ((4, 20), (5, None), (6, 0)):
        set_limit(Plan.FREE, number, staff, now=at(2026, month, 15))
    found = [limit(bob.workspace, at(2026, month, 2)) for month in range(3, 9)]
    assert found == [10, 10, 20, None, 0, 0]


def test_a_paid_period_and_the_months_of_a_paid_year_keep_what_held(bob: Person, staff: Person) -> None:
    start = at(2026, 3, 10)
    change(
        bob.workspace,
        paid_plan=plan(Plan.PRO),
        stripe_status="active",
        paid_interval="year",
        paid_anchor=start,
        paid_start=start,
        paid_end=at(2027, 3, 10),
        is_period_paid=True,
    )
    set_limit(Plan.PRO, 6000, staff)
    assert limit(bob.workspace) == 5000
    assert limit(bob.workspace, at(2026, 4, 9, 23)) == 5000
    assert limit(bob.workspace, at(2026, 4, 10)) == 6000


def test_who_comes_to_the_plan_afterwards_has_the_new_limit(bob: Person, staff: Person) -> None:
    set_limit(Plan.PRO, 6000, staff)
    put_on(bob.workspace, Plan.PRO, now=NOW + timedelta(hours=1))
    assert limit(bob.workspace, NOW + timedelta(hours=1)) == 6000


def test_now_for_all_holds_in_every_period_that_runs(bob: Person, charlie: Person, staff: Person) -> None:
    consume(bob.workspace, NOW)
    consume(staff.workspace, at(2026, 2, 10))
    set_limit(Plan.FREE, 15, staff)
    set_limit(Plan.FREE, 20, staff, when=When.NOW)
    assert (limit(bob.workspace), limit(charlie.workspace)) == (20, 20)
    assert Plan.objects.free().earlier_limits == []
    assert len(consume_all(bob.workspace, NOW)) == 19
    # What is over stays as it was.
    assert UsagePeriod.objects.get(workspace=staff.workspace).runs_limit == 10


@pytest.mark.parametrize(("number", "left"), [(None, None), (0, 0), (3, 0), (4, 0), (5, 1)])
def test_a_cut_that_holds_now_takes_back_nothing_that_was_used(
    bob: Person, staff: Person, number: int | None, left: int | None
) -> None:
    runs = [consume(bob.workspace, NOW) for _ in range(4)]
    set_limit(Plan.FREE, number, staff, when=When.NOW)
    found = quota(bob.workspace, NOW)
    assert (found.used, found.limit, found.left) == (4, number, left)
    assert len(consume_all(bob.workspace, NOW, at_most=3)) == (3 if left is None else left)
    assert_books_are_right(bob.workspace)
    assert LedgerEntry.objects.filter(run_id__in=runs).count() == 4


def test_now_for_chosen_ones_leaves_others_to_their_next_period(bob: Person, charlie: Person, staff: Person) -> None:
    consume(bob.workspace, NOW)
    mike = person("mike@example.com")
    consume(mike.workspace, NOW)
    chosen = [subscription_of(bob.workspace), subscription_of(charlie.workspace)]
    set_limit(Plan.FREE, 20, staff, when=When.CHOSEN, chosen=chosen)
    assert [limit(one.workspace) for one in (bob, charlie, mike)] == [20, 20, 10]
    assert [limit(one.workspace, NEXT_MONTH) for one in (bob, charlie, mike)] == [20, 20, 20]
    # The bucket of the one who had not begun is there now, and nothing of it is used.
    assert UsagePeriod.objects.get(workspace=charlie.workspace).used == 0
    trail = AuditEntry.objects.filter(action="change runs limit", workspace_id=bob.workspace.pk).get()
    assert (trail.before["runs_limit"], trail.after["runs_limit"], trail.reason) == ("10 runs", "20 runs", "A test")


def test_a_change_that_comes_later_can_be_hastened(bob: Person, charlie: Person, staff: Person) -> None:
    for one in (bob, charlie):
        consume(one.workspace, NOW)
    set_limit(Plan.FREE, 20, staff)
    set_limit(Plan.FREE, 20, staff, when=When.CHOSEN, chosen=[subscription_of(bob.workspace)])
    assert (limit(bob.workspace), limit(charlie.workspace)) == (20, 10)
    set_limit(Plan.FREE, 20, staff, when=When.NOW)
    assert (limit(bob.workspace), limit(charlie.workspace)) == (20, 20)
    assert len(Plan.objects.free().earlier_limits) == 0


def test_a_chosen_one_whose_bucket_was_opened_on_another_plan_has_the_number_too(bob: Person, staff: Person) -> None:
    start = at(2026, 3, 10)
    change(
        bob.workspace,
        paid_plan=plan(Plan.BASIC),
        stripe_status="active",
        paid_interval="month",
        paid_anchor=start,
        paid_start=start,
        paid_end=at(2026, 4, 10),
        is_period_paid=True,
    )
    consume(bob.workspace, NOW)
    put_on(bob.workspace, Plan.PRO, now=NOW, days=5)
    set_limit(Plan.PRO, 6000, staff, when=When.CHOSEN, chosen=[subscription_of(bob.workspace)])
    found = quota(bob.workspace, NOW)
    assert (found.limit, found.used) == (6000, 1)
    # After the comp it is BASIC's number again.
    assert limit(bob.workspace, NOW + timedelta(days=6)) == 1000


def test_a_comp_and_a_running_trial_keep_their_limit(alice: Person, bob: Person, staff: Person) -> None:
    put_on(bob.workspace, Plan.BASIC, now=NOW)
    begun = quota(alice.workspace, NOW + timedelta(days=365 * 5)).entitlement.source
    assert begun == Source.FREE
    set_limit(Plan.BASIC, 1, staff, now=NOW + timedelta(days=1))
    assert limit(bob.workspace, NOW + timedelta(days=2)) == 1000
    assert limit(bob.workspace, NOW + timedelta(days=32)) == 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"number": 10}, "AI-Manus FREE has 10 runs a period already, from the next period at the latest."),
        ({"number": 10, "when": When.NOW}, "AI-Manus FREE has 10 runs a period already, for everybody."),
        ({"number": -1}, "A limit is 0 to 2,000,000,000 runs, or none."),
        ({"number": 2_000_000_001}, "A limit is 0 to 2,000,000,000 runs, or none."),
        ({"number": 20, "when": When.CHOSEN}, "Name the workspaces for which it is to hold now."),
    ],
)
def test_what_would_not_do_is_refused_and_nothing_changes(
    bob: Person, staff: Person, more: dict[str, Any], sentence: str
) -> None:
    consume(bob.workspace, NOW)
    before = [list(Plan.objects.values()), rows(bob.workspace), AuditEntry.objects.count()]
    number = more.pop("number")
    with pytest.raises(Mistake) as refused:
        set_limit(Plan.FREE, number, staff, **more)
    assert str(refused.value) == sentence
    assert [list(Plan.objects.values()), rows(bob.workspace), AuditEntry.objects.count()] == before


def test_one_of_the_chosen_who_is_on_another_plan_is_named_and_nobody_gets_anything(
    bob: Person, charlie: Person, staff: Person
) -> None:
    put_on(charlie.workspace, Plan.PRO, now=NOW)
    chosen = [subscription_of(bob.workspace), subscription_of(charlie.workspace)]
    with pytest.raises(Mistake, match="Charlie is on AI-Manus PRO, and not on AI-Manus FREE"):
        set_limit(Plan.FREE, 20, staff, when=When.CHOSEN, chosen=chosen)
    assert (limit(bob.workspace), Plan.objects.free().runs_limit) == (10, 10)
    assert not AuditEntry.objects.filter(action="change runs limit").exists()


def test_no_limit_and_none_are_two_things(bob: Person, staff: Person) -> None:
    set_limit(Plan.FREE, None, staff, when=When.NOW)
    assert (limit(bob.workspace), quota(bob.workspace, NOW).remaining) == (None, None)
    with pytest.raises(Mistake, match="has no limit already, for everybody"):
        set_limit(Plan.FREE, None, staff, when=When.NOW)
    set_limit(Plan.FREE, 0, staff, when=When.NOW)
    with pytest.raises(QuotaExceeded):
        consume(bob.workspace, NOW)


def test_the_trail_says_what_it_was_and_from_when_the_new_one_holds(bob: Person, staff: Person) -> None:
    set_limit(Plan.FREE, 20, staff)
    set_limit(Plan.FREE, None, staff, when=When.NOW)
    entries = AuditEntry.objects.filter(target=f"plan:{Plan.objects.free().pk}").order_by("id")
    assert [(one.before, one.after) for one in entries] == [
        ({"runs_limit": "10 runs"}, {"runs_limit": "20 runs", "holds": "from the next period"}),
        ({"runs_limit": "20 runs"}, {"runs_limit": "unlimited", "holds": "now, for all"}),
    ]
    assert {(one.actor_name, one.reason, one.at) for one in entries} == {("staff@example.com", "A test", NOW)}


def test_what_no_running_period_needs_any_more_is_dropped(staff: Person) -> None:
    for year, number in ((2024, 11), (2026, 12), (2027, 13)):
        set_limit(Plan.FREE, number, staff, now=at(year, 3, 20))
    kept = [earlier["runs_limit"] for earlier in Plan.objects.free().earlier_limits]
    assert kept == [11, 12]


def test_it_is_foreseen_whom_a_change_affects(alice: Person, bob: Person, charlie: Person, staff: Person) -> None:
    for _ in range(6):
        consume(bob.workspace, NOW)
    consume(charlie.workspace, NOW)
    consume(staff.workspace, at(2026, 2, 10))
    found = limits.foresee(Plan.objects.free(), 5, now=NOW)
    assert {source: count.number for source, count in found.holders.items() if count} == {Source.FREE: 4}
    assert (found.begun.number, found.above and found.above.number) == (2, 1)
    assert limits.foresee(Plan.objects.free(), None, now=NOW).above is None
    found = limits.foresee(Plan.objects.get(slug=Plan.PRO), 5, now=datetime.now(tz=NOW.tzinfo))
    assert {source: count.number for source, count in found.holders.items() if count} == {Source.COMP: 1}


def test_foreseeing_takes_as_many_statements_for_many_as_for_one(
    bob: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    free = Plan.objects.free()

    def seen() -> int:
        with statements() as taken:
            limits.foresee(free, 5, now=NOW)
        return len(taken)

    consume(bob.workspace, NOW)
    few = seen()
    for number in range(5):
        consume(person(f"number{number}@example.com").workspace, NOW)
    assert few == seen() <= 7


def test_nothing_is_looked_for_from_end_to_end(
    bob: Person, staff: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    with statements() as seen:
        limits.foresee(Plan.objects.free(), 5, now=NOW)
        set_limit(Plan.FREE, 5, staff, when=When.NOW)
    about_buckets = [one["sql"] for one in seen if '"billing_usageperiod"' in one["sql"]]
    # Two counts before it, and the change itself with what follows it.
    assert [sql.split()[0] for sql in about_buckets] == ["SELECT", "SELECT", "UPDATE", "UPDATE"]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in about_buckets:
            cursor.execute(f"EXPLAIN {sql}")
            lines = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan" not in lines, lines
            assert "usage_period_by_plan" in lines, lines


def test_a_run_that_had_read_the_former_number_opens_its_period_with_the_new_one(bob: Person, staff: Person) -> None:
    read_before = quota(bob.workspace, NOW)
    set_limit(Plan.FREE, 20, staff, when=When.NOW)
    quotas.open_period(read_before, now=NOW)
    assert limit(bob.workspace) == 20


@pytest.mark.django_db(transaction=True)
def test_a_bucket_that_is_being_opened_meanwhile_is_waited_for(bob: Person, charlie: Person, staff: Person) -> None:
    consume(charlie.workspace, NOW)
    is_open, is_changed = threading.Event(), threading.Event()

    def run() -> None:
        with transaction.atomic():
            consume(bob.workspace, NOW)
            is_open.set()
            assert is_changed.wait(10)

    def cut() -> None:
        assert is_open.wait(10)
        set_limit(Plan.FREE, 3, staff, when=When.NOW)

    def watch() -> None:
        try:
            assert is_open.wait(10)
            deadline = time.monotonic() + 10
            while not Plan.objects.filter(slug=Plan.FREE, runs_limit=3).exists():
                assert time.monotonic() < deadline
            # Those that were there before are changed with the plan itself.
            assert UsagePeriod.objects.get(workspace=charlie.workspace).runs_limit == 3
        finally:
            is_changed.set()

    assert at_once([run, cut, watch]) == [None] * 3
    assert UsagePeriod.objects.get(workspace=bob.workspace).runs_limit == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_begun", [True, False])
def test_of_runs_and_a_cut_at_once_nothing_is_lost_or_overdrawn(bob: Person, staff: Person, has_begun: bool) -> None:
    plan(Plan.FREE, runs_limit=40)
    if has_begun:
        consume_all(bob.workspace, NOW, at_most=4)
    acts: list[Callable[[], Any]] = [partial(consume, bob.workspace, NOW)] * 12
    cut = partial(set_limit, Plan.FREE, 8, staff, when=When.NOW)
    results = at_once([*acts[:6], cut, *acts[6:]])
    changed = results.pop(6)
    assert isinstance(changed, Plan), changed
    refused = [one for one in results if isinstance(one, Exception)]
    assert all(isinstance(one, QuotaExceeded) for one in refused), refused
    bucket = UsagePeriod.objects.get()
    assert bucket.used == (4 if has_begun else 0) + 12 - len(refused)
    # Whoever came first: from now on the new number holds, and there is nothing left of it.
    assert bucket.runs_limit == 8
    assert_books_are_right(bob.workspace)
    assert len(consume_all(bob.workspace, NOW)) == max(0, 8 - bucket.used)
