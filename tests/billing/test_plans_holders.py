"""How many hold a plan, counted by the database, is what `entitlements` says of each."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Workspace
from billing import holders
from billing.entitlements import entitlement
from billing.holders import holders_of
from billing.models import Plan, Source, Subscription
from tests.billing.facts import at
from tests.people import Person

pytestmark = pytest.mark.django_db

type Facts = dict[str, Any]

NOW = at(2026, 3, 20, 12)
DAY = timedelta(days=1)


def plan(slug: str) -> Plan:
    return Plan.objects.get(slug=slug)


def paid(slug: str, **more: Any) -> Facts:
    return {
        "paid_plan": plan(slug),
        "stripe_status": "active",
        "paid_interval": "month",
        "paid_anchor": NOW - 10 * DAY,
        "paid_start": NOW - 10 * DAY,
        "paid_end": NOW + 20 * DAY,
        "is_period_paid": True,
    } | more


def over(slug: str, days: int, **more: Any) -> Facts:
    return paid(slug, paid_anchor=NOW - 40 * DAY, paid_start=NOW - 40 * DAY, paid_end=NOW - days * DAY, **more)


def every_paid() -> list[Facts]:
    due = {"pending_plan": plan(Plan.BASIC), "pending_interval": "month", "pending_at": NOW - DAY}
    return [
        {},
        paid(Plan.BASIC),
        paid(Plan.PRO, first_paid_at=NOW - 10 * DAY),
        paid(Plan.PRO, stripe_status="trialing"),
        paid(Plan.PRO, is_collection_paused=True),
        paid(Plan.PRO, stripe_status="canceled"),
        paid(Plan.PRO, cancel_at=NOW - DAY),
        paid(Plan.PRO, cancel_at=NOW + DAY),
        paid(Plan.PRO, on_hold_since=NOW - DAY),
        paid(Plan.PRO, paid_start=NOW + timedelta(minutes=4)),
        paid(Plan.PRO, paid_start=NOW + timedelta(minutes=6)),
        paid(Plan.PRO, stripe_status="past_due", oldest_unpaid_at=NOW - 6 * DAY),
        paid(Plan.PRO, stripe_status="past_due", oldest_unpaid_at=NOW - 8 * DAY),
        paid(Plan.PRO, stripe_status="past_due"),
        paid(Plan.PRO, stripe_status="past_due", oldest_unpaid_at=NOW - 8 * DAY, grace_until=NOW + DAY),
        over(Plan.PRO, 2),
        over(Plan.PRO, 3),
        over(Plan.PRO, 1, **due),
        over(Plan.PRO, 1, **due | {"pending_at": NOW + DAY}),
    ]


def every_comp() -> list[Facts]:
    return [
        {},
        *(
            {"comp_plan": plan(slug), "comp_start": NOW - DAY, "comp_end": end, "comp_reason": "Test"}
            for slug, end in ((Plan.BASIC, NOW + DAY), (Plan.PRO, NOW + DAY), (Plan.PRO, NOW))
        ),
    ]


def every_trial() -> list[Facts]:
    trial = {"trial_plan": plan(Plan.TRIAL), "trial_start": NOW - DAY}
    return [{}, trial | {"trial_end": NOW + DAY}, trial | {"trial_end": NOW}]


def make(every: list[Facts]) -> None:
    """A workspace for each, in two statements."""
    workspaces = Workspace.objects.bulk_create(Workspace(name=f"Number {n}", created_at=NOW) for n in range(len(every)))
    free = plan(Plan.FREE)
    Subscription.objects.bulk_create(
        Subscription(workspace=workspace, base_plan=free, created_at=NOW, updated_at=NOW, **facts)
        for workspace, facts in zip(workspaces, every, strict=True)
    )


def test_each_is_counted_where_its_entitlement_is() -> None:
    make([{**a, **b, **c} for a, b, c in product(every_paid(), every_comp(), every_trial())])
    expected = Counter(
        (held.plan.slug, held.source) for held in (entitlement(row, NOW) for row in Subscription.objects.with_plans())
    )
    found = {
        (one.slug, source): count.number
        for one in Plan.objects.all()
        for source, count in holders_of(one, now=NOW).items()
        if count
    }
    assert found == dict(expected)
    # Of every source, and some plans by several.
    assert {source for _, source in found} == set(Source)
    assert found[Plan.PRO, Source.PAID] > 20


def test_beyond_some_number_nobody_counts_on(monkeypatch: pytest.MonkeyPatch, bob: Person, charlie: Person) -> None:
    free = plan(Plan.FREE)
    assert str(holders_of(free, now=NOW)[Source.FREE]) == "2"
    monkeypatch.setattr(holders, "MOST", 1)
    assert str(holders_of(free, now=NOW)[Source.FREE]) == "more than 1"


def test_every_count_goes_by_an_index(bob: Person, statements: Callable[[], CaptureQueriesContext]) -> None:
    with statements() as seen:
        for one in Plan.objects.all():
            holders_of(one, now=NOW)
    counts = [query["sql"] for query in seen if "COUNT(" in query["sql"]]
    assert len(counts) == 4 * 5
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in counts:
            cursor.execute(f"EXPLAIN {sql}")
            lines = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan" not in lines, lines
