"""What never was delivered is found by walking both sides, and mended; what only staff can decide is listed."""

import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
import stripe
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import clock
from accounts.models import Membership, Workspace
from billing import gateway, jobs, lifecycle, reconciliation
from billing.lifecycle import operations
from billing.models import AuditEntry, Price, ReconciliationReport, StripeEvent, StripeOperation, Subscription
from billing.proofs import PROOFS
from tests.billing.stripe.digest import digest
from tests.billing.stripe.payer import Payer
from tests.people import Person, person

Kind = StripeOperation.Kind


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def reconcile(*options: str, out: StringIO | None = None) -> tuple[str, str]:
    """What the command printed, and what it ended with: empty where all is well."""
    out = out or StringIO()
    ended: CommandError | None = None
    try:
        call_command("reconcile", *options, stdout=out)
    except CommandError as error:
        ended = error
    assert ended is None or ended.returncode == 1
    return out.getvalue(), str(ended or "")


def table(text: str) -> list[tuple[str, ...]]:
    """The lines of drift, without their head."""
    found = text.partition("\n\n")[0].splitlines() if text.startswith("Workspace ") else []
    return [tuple(re.split(r" {2,}", line)) for line in found[1:]]


def last_line(text: str) -> str:
    return [line for line in text.splitlines() if line.startswith("Workspaces ")][-1]


def cancel(payer: Payer) -> None:
    payer.client.v1.subscriptions.cancel(payer.one.id)


def schedule_cancel(payer: Payer) -> None:
    payer.client.v1.subscriptions.update(payer.one.id, {"cancel_at_period_end": True})


def upgrade(payer: Payer) -> None:
    payer.travel(hours=5)
    price = Price.objects.get(plan__slug="pro", interval="month")
    item: Any = {"id": payer.one["items"].data[0].id, "price": price.stripe_price_id}
    change: Any = {"items": [item], "billing_cycle_anchor": "now", "proration_behavior": "always_invoice"}
    payer.client.v1.subscriptions.update(payer.one.id, change)


def renew(payer: Payer) -> None:
    payer.travel(days=32)


def fail_to_renew(payer: Payer) -> None:
    payer.card("pm_card_chargeCustomerFail")
    payer.sync()
    payer.travel(days=32)


def give_back(payer: Payer) -> None:
    (payment,) = payer.client.v1.invoice_payments.list({"invoice": payer.invoices[0].id}).data
    payer.client.v1.refunds.create({"payment_intent": str(payment.payment.payment_intent), "amount": 100})


def dispute(payer: Payer) -> None:
    (charge,) = payer.client.v1.charges.list({"customer": payer.customer}).data
    payer.stand_in.control("POST", "disputes", charge=charge.id, outcome="needs_response")


def delete(payer: Payer) -> None:
    payer.client.v1.customers.delete(payer.customer)


# What is done at Stripe, and one of the lines that tell of it; of refunds the mirror alone knows.
DRIFTS: dict[Callable[[Payer], None], tuple[str | None, str | None, str | None]] = {
    cancel: ("stripe_status", "active", "canceled"),
    schedule_cancel: ("cancel_at", "-", None),
    upgrade: ("paid_plan", "AI-Manus BASIC", "AI-Manus PRO"),
    renew: ("paid_end", None, None),
    fail_to_renew: ("stripe_status", "active", "past_due"),
    give_back: (None, "-", "succeeded"),
    dispute: ("hold_reason", "-", None),
    delete: ("customer", None, "deleted"),
}


