"""Each proof of check_billing finds the damage that it is for, and none that is not there."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from accounts import clock
from billing.models import Plan, StripeOperation, Subscription
from billing.proofs import PROOFS
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, give, plan
from tests.people import Person


def mirrored(table: str, id: str, data: str = "{}", **columns: str) -> str:
    """As dj-stripe would store it; columns in SQL."""
    return (
        f"INSERT INTO djstripe_{table} (id, djstripe_created, djstripe_updated, stripe_data, {', '.join(columns)}) "  # noqa: S608
        f"VALUES ('{id}', now(), now(), '{data}', {', '.join(columns.values())})"
    )


PAID = (
    "INSERT INTO djstripe_invoice (id, djstripe_created, djstripe_updated, customer_id, stripe_data) "
    "VALUES ('in_1', now(), now(), 'cus_mirrored', jsonb_build_object('status', 'paid', 'lines', "
    "jsonb_build_object('data', jsonb_build_array(jsonb_build_object('period', jsonb_build_object("
    "'start', extract(epoch FROM now() - interval '1 day')::bigint, "
    "'end', extract(epoch FROM now() + interval '30 days')::bigint), "
    "'pricing', '{\"price_details\": {\"price\": \"price_1\"}}'::jsonb, 'parent', "
    '\'{"type": "subscription_item_details", "subscription_item_details": {"proration": false}}\'::jsonb)))))'
)
HISTORY_OF = "(SELECT min(c.id::text)::uuid FROM billing_subscriptionchange c "
HISTORY_OF += "JOIN billing_subscription s ON s.id = c.subscription_id WHERE s.workspace_id = %(bob)s)"

DAMAGE = {
    "period counter equals its ledger lines": [
        "UPDATE billing_usageperiod SET used = used + 1 WHERE workspace_id = %(bob)s",
    ],
    "grant counter equals its ledger lines": [
        "UPDATE billing_creditgrant SET used = used - 1 WHERE workspace_id = %(bob)s",
    ],
    "no run was granted beyond the limit": [
        "ALTER TABLE billing_ledgerentry DROP CONSTRAINT ledger_is_not_overdrawn",
        "UPDATE billing_ledgerentry SET balance = -1 WHERE run_id = %(run)s",
    ],
    "a run is consumed once and returned at most once": [
        "UPDATE billing_ledgerentry SET quantity = 2 WHERE run_id = %(returned)s AND kind = 'refund'",
        "UPDATE billing_usageperiod SET used = used - 1 WHERE workspace_id = %(bob)s",
    ],
    "a ledger line belongs to its bucket's workspace": [
        "UPDATE billing_ledgerentry SET workspace_id = %(charlie)s WHERE kind = 'grant'",
    ],
    "every workspace has a subscription": [
        "DELETE FROM billing_subscriptionchange WHERE subscription_id IN "
        "(SELECT id FROM billing_subscription WHERE workspace_id = %(charlie)s)",
        "DELETE FROM billing_subscription WHERE workspace_id = %(charlie)s",
    ],
    "a subscription is as its history says": [
        "UPDATE billing_subscription SET is_period_paid = true WHERE workspace_id = %(charlie)s",
    ],
    "what was asked of Stripe was seen to its end": [
        "UPDATE billing_stripeoperation SET finished_at = NULL WHERE workspace_id = %(charlie)s",
    ],
    "Stripe was asked when it was due": [
        "UPDATE billing_subscription SET sync_due_at = now() - interval '25 hours' WHERE workspace_id = %(charlie)s",
    ],
    "a paid bucket is covered by a paid invoice, or has its reason": [
        mirrored("customer", "cus_mirrored", email="''", subscriber_id="%(bob)s"),
        "UPDATE billing_usageperiod SET source = 'paid' WHERE workspace_id = %(bob)s",
        "UPDATE billing_plan SET grace_runs = 0",
        # The runs that staff gave would be the reason.
        "UPDATE billing_subscriptionchange SET after = after - 'runs_override_end'",
    ],
    "a paid period in which runs were started has its bucket": [
        mirrored("customer", "cus_mirrored", email="''", subscriber_id="%(bob)s"),
        "UPDATE billing_price SET stripe_price_id = 'price_1', stripe_product_id = 'p' WHERE id = "
        "(SELECT p.id FROM billing_price p JOIN billing_plan ON billing_plan.id = plan_id WHERE slug = 'pro' LIMIT 1)",
        PAID,
        "UPDATE billing_subscriptionchange SET after = after || jsonb_build_object('stripe_status', 'active', "  # noqa: S608
        "'is_period_paid', true, 'paid_start', to_timestamp(extract(epoch FROM now() - interval '1 day')::bigint)) "
        f"WHERE id = {HISTORY_OF}",
    ],
    "a workspace has one live subscription at most": [
        mirrored("customer", "cus_mirrored", email="''", subscriber_id="%(charlie)s"),
        *(
            mirrored("subscription", f"sub_{status}", f'{{"status": "{status}"}}', customer_id="'cus_mirrored'")
            for status in ("active", "past_due", "canceled", "incomplete")
        ),
    ],
    "no more is given back than was paid": [
        mirrored(
            "charge",
            "ch_1",
            '{"amount_captured": 1900, "currency": "usd"}',
            amount="1900",
            currency="'usd'",
            status="'succeeded'",
        ),
        *(
            mirrored(
                "refund",
                f"re_{status}",
                f'{{"status": "{status}"}}',
                amount=f"{amount}",
                currency="'usd'",
                charge_id="'ch_1'",
            )
            for status, amount in (("succeeded", 1900), ("pending", 1), ("failed", 500))
        ),
    ],
    "a refund that failed was given back otherwise": [
        mirrored("customer", "cus_mirrored", email="''", subscriber_id="%(charlie)s"),
        mirrored(
            "charge",
            "ch_1",
            '{"amount_captured": 1900, "currency": "usd"}',
            amount="1900",
            currency="'usd'",
            status="'succeeded'",
            customer_id="'cus_mirrored'",
        ),
        mirrored("refund", "re_1", '{"status": "failed"}', amount="500", currency="'usd'", charge_id="'ch_1'"),
    ],
    "what is paid for is a price of ours": [
        mirrored("customer", "cus_mirrored", email="''", subscriber_id="%(charlie)s"),
        mirrored(
            "subscription",
            "sub_1",
            '{"status": "active", "items": {"data": [{"price": {"id": "price_of_nobody"}}]}}',
            customer_id="'cus_mirrored'",
        ),
    ],
    "Stripe's word for a subscription is one that is known": [
        "UPDATE billing_subscription SET stripe_status = 'limbo' WHERE workspace_id = %(charlie)s",
        """UPDATE billing_subscriptionchange SET after = after || '{"stripe_status": "limbo"}'
        WHERE subscription_id = (SELECT id FROM billing_subscription WHERE workspace_id = %(charlie)s)""",
    ],
    "nobody is charged for what nobody can use": [
        "UPDATE accounts_workspace SET suspended_at = now() WHERE id = %(charlie)s",
        "UPDATE billing_subscription SET stripe_status = 'active' WHERE workspace_id = %(charlie)s",
        """UPDATE billing_subscriptionchange SET after = after || '{"stripe_status": "active"}'
        WHERE subscription_id = (SELECT id FROM billing_subscription WHERE workspace_id = %(charlie)s)""",
    ],
    "the last reconciliation found no orphans": [
        "INSERT INTO billing_reconciliationreport "
        "(started_at, finished_at, is_whole, workspaces, drifted, mended, failures, orphans) VALUES "
        '(now(), now(), true, 1, 0, 0, \'[]\', \'[{"kind": "customer", "id": "cus_1", "sentence": "is."}]\')',
    ],
    "a run has its consume line, and is charged as the ledger says": [
        "UPDATE sessions_app_run SET is_charged = false, status = 'stopped' WHERE id = %(run)s",
    ],
    "a consume line has its run, in the same workspace": [
        "DELETE FROM sessions_app_event WHERE run_id = %(returned)s",
        "DELETE FROM sessions_app_run WHERE id = %(returned)s",
    ],
    "a run belongs to its session's workspace": [
        "UPDATE sessions_app_session SET workspace_id = %(charlie)s "
        "WHERE id = (SELECT session_id FROM sessions_app_run WHERE id = %(run)s)",
    ],
    "no run is left over from a dead worker": [
        "DELETE FROM procrastinate_jobs WHERE args ->> 'run_id' = %(run)s::text",
    ],
}


@pytest.fixture
def names(bob: Person, charlie: Person) -> dict[str, Any]:
    """Books that are right: bob has a run, one that was given back, and one that a credit paid for.

    charlie is a customer of Stripe's since a while, and was looked at today; of bob, something is under way there.
    """
    asked(charlie, ago=timedelta(hours=25), finished_at=clock.now(), stripe_id="cus_charlie")
    asked(bob, ago=timedelta(hours=23))
    change(charlie.workspace, stripe_customer_id="cus_charlie")
    Subscription.objects.filter(workspace=charlie.workspace).update(sync_due_at=clock.now() - timedelta(hours=23))
    runs = {}
    for name in ("run", "returned", "credited"):
        if name == "credited":
            plan(Plan.FREE, runs_limit=0)
            change(bob.workspace, runs_override=1, runs_override_end=at(2099))
            give(bob.workspace, 3, bob.workspace.created_at)
        session = bob.post("/sessions", {"prompt": "Write a haiku"}).json()
        runs[name] = uuid.UUID(session["runs"][0]["id"])
        if name == "returned":
            bob.post(f"/sessions/{session['id']}/stop")
    return {"bob": bob.workspace.pk, "charlie": charlie.workspace.pk, **runs}


def asked(person: Person, *, ago: timedelta, **more: Any) -> StripeOperation:
    """Something was, of Stripe."""
    return StripeOperation.objects.create(
        kind=StripeOperation.Kind.CUSTOMER,
        workspace=person.workspace,
        intent={},
        parameters={},
        created_at=clock.now() - ago,
        **more,
    )


def findings() -> dict[str, list[Any]]:
    found = {}
    with connection.cursor() as cursor:
        for proof in PROOFS:
            cursor.execute(proof.sql)
            found[proof.name] = cursor.fetchall()
    return {name: lines for name, lines in found.items() if lines}


def damage(statements: list[str], names: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("billing_ledgerentry", "billing_subscriptionchange"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        for statement in statements:
            cursor.execute(statement, {name: names[name] for name in names if f"%({name})s" in statement})


def test_books_that_are_right_have_no_findings(names: dict[str, Any]) -> None:
    assert findings() == {}


def test_every_proof_has_a_damage_that_it_is_shown_to_find() -> None:
    assert set(DAMAGE) == {proof.name for proof in PROOFS}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_proof_finds_its_damage_and_no_other_does(names: dict[str, Any], name: str) -> None:
    damage(DAMAGE[name], names)
    found = findings()
    assert list(found) == [name]
    ((id, sentence),) = found[name]
    assert id
    assert sentence


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            ["DELETE FROM billing_ledgerentry WHERE run_id = %(run)s"],
            {"period counter equals its ledger lines", "a run has its consume line, and is charged as the ledger says"},
        ),
        (
            ["DELETE FROM billing_ledgerentry WHERE run_id = %(returned)s AND kind = 'consume'"],
            {"period counter equals its ledger lines", "a run is consumed once and returned at most once"},
        ),
        (
            [
                "DROP INDEX ledger_once_a_run_and_kind",
                "INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, period_id, created_at) "
                "SELECT workspace_id, kind, quantity, run_id, period_id, created_at "
                "FROM billing_ledgerentry WHERE run_id = %(run)s",
            ],
            {"period counter equals its ledger lines", "a run is consumed once and returned at most once"},
        ),
    ],
)
def test_lines_that_are_gone_or_twice_there_are_found(
    names: dict[str, Any], statements: list[str], expected: set[str]
) -> None:
    damage(statements, names)
    assert set(findings()) == expected


FACTS = {
    "runs_override": "99",
    "runs_override_end": "now()",
    "comp_end": "comp_end + interval '1 day'",
    "comp_reason": "'None at all'",
    "base_plan_id": "comp_plan_id",
    "stripe_status": "'unpaid'",
    "paid_end": "paid_end + interval '1 second'",
    "is_collection_paused": "true",
    "cancel_at": "now()",
    "pending_interval": "'year'",
}


@pytest.mark.parametrize("fact", FACTS)
def test_any_fact_that_was_written_past_the_history_is_found(bob: Person, charlie: Person, fact: str) -> None:
    start, end = at(2026, 3, 1).replace(microsecond=123456), at(2026, 4)
    pro = plan(Plan.PRO)
    change(bob.workspace, **facts.comp(pro, start, end), **facts.paid(pro, start, end))
    change(bob.workspace, runs_override=5, runs_override_end=end)
    assert findings() == {}
    damage(
        [f"UPDATE billing_subscription SET {fact} = {FACTS[fact]} WHERE workspace_id = %(bob)s"],  # noqa: S608
        {"bob": bob.workspace.pk},
    )
    assert findings() == {
        "a subscription is as its history says": [
            (bob.subscription.pk, "the row was written without a line of history")
        ]
    }


def test_a_period_past_whose_end_nobody_looked_is_found(bob: Person) -> None:
    start, end = at(2026, 3), at(2026, 4)
    change(bob.workspace, stripe_customer_id="cus_bob", **facts.paid(plan(Plan.PRO), start, end))
    bobs = Subscription.objects.filter(workspace=bob.workspace)
    # Due again and again, and never done.
    bobs.update(sync_due_at=clock.now() + timedelta(minutes=9), synced_at=end - timedelta(hours=1))
    ((id, sentence),) = findings()["Stripe was asked when it was due"]
    assert id == bob.subscription.pk
    assert sentence.startswith("due since 2026-04-01")
    bobs.update(synced_at=end)
    assert findings() == {}
    bobs.update(synced_at=None)
    assert list(findings()) == ["Stripe was asked when it was due"]
    change(bob.workspace, stripe_status="canceled")
    assert findings() == {}


def test_the_findings_say_what_is_off(names: dict[str, Any]) -> None:
    damage(DAMAGE["period counter equals its ledger lines"], names)
    ((_, sentence),) = findings()["period counter equals its ledger lines"]
    assert sentence == "used is 2, the ledger says 1"
