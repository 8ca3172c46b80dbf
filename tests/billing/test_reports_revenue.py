"""MRR and its movement, read from the lines of history; every sum here was worked out by hand."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Workspace
from billing.models import Plan, Subscription
from billing.reports.revenue import Kind, Move, added, moved, movement_by_day, who_converted, who_moved
from billing.reports.spans import Span
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, plan
from tests.people import Person

MARCH = Span(at(2026, 3), at(2026, 4))
NEW, BACK, MORE, LESS, GONE = Kind.NEW, Kind.REACTIVATION, Kind.EXPANSION, Kind.CONTRACTION, Kind.CHURN


def pays(someone: Person, amount: int, now: datetime, *, slug: str = Plan.BASIC, **more: Any) -> None:
    """From then on so many minor units a month; nothing is an end at Stripe."""
    held = facts.paid(plan(slug), now, now + timedelta(days=30), stripe_status="active" if amount else "canceled")
    change(someone.workspace, now=now, **held | {"monthly_amount": amount, "currency": "usd"} | more)


def of_march() -> dict[date, dict[str, dict[Kind, Move]]]:
    return {day: movement.moves for day, movement in movement_by_day(MARCH).items() if movement.moves}


def day(number: int) -> date:
    return date(2026, 3, number)


def usd(kind: Kind, amount: int, count: int = 1) -> dict[str, dict[Kind, Move]]:
    return {"usd": {kind: Move(count, amount)}}


def test_what_changes_is_called_by_what_it_was_and_what_it_becomes(bob: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2, 9))
    pays(bob, 4900, at(2026, 3, 10, 9))
    pays(bob, 3675, at(2026, 3, 12, 9))
    pays(bob, 0, at(2026, 3, 20, 9))
    pays(bob, 1900, at(2026, 3, 25, 9))
    assert of_march() == {
        day(2): usd(NEW, 1900),
        day(10): usd(MORE, 3000),  # 4900 - 1900
        day(12): usd(LESS, 1225),  # 4900 - 3675
        day(20): usd(GONE, 3675),
        day(25): usd(BACK, 1900),
    }
    total = added(movement_by_day(MARCH).values())
    # 1900 + 3000 - 1225 - 3675 + 1900
    assert total.net == {"usd": 1900}


def test_a_line_that_changes_nothing_of_it_is_no_movement(bob: Person) -> None:
    pays(bob, 1900, at(2026, 2, 2))
    pays(bob, 1900, at(2026, 3, 2))
    change(bob.workspace, now=at(2026, 3, 3), cancel_at=at(2026, 4, 2))
    assert of_march() == {}


def test_ups_and_downs_of_a_day_are_one_movement(bob: Person, charlie: Person) -> None:
    pays(charlie, 1900, at(2026, 2, 2))
    pays(bob, 1900, at(2026, 3, 2, 9))
    pays(bob, 1425, at(2026, 3, 2, 10))
    for amount, hour in ((4900, 11), (0, 12), (1900, 13)):
        pays(charlie, amount, at(2026, 3, 2, hour))
    assert of_march() == {day(2): usd(NEW, 1425)}


def test_the_day_is_of_utc_and_half_open(bob: Person, charlie: Person) -> None:
    pays(bob, 1900, at(2026, 3, 1))
    pays(charlie, 1900, at(2026, 4, 1))
    assert of_march() == {day(1): usd(NEW, 1900)}


@pytest.mark.parametrize(
    "stop",
    [
        {"is_collection_paused": True},
        {"on_hold_since": at(2026, 3, 5), "hold_reason": "dp_1"},
        {"stripe_status": "unpaid"},
        {"stripe_status": "trialing"},
        {"monthly_amount": 0},
    ],
)
def test_what_stops_it_counts_as_an_end_and_its_end_as_coming_back(bob: Person, stop: dict[str, Any]) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    before = {name: getattr(bob.subscription, name) for name in stop}
    change(bob.workspace, now=at(2026, 3, 5), **stop)
    change(bob.workspace, now=at(2026, 3, 7), **before)
    assert of_march() == {day(2): usd(NEW, 1900), day(5): usd(GONE, 1900), day(7): usd(BACK, 1900)}


def test_past_due_goes_on_counting(bob: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    change(bob.workspace, now=at(2026, 3, 5), stripe_status="past_due")
    assert of_march() == {day(2): usd(NEW, 1900)}


def test_trials_and_comps_count_nothing(bob: Person, charlie: Person) -> None:
    change(
        bob.workspace,
        now=at(2026, 3, 2),
        **facts.trial(at(2026, 3, 2), at(2026, 3, 16)) | {"trial_plan": plan("trial")},
    )
    change(charlie.workspace, now=at(2026, 3, 2), **facts.comp(plan("pro"), at(2026, 3, 2), at(2026, 4, 2)))
    assert movement_by_day(MARCH) == {}


def test_a_comp_on_a_payer_changes_nothing_of_what_is_paid(bob: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    change(bob.workspace, now=at(2026, 3, 3), **facts.comp(plan("pro"), at(2026, 3, 3), at(2026, 4, 2)))
    assert of_march() == {day(2): usd(NEW, 1900)}


def test_another_currency_leaves_the_one_and_comes_to_the_other(bob: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    pays(bob, 1700, at(2026, 3, 9), currency="eur")
    assert of_march() == {
        day(2): usd(NEW, 1900),
        # Not new: it has paid before.
        day(9): {"usd": {GONE: Move(1, 1900)}, "eur": {BACK: Move(1, 1700)}},
    }


def test_currencies_and_workspaces_are_counted_apart(bob: Person, charlie: Person, alice: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    pays(charlie, 4900, at(2026, 3, 2))
    pays(alice, 1700, at(2026, 3, 2), currency="eur")
    assert of_march() == {day(2): {"usd": {NEW: Move(2, 6800)}, "eur": {NEW: Move(1, 1700)}}}


def test_who_pays_for_which_plan(bob: Person, charlie: Person) -> None:
    basic, pro = str(plan("basic").pk), str(plan("pro").pk)
    pays(bob, 1900, at(2026, 3, 2))
    pays(charlie, 1900, at(2026, 3, 2))
    pays(bob, 4900, at(2026, 3, 9), slug=Plan.PRO)
    # Another plan for the same money.
    pays(charlie, 1900, at(2026, 3, 10), slug=Plan.PRO)
    pays(charlie, 0, at(2026, 3, 11), slug=Plan.PRO)
    plans = {day: movement.plans for day, movement in movement_by_day(MARCH).items()}
    assert plans == {day(2): {basic: 2}, day(9): {basic: -1, pro: 1}, day(10): {basic: -1, pro: 1}, day(11): {pro: -1}}


def test_a_first_payment_after_a_trial_is_a_conversion(bob: Person, charlie: Person, alice: Person) -> None:
    for someone in (bob, charlie):
        held = facts.trial(at(2026, 2, 20), at(2026, 3, 6)) | {"trial_plan": plan("trial")}
        change(someone.workspace, now=at(2026, 2, 20), **held)
        pays(someone, 1900, at(2026, 3, 2))
    pays(alice, 1900, at(2026, 3, 2))
    # Coming back is none.
    pays(bob, 0, at(2026, 3, 9))
    pays(bob, 1900, at(2026, 3, 12))
    assert {day: movement.converted for day, movement in movement_by_day(MARCH).items() if movement.converted} == {
        day(2): 2
    }
    found = Subscription.objects.filter(pk__in=who_converted(MARCH))
    assert set(found) == {bob.subscription, charlie.subscription}


def test_who_moved_is_found_by_kind_and_currency(bob: Person, charlie: Person, alice: Person) -> None:
    pays(bob, 1900, at(2026, 3, 2))
    pays(bob, 4900, at(2026, 3, 9))
    pays(charlie, 1700, at(2026, 3, 2), currency="eur")
    pays(alice, 1900, at(2026, 2, 2))

    def who(kind: Kind, currency: str = "") -> set[Workspace]:
        found = Subscription.objects.filter(pk__in=who_moved(MARCH, kind, currency=currency))
        return {subscription.workspace for subscription in found}

    assert who(NEW) == {bob.workspace, charlie.workspace}
    assert who(NEW, "eur") == {charlie.workspace}
    assert who(MORE) == {bob.workspace}
    assert who(GONE) == set()


def test_what_moved_adds_up_though_a_midnight_was_written_out_of_order(bob: Person) -> None:
    """Of two writers around midnight the one that began before it may write after the other."""
    pays(bob, 1900, at(2026, 3, 2))
    pays(bob, 4900, at(2026, 3, 11, 0, 0, 1))
    pays(bob, 2900, at(2026, 3, 10, 23, 59, 59))
    by_day = movement_by_day(MARCH)
    assert (by_day[day(10)].net, by_day[day(11)].net) == ({"usd": -2000}, {"usd": 3000})
    assert added(by_day.values()).net == {"usd": 2900}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 30 * 24),
            st.sampled_from([0, 100, 250, 700]),
            st.sampled_from(["usd", "eur"]),
            st.sampled_from(["active", "past_due", "canceled"]),
        ),
        max_size=10,
    )
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_moved_adds_up_to_what_is_there(
    bob: Person, charlie: Person, acts: list[tuple[int, int, int, str, str]]
) -> None:
    """In any order, on any days; where an hour is not after the last one, as around a midnight."""
    held: dict[int, tuple[str, int]] = {}
    with transaction.atomic():
        for who, hours, amount, currency, status in acts:
            now = MARCH.since + timedelta(hours=hours)
            pays((bob, charlie)[who], amount, now, currency=currency, stripe_status=status)
            held[who] = (currency, amount if status != "canceled" else 0)
        by_day = movement_by_day(MARCH)
        transaction.set_rollback(True)
    expected: dict[str, int] = {}
    for currency, amount in held.values():
        expected[currency] = expected.get(currency, 0) + amount
    assert moved({}, added(by_day.values()).net) == moved({}, expected)
    paying = sum(count for movement in by_day.values() for count in movement.plans.values())
    assert paying == sum(amount > 0 for _, amount in held.values())