@pytest.mark.parametrize("act", DRIFTS, ids=lambda act: act.__name__)
def test_drift_is_shown_by_a_dry_run_and_mended_by_a_real_one(subscriber: Payer, act: Callable[[Payer], None]) -> None:
    assert reconcile()[1] == ""
    act(subscriber)
    subscriber.run(2)
    before, used, report = digest(), subscriber.sees()["monthly_agent_runs"], ReconciliationReport.objects.count()

    text, error = reconcile("--dry-run")
    assert error == "Nothing was changed. Run it without --dry-run to mend what differs."
    lines = table(text)
    assert {line[0] for line in lines} == {"bob@example.com"}
    assert any(
        all(wanted in (None, cell) for wanted, cell in zip(DRIFTS[act], line[1:], strict=True)) for line in lines
    ), text
    assert last_line(text) == "Workspaces 1, drifts 1, mended 0, orphans 0, failures 0."
    assert digest() == before

    text, error = reconcile()
    assert error == ""
    assert table(text) == lines
    assert last_line(text) == "Workspaces 1, drifts 1, mended 1, orphans 0, failures 0."
    assert text.endswith("Ours is what Stripe holds.\n")
    (entry,) = AuditEntry.objects.filter(action="reconcile")
    assert (entry.workspace_id, entry.actor_id) == (subscriber.person.workspace.pk, None)
    assert entry.after == {line[1]: line[3] for line in lines}
    assert ReconciliationReport.objects.count() == report + 1
    written = ReconciliationReport.objects.latest("id")
    assert (written.is_whole, written.workspaces, written.drifted, written.mended) == (True, 1, 1, 1)
    assert written.finished_at is not None
    if act in (schedule_cancel, upgrade, give_back):
        # Invariant 7: what was used before it was heard of is carried, and counted by no mending.
        assert subscriber.sees()["monthly_agent_runs"] == used == 2

    text, error = reconcile()
    assert (error, table(text)) == ("", [])
    assert AuditEntry.objects.filter(action="reconcile").count() == 1
    assert proofs_hold()


def proofs_hold() -> bool:
    with connection.cursor() as cursor:
        for proof in PROOFS:
            cursor.execute(proof.sql)
            found = cursor.fetchall()
            assert found == [], (proof.name, found)
    return True


def test_the_table_is_aligned(subscriber: Payer) -> None:
    cancel(subscriber)
    lines = reconcile("--dry-run")[0].partition("\n\n")[0].splitlines()
    columns = [lines[0].index(word) for word in ("Workspace", "What", "Ours", "Stripe's")]
    assert lines[0].split() == ["Workspace", "What", "Ours", "Stripe's"]
    assert ["bob@example.com", "stripe_status", "active", "canceled"] in [line.split() for line in lines]
    assert ["bob@example.com", "monthly_amount", "19.00", "USD", "0.00", "USD"] in [line.split() for line in lines]
    for line in lines:
        assert [line[column] != " " for column in columns] == [True] * 4, line
        assert [line[column - 2 : column] for column in columns[1:]] == ["  "] * 3, line


def test_without_a_key_there_is_nothing_to_compare_with(bob: Person) -> None:
    assert reconcile() == ("", "STRIPE_SECRET_KEY is not set: there is nothing to compare with.")


def test_a_subscription_of_nobody_is_an_orphan_and_stays(subscriber: Payer) -> None:
    stranger = subscriber.client.v1.customers.create(
        {"email": "stranger@example.com", "payment_method": "pm_card_visa"}
    )
    subscription = buy_at_stripe(subscriber, stranger.id)
    text, error = reconcile()
    assert error == "Staff must decide about the orphans."
    assert f"  The subscription {subscription} is active for {stranger.id}, who is no workspace's." in text
    assert subscriber.client.v1.subscriptions.retrieve(subscription).status == "active"
    report = ReconciliationReport.objects.latest("id")
    assert [orphan["id"] for orphan in report.orphans] == [subscription]
    assert reconcile()[1] == error
    subscriber.client.v1.subscriptions.cancel(subscription)
    assert reconcile()[1] == ""


def buy_at_stripe(payer: Payer, customer: str) -> str:
    (method,) = payer.client.v1.payment_methods.list({"customer": customer}).data
    price = Price.objects.get(plan__slug="basic", interval="month").stripe_price_id
    params: Any = {"customer": customer, "items": [{"price": price}], "default_payment_method": method.id}
    return payer.client.v1.subscriptions.create(params).id


def test_a_second_customer_of_a_workspace_is_an_orphan(subscriber: Payer) -> None:
    named: Any = {"metadata": {"workspace_id": str(subscriber.person.workspace.pk)}}
    second = subscriber.client.v1.customers.create(named).id
    subscriber.client.v1.customers.create({"metadata": {"workspace_id": "what somebody wrote"}})
    text, error = reconcile()
    assert error == "Staff must decide about the orphans."
    assert f"The customer {second} is a second one of bob@example.com, whose customer is {subscriber.customer}." in text
    assert last_line(text) == "Workspaces 1, drifts 0, mended 0, orphans 1, failures 0."


