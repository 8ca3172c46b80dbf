"""Every write to a Subscription leaves a line from which that past can be read again (invariant 16)."""

from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from billing import lifecycle
from billing.entitlements import entitlement
from billing.models import AuditEntry, Plan, Subscription, SubscriptionChange
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, plan, subscription_of
from tests.people import Person
from tests.threads import at_once

NOW = at(2026, 3, 20, 12)
DAY = timedelta(days=1)


def lines(someone: Person) -> list[SubscriptionChange]:
    return list(SubscriptionChange.objects.filter(subscription__workspace=someone.workspace).order_by("id"))


def comp(someone: Person, **given: Any) -> None:
    values: dict[str, Any] = {
        "plan": plan(Plan.PRO),
        "until": NOW + 30 * DAY,
        "reason": "A friend",
        "actor": None,
        "now": NOW,
    }
    lifecycle.comp(subscription_of(someone.workspace), **values | given)


def test_it_begins_with_the_workspace(bob: Person) -> None:
    (first,) = lines(bob)
    assert (first.cause, first.before, first.actor) == ("created", {}, None)
    assert first.after["base_plan_id"] == str(Plan.objects.free().pk)
    assert first.at == bob.workspace.created_at == bob.subscription.created_at


def test_a_write_appends_what_was_and_what_is(bob: Person, staff: Person) -> None:
    subscription = bob.subscription
    end = NOW + DAY
    subscription.change(cause="override", now=NOW, actor=staff.user, runs_override=7, runs_override_end=end)
    first, second = lines(bob)
    assert (second.cause, second.at, second.actor) == ("override", NOW, staff.user)
    assert second.before == first.after
    changed = {name: value for name, value in second.after.items() if value != second.before[name]}
    assert changed == {"runs_override": 7, "runs_override_end": "2026-03-21T12:00:00Z"}
    written = bob.subscription
    assert (written.runs_override, written.runs_override_end, written.updated_at) == (7, end, NOW)


def test_of_two_writers_that_had_read_the_same_row_the_second_sees_what_the_first_wrote(bob: Person) -> None:
    one, other = bob.subscription, bob.subscription
    one.change(cause="override", now=NOW, runs_override=7, runs_override_end=NOW + DAY)
    lifecycle.comp(other, plan=plan(Plan.PRO), until=NOW + DAY, reason="A friend", actor=None, now=NOW)
    _, second, third = lines(bob)
    assert third.before == second.after == AuditEntry.objects.get().before
    assert (third.after["runs_override"], other.runs_override) == (7, 7)
    assert entitlement(other, NOW).limit() == 7


def test_a_line_names_every_fact(bob: Person) -> None:
    columns = {field.attname for field in Subscription._meta.concrete_fields}
    assert set(lines(bob)[0].after) == columns - {
        *("id", "workspace_id", "created_at", "updated_at"),
        *("sync_number", "synced_at", "sync_due_at"),
    }


def test_a_past_entitlement_is_read_from_its_line(bob: Person) -> None:
    now = NOW.replace(microsecond=250_000)
    acts: list[dict[str, Any]] = [
        facts.comp(plan(Plan.PRO), now, now + 9 * DAY),
        facts.paid(plan(Plan.BASIC), now - DAY, now + 29 * DAY, is_period_paid=False),
        {"runs_override": 3, "runs_override_end": now + DAY},
        {"comp_plan": None, "comp_start": None, "comp_end": None, "cancel_at": now + 9 * DAY},
    ]
    held = []
    for act in acts:
        change(bob.workspace, **act)
        held.append(entitlement(bob.subscription, now))
    read = []
    for line in lines(bob)[1:]:
        past = Subscription(workspace_id=bob.workspace.pk)
        for field in Subscription.fact_fields():
            setattr(past, field.attname, field.to_python(line.after[field.attname]))
        read.append(entitlement(past, now))
    assert read == held


@pytest.mark.parametrize(
    ("status", "stopped", "earned"),
    [
        ("active", {}, 1583),
        ("past_due", {}, 1583),
        ("active", {"is_collection_paused": True}, 0),
        ("active", {"on_hold_since": NOW, "hold_reason": "dp_1"}, 0),
        ("trialing", {}, 0),
        ("canceled", {}, 0),
        ("unpaid", {}, 0),
    ],
)
def test_a_line_says_what_is_earned_a_month(bob: Person, status: str, stopped: dict[str, Any], earned: int) -> None:
    rows = facts.paid(plan(Plan.BASIC), NOW, NOW + 30 * DAY, stripe_status=status)
    change(bob.workspace, **rows, **stopped, monthly_amount=1583, currency="eur")
    line = lines(bob)[-1]
    assert (line.monthly_amount, line.currency) == (earned, "eur" if earned else "")


def test_a_comp_is_audited_with_who_why_before_and_after(bob: Person, staff: Person) -> None:
    comp(bob, actor=staff.user)
    audit, line = AuditEntry.objects.get(), lines(bob)[-1]
    assert (audit.actor_id, audit.actor_name) == (staff.user.pk, "staff@example.com")
    assert (audit.action, audit.reason, audit.at) == ("comp", "A friend", NOW)
    assert (audit.workspace_id, audit.workspace_name) == (bob.workspace.pk, bob.workspace.name)
    assert audit.target == f"subscription:{bob.subscription.pk}"
    assert (audit.before, audit.after) == (line.before, line.after)
    assert (line.cause, line.actor, line.monthly_amount) == ("comp", staff.user, 0)
    assert line.after["comp_end"] == "2026-04-19T12:00:00Z"


def test_a_comp_that_is_extended_or_changed_keeps_its_beginning(bob: Person) -> None:
    comp(bob)
    comp(bob, plan=plan(Plan.BASIC), until=NOW + 60 * DAY, now=NOW + 5 * DAY)
    subscription = bob.subscription
    assert (subscription.comp_start, subscription.comp_end) == (NOW, NOW + 60 * DAY)
    assert subscription.comp_plan == Plan.objects.get(slug=Plan.BASIC)


def test_a_comp_after_one_that_has_ended_begins_anew(bob: Person) -> None:
    comp(bob)
    comp(bob, until=NOW + 60 * DAY, now=NOW + 30 * DAY)
    assert bob.subscription.comp_start == NOW + 30 * DAY


@pytest.mark.parametrize("wrong", [{"until": NOW}, {"until": NOW - DAY}, {"reason": ""}, {"reason": "  "}])
def test_a_comp_without_a_reason_or_a_future_is_refused_and_nothing_is_written(
    bob: Person, wrong: dict[str, Any]
) -> None:
    before = bob.subscription.facts()
    with pytest.raises(ValueError, match="A comp"):
        comp(bob, **wrong)
    assert bob.subscription.facts() == before
    assert (len(lines(bob)), AuditEntry.objects.count()) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_follow_one_another_and_the_last_line_is_as_the_row(bob: Person) -> None:
    acts = [partial(bob.subscription.change, cause="test", now=NOW, comp_reason=f"{n}") for n in range(8)]
    assert at_once(acts) == [None] * 8
    written = lines(bob)
    assert all(later.before == earlier.after for earlier, later in pairwise(written))
    assert written[-1].after["comp_reason"] == bob.subscription.comp_reason