@pytest.mark.parametrize("reason", ["suspended", "closed", "without an owner", "owner is not active"])
def test_who_is_charged_for_what_nobody_can_use_is_an_orphan(subscriber: Payer, reason: str) -> None:
    workspace = subscriber.person.workspace
    if reason in ("suspended", "closed"):
        Workspace.objects.filter(pk=workspace.pk).update(**{f"{reason}_at": clock.now()})
    elif reason == "without an owner":
        Membership.objects.filter(workspace=workspace).delete()
    else:
        subscriber.person.user.is_active = False
        subscriber.person.user.save(update_fields=["is_active"])
    text, error = reconcile()
    assert error == "Staff must decide about the orphans."
    told = reason if reason in ("suspended", "closed") else "without an owner who can sign in"
    assert f"The workspace {workspace.pk} is active at Stripe, and {told}." in text
    assert subscriber.one.status == "active"
    # With a cancel at the end of what is paid nobody is charged again.
    schedule_cancel(subscriber)
    assert reconcile()[1] == ""


def test_an_open_checkout_of_who_pays_already_is_an_orphan(payer: Payer) -> None:
    session = payer.checkout("basic")
    payer.card("pm_card_visa")
    buy_at_stripe(payer, payer.customer)
    text, error = reconcile()
    assert error == "Staff must decide about the orphans."
    assert f"The Checkout Session {session} is open for bob@example.com, who pays already." in text
    payer.client.v1.checkout.sessions.expire(session)
    assert reconcile()[1] == ""


def test_who_subscribed_unheard_is_found_in_stripes_lists(payer: Payer) -> None:
    payer.stand_in.pay(payer.checkout("pro"))
    text, error = reconcile()
    assert error == ""
    assert ("bob@example.com", "paid_plan", "-", "AI-Manus PRO") in table(text)
    assert payer.sees()["plan"] == "pro"


def test_one_that_fails_is_told_and_the_others_are_mended(subscriber: Payer, other: Payer) -> None:
    other.buy("pro")
    cancel(subscriber)
    cancel(other)
    subscriber.stand_in.control(
        "POST", "faults", path=f"^GET /v1/customers/{subscriber.customer}$", status=400, times=100
    )
    text, error = reconcile()
    assert error.endswith("Run it again for what could not be looked at.")
    assert "\nCould not be looked at:\n  bob@example.com: stripe_error: " in text
    assert (other.row.stripe_status, subscriber.row.stripe_status) == ("canceled", "active")
    assert ReconciliationReport.objects.latest("id").failures[0]["subject"] == "bob@example.com"
    subscriber.stand_in.control("DELETE", "faults")
    assert reconcile()[1] == ""
    assert subscriber.row.stripe_status == "canceled"


def test_a_list_that_fails_is_told(subscriber: Payer) -> None:
    subscriber.stand_in.control("POST", "faults", path="^GET /v1/refunds$", status=400, times=1)
    text, error = reconcile()
    assert error == "Run it again for what could not be looked at."
    assert "  Stripe's refunds: stripe_error: " in text
    assert reconcile()[1] == ""


def test_failures_in_a_row_end_the_walk(
    subscriber: Payer, other: Payer, monkeypatch: pytest.MonkeyPatch, calls: Callable[[], list[str]]
) -> None:
    lifecycle.ensure_customer(other.row, now=clock.now())
    monkeypatch.setattr(reconciliation, "MOST_FAILURES", 1)
    subscriber.stand_in.control("POST", "faults", path="^GET /v1/", status=400, times=100)
    calls()
    text, _ = reconcile()
    assert "  The walk: ended before its end, after 1 failures in a row." in text
    assert len(calls()) == 1
    subscriber.stand_in.control("DELETE", "faults")


def test_only_the_workspaces_that_are_named_are_looked_at(subscriber: Payer, other: Payer) -> None:
    other.buy("pro")
    cancel(subscriber)
    cancel(other)
    text, error = reconcile("--workspace", "Bob@example.com")
    assert error == ""
    assert last_line(text) == "Workspaces 1, drifts 1, mended 1, orphans 0, failures 0."
    assert (other.row.stripe_status, subscriber.row.stripe_status) == ("active", "canceled")
    assert not ReconciliationReport.objects.get().is_whole
    text, error = reconcile("--workspace", str(other.person.workspace.pk), "--workspace", "bob@example.com")
    assert last_line(text) == "Workspaces 2, drifts 1, mended 1, orphans 0, failures 0."
    assert reconcile("--workspace", "nobody@example.com") == (
        "",
        "No workspace is, or is owned by, nobody@example.com.",
    )


def test_lists_are_read_page_by_page(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(f"number{number}@example.com") for number in range(101)]
    for one in people:
        customer = payer.client.v1.customers.create({"metadata": {"workspace_id": str(one.workspace.pk)}})
        Subscription.objects.filter(workspace=one.workspace).update(stripe_customer_id=customer.id)
    # The newest of ours, and the oldest that Stripe lists.
    payer.client.v1.customers.delete(str(people[-1].subscription.stripe_customer_id))
    Subscription.objects.filter(workspace=people[0].workspace).update(stripe_customer_id=None)
    lifecycle.ensure_customer(people[0].subscription, now=clock.now())
    text, error = reconcile()
    assert error == "Staff must decide about the orphans."
    assert last_line(text) == "Workspaces 101, drifts 1, mended 1, orphans 1, failures 0."
    assert people[-1].subscription.stripe_customer_id is None
    assert "is a second one of number0@example.com" in text
    monkeypatch.setattr(reconciliation, "PAGE", 7)
    assert last_line(reconcile()[0]) == "Workspaces 100, drifts 0, mended 0, orphans 1, failures 0."


def test_of_a_large_drift_the_beginning_is_listed(subscriber: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "MOST_LISTED", 2)
    upgrade(subscriber)
    whole = len(reconciliation.reconcile(now=clock.now(), is_dry_run=True).drifts)
    text, _ = reconcile("--dry-run")
    assert whole == 2
    assert len([line for line in text.splitlines() if line.startswith("bob@")]) == 2
    assert re.search(r"^\.\.\. and \d more differences\.$", text, re.MULTILINE)


def test_a_terminal_sees_a_bar(subscriber: Payer) -> None:
    text, _ = reconcile(out=Terminal())
    assert f"\r[{'#' * 30}] 1 of 1 workspaces" in text
    assert "\r1 subscriptions at Stripe" in text
    assert "\r[" not in reconcile()[0]


def test_deliveries_that_are_not_done_are_mentioned(subscriber: Payer) -> None:
    wall = datetime.now(UTC)
    for number, state in enumerate(("dead", "dead", "unmatched", "waiting")):
        StripeEvent.objects.create(
            stripe_id=f"evt_{number}",
            type="invoice.paid",
            payload={},
            state=state,
            created_at=wall,
            received_at=wall,
            next_attempt_at=wall,
        )
    text, error = reconcile()
    assert error == ""
    assert "Deliveries not done: 2 dead, 1 unmatched, 1 waiting." in text


def test_a_schedule_whose_second_call_never_came_is_released(pro: Payer) -> None:
    asked = StripeOperation.objects.create(
        kind=Kind.SCHEDULE,
        workspace=pro.person.workspace,
        intent={},
        parameters={"from_subscription": pro.one.id},
        created_at=datetime.now(UTC),
    )
    schedule = gateway.create(asked)
    text, _ = reconcile("--dry-run")
    assert table(text) == [("bob@example.com", "schedule", "-", f"of {pro.one.id}, with one phase")]
    assert pro.client.v1.subscription_schedules.retrieve(schedule.id).status == "active"
    assert reconcile()[1] == ""
    assert pro.client.v1.subscription_schedules.retrieve(schedule.id).status == "released"
    asked.refresh_from_db()
    assert asked.error == "Superseded"
    assert table(reconcile()[0]) == []


def test_a_schedule_that_is_not_ours_is_left_alone(pro: Payer) -> None:
    schedule = pro.client.v1.subscription_schedules.create({"from_subscription": pro.one.id})
    pro.sync()
    assert reconcile()[1] == ""
    assert pro.client.v1.subscription_schedules.retrieve(schedule.id).status == "active"


def asked(payer: Payer, kind: Kind, *, intent: Any = None, parameters: Any = None) -> StripeOperation:
    """Of Stripe, more than a day ago."""
    return StripeOperation.objects.create(
        kind=kind,
        workspace=payer.person.workspace,
        intent=intent or {},
        parameters=parameters or {},
        created_at=datetime.now(UTC) - timedelta(hours=25),
    )


def test_what_became_of_a_refund_is_found(subscriber: Payer) -> None:
    (payment,) = subscriber.client.v1.invoice_payments.list({"invoice": subscriber.invoices[0].id}).data
    intent = str(payment.payment.payment_intent)
    one, another = (asked(subscriber, Kind.REFUND, intent={"payment_intent": intent}) for _ in range(2))
    made = subscriber.client.v1.refunds.create(
        {"payment_intent": intent, "amount": 100, "metadata": {"operation_id": str(one.pk)}}
    )
    subscriber.sync()
    text, _ = reconcile("--dry-run")
    assert [line[1:2] + line[3:] for line in table(text)] == [
        ("refund asked for", made.id),
        ("refund asked for", "not made"),
    ]
    assert StripeOperation.objects.filter(kind=Kind.REFUND, finished_at=None).count() == 2
    assert reconcile()[1] == ""
    one.refresh_from_db()
    another.refresh_from_db()
    assert (one.stripe_id, one.error) == (made.id, "")
    assert (another.stripe_id, another.error) == ("", "Nothing came of it")
    assert AuditEntry.objects.filter(target=f"stripeoperation:{one.pk}").exists()
    assert table(reconcile()[0]) == []


def test_what_became_of_a_checkout_is_found(payer: Payer) -> None:
    session = payer.checkout("pro")
    left = StripeOperation.objects.get(kind=Kind.CHECKOUT)
    StripeOperation.objects.filter(pk=left.pk).update(
        finished_at=None, stripe_id="", created_at=datetime.now(UTC) - timedelta(hours=25)
    )
    payer.client.v1.checkout.sessions.expire(session)
    assert reconcile()[1] == ""
    left.refresh_from_db()
    assert left.stripe_id == session


def test_what_became_of_an_upgrade_and_a_downgrade_is_found(subscriber: Payer) -> None:
    pro, basic = (Price.objects.get(plan__slug=slug, interval="month").stripe_price_id for slug in ("pro", "basic"))
    upgrade = asked(subscriber, Kind.UPGRADE, intent={"subscription": subscriber.one.id, "price": basic})
    other = asked(subscriber, Kind.UPGRADE, intent={"subscription": subscriber.one.id, "price": pro})
    assert reconcile()[1] == ""
    upgrade.refresh_from_db()
    other.refresh_from_db()
    assert (upgrade.stripe_id, other.error) == (subscriber.one.id, "Nothing came of it")
    subscriber.post("change-plan", {"plan": "pro"})
    subscriber.post("change-plan", {"plan": "basic"})
    left = StripeOperation.objects.filter(kind=Kind.SCHEDULE).latest("id")
    schedule = left.stripe_id
    assert schedule.startswith("sub_sched")
    StripeOperation.objects.filter(pk=left.pk).update(
        finished_at=None, stripe_id="", created_at=datetime.now(UTC) - timedelta(hours=25)
    )
    assert reconcile()[1] == ""
    left.refresh_from_db()
    assert left.stripe_id == schedule
    assert subscriber.sees()["pending_plan"] == "basic"


def test_a_customer_whose_making_was_never_answered_becomes_the_workspaces(payer: Payer) -> None:
    made = payer.client.v1.customers
    left = asked(payer, Kind.CUSTOMER, parameters={"email": "bob@example.com"})
    id = made.create({"email": "bob@example.com", "metadata": {"operation_id": str(left.pk)}}).id
    assert reconcile()[1] == ""
    assert payer.customer == id
    left.refresh_from_db()
    assert left.stripe_id == id


def test_what_an_act_took_away_and_nobody_put_back_is_put_back(pro: Payer) -> None:
    assert pro.post("change-plan", {"plan": "basic"}).json()["pending_plan"] == "basic"
    # A cancel that released the schedule, and then was never answered.
    pro.stand_in.control("POST", "faults", path=r"POST /v1/subscriptions/sub_\w+$", status=500, times=100)
    assert pro.post("cancel").status_code == 503
    pro.stand_in.control("DELETE", "faults")
    pro.sync()
    asked(pro, Kind.UPGRADE, intent={"subscription": pro.one.id, "price": "price_of_another"})
    StripeOperation.objects.filter(kind=Kind.RESTORE).update(created_at=datetime.now(UTC) - timedelta(hours=25))
    text, _ = reconcile("--dry-run")
    assert [line[1:2] + line[3:] for line in table(text)] == [
        ("upgrade asked for", "not made"),
        ("restore asked for", "cut short"),
    ]
    assert pro.sees()["pending_plan"] is None
    assert reconcile()[1] == ""
    assert pro.sees()["pending_plan"] == "basic"
    assert not StripeOperation.objects.filter(finished_at=None).exists()
    assert StripeOperation.objects.get(kind=Kind.UPGRADE).error == "Nothing came of it"
    assert table(reconcile()[0]) == []


def test_what_was_asked_for_no_workspace_is_settled_too(payer: Payer) -> None:
    price = Price.objects.get(plan__slug="pro", interval="month")
    (there,) = payer.client.v1.prices.list({"lookup_keys": ["ai_manus_pro_month_usd"]}).data
    assert there.id == price.stripe_price_id
    wall = datetime.now(UTC) - timedelta(hours=25)
    left = [
        StripeOperation.objects.create(kind=kind, intent={}, parameters=parameters, created_at=wall)
        for kind, parameters in (
            (Kind.PRICE, {"lookup_key": "ai_manus_pro_month_usd"}),
            (Kind.PRODUCT, {"id": "ai_manus_pro"}),
            (Kind.PRODUCT, {"id": "ai_manus_platinum"}),
            (Kind.PORTAL_CONFIGURATION, {}),
        )
    ]
    text, error = reconcile()
    assert error == ""
    assert [line[0] for line in table(text)] == ["-"] * 4
    for one in left:
        one.refresh_from_db()
    assert [one.stripe_id for one in left] == [there.id, "ai_manus_pro", "", ""]
    assert [one.error for one in left] == ["", "", "Nothing came of it", "Nothing came of it"]


def test_what_was_asked_within_the_day_may_still_be_sent_again(subscriber: Payer) -> None:
    pro = Price.objects.get(plan__slug="pro", interval="month").stripe_price_id
    intent = {"subscription": subscriber.one.id, "price": pro}
    young = operations.begin(Kind.UPGRADE, workspace=subscriber.person.workspace, intent=intent, parameters={})
    text, error = reconcile()
    assert (table(text), error) == ([], "")
    young.refresh_from_db()
    assert young.finished_at is None


@pytest.mark.django_db(transaction=True)
def test_a_second_one_is_refused_while_one_runs(subscriber: Payer, caplog: pytest.LogCaptureFixture) -> None:
    now, has_begun, may_end = clock.now(), threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        has_begun.set()
        assert may_end.wait(60)

    def walk() -> None:
        try:
            reconciliation.reconcile(now=now, progress=hold)
        finally:
            has_begun.set()
            connection.close()

    first = threading.Thread(target=walk)
    first.start()
    try:
        assert has_begun.wait(60)
        assert reconcile() == ("", "Another reconciliation is under way: wait for its end.")
        jobs.reconcile.func(timestamp=0)
        assert "another one is under way" in caplog.text
        assert ReconciliationReport.objects.count() == 1
        # What changes nothing needs no turn.
        assert reconcile("--dry-run")[1] == ""
    finally:
        may_end.set()
        first.join()
    assert reconcile()[1] == ""
    assert ReconciliationReport.objects.exclude(finished_at=None).count() == 2


def test_one_that_breaks_off_leaves_its_turn_and_an_open_report(subscriber: Payer) -> None:
    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconciliation.reconcile(now=clock.now(), progress=break_off)
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        free = other.execute("SELECT pg_try_advisory_lock(hashtextextended('billing:reconcile', 0))").fetchone()
    assert free == (True,)
    assert ReconciliationReport.objects.get().finished_at is None


def test_the_nightly_job_mends_and_logs(
    subscriber: Payer, caplog: pytest.LogCaptureFixture, stripe_client: stripe.StripeClient
) -> None:
    cancel(subscriber)
    caplog.set_level(logging.INFO, "billing.jobs")
    jobs.reconcile.func(timestamp=0)
    assert subscriber.row.stripe_status == "canceled"
    assert "reconcile: 1 workspaces, 1 drifts, 1 mended, 0 orphans, 0 failures." in caplog.text
    stranger = stripe_client.v1.customers.create({"email": "stranger@example.com", "payment_method": "pm_card_visa"})
    orphan = buy_at_stripe(subscriber, stranger.id)
    jobs.reconcile.func(timestamp=0)
    (error,) = [line for line in caplog.records if line.levelname == "ERROR" and orphan in line.getMessage()]
    assert "who is no workspace's" in error.getMessage()
