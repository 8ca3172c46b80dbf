"""Paid state follows what Stripe holds: one writer, few calls, nothing written where nothing changed."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext
from djstripe.models import Customer, Invoice
from djstripe.models import Subscription as Mirrored

from accounts import clock
from billing import gateway, jobs, sync
from billing.models import Interval, LedgerEntry, Price, Subscription, SubscriptionChange, UsagePeriod
from tests.billing.meter import change
from tests.billing.stripe.payer import Payer
from tests.people import person

type Calls = Callable[[], list[str]]
type Statements = Callable[[], CaptureQueriesContext]
type Work = Callable[[], None]

STEADY = [
    *("GET /v1/customers/", "GET /v1/subscriptions", "GET /v1/invoices"),
    *("GET /v1/charges", "GET /v1/radar/early_fraud_warnings"),
]


def rows(payer: Payer) -> list[object]:
    """All that a sync may write of ours, but for when it was."""
    facts = model_to_dict(payer.row)
    lines = (SubscriptionChange, UsagePeriod, LedgerEntry)
    return [facts, *(list(line.objects.order_by("id").values_list()) for line in lines)]


def is_of(call: str, expected: str) -> bool:
    return call.startswith(expected)


def test_it_takes_at_most_six_calls_and_five_as_a_rule(payer: Payer, calls: Calls) -> None:
    session = payer.checkout("pro")
    payer.stand_in.pay(session)
    payer.sync()
    calls()
    payer.run()
    payer.sync()
    made = calls()
    assert len(made) == len(STEADY)
    assert all(map(is_of, made, STEADY)), made
    # With everything that can hang on it: a schedule, another card, another invoice.
    payer.post("change-plan", {"plan": "basic"})
    payer.card("pm_card_mastercard")
    payer.travel(days=32)
    calls()
    payer.sync()
    assert len(calls()) <= 6


def test_the_first_one_after_a_purchase_takes_at_most_six(subscriber: Payer, other: Payer, calls: Calls) -> None:
    session = other.checkout("pro")
    other.stand_in.pay(session)
    calls()
    other.sync()
    made = calls()
    assert len(made) <= 6, made
    assert other.sees()["plan"] == "pro"


def test_nothing_is_written_where_nothing_changed(pro: Payer, statements: Statements) -> None:
    pro.run(2)
    pro.sync()
    before, due = rows(pro), pro.row.sync_due_at
    with statements() as seen:
        pro.sync()
    assert rows(pro) == before
    assert pro.row.sync_due_at == due
    sent = [query["sql"].split() for query in seen]
    # Its number, when it was; and two that look for what is another and find nothing.
    assert [words[1].strip('"') for words in sent if words[0] in ("INSERT", "UPDATE", "DELETE")] == [
        "billing_subscription",
        "djstripe_customer",
        "billing_subscription",
        "billing_usageperiod",
    ]
    assert len(seen) <= 28, [query["sql"][:90] for query in seen]


def test_what_changed_is_a_line_of_history(pro: Payer) -> None:
    lines = SubscriptionChange.objects.count()
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    now = clock.now()
    sync.sync_customer(pro.customer, now=now)
    pro.sync()
    assert SubscriptionChange.objects.count() == lines + 1
    line = SubscriptionChange.objects.filter(subscription=pro.row)[0]
    assert (line.cause, line.actor, line.at, line.monthly_amount) == ("stripe", None, now, 4900)
    differing = {name for name in line.after if line.after[name] != line.before[name]}
    assert differing == {"cancel_at", "canceled_at"}
    assert line.before["cancel_at"] is None
    assert pro.row.paid_end is not None
    assert datetime.fromisoformat(line.after["cancel_at"]) == pro.row.paid_end
    assert pro.row.synced_at is not None
    assert pro.row.synced_at >= now


def test_a_customer_of_nobody_is_told_and_nobodys(payer: Payer, calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    stranger = payer.client.v1.customers.create({"email": "stranger@example.com"})
    calls()
    with caplog.at_level(logging.WARNING):
        assert sync.sync_customer(stranger.id, now=clock.now()) is None
    assert calls() == []
    assert stranger.id in caplog.text
    assert not Customer.objects.filter(id=stranger.id).exists()


def test_a_deleted_customer_leaves_free_and_is_made_anew(pro: Payer, caplog: pytest.LogCaptureFixture) -> None:
    gone = pro.customer
    pro.run(2)
    pro.client.v1.customers.delete(gone)
    pro.sync()
    row = pro.row
    assert (row.stripe_customer_id, row.stripe_status, row.paid_plan, row.sync_due_at) == (None, "", None, None)
    assert pro.sees()["plan"] == "free"
    pro.buy("basic")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert pro.customer != gone
    # And what was used is used.
    assert pro.sees()["monthly_agent_runs"] == 2
    assert Customer.objects.get(id=pro.customer).subscriber == row.workspace


@pytest.mark.parametrize("path", ["/v1/customers/", "/v1/subscriptions$", "/v1/invoices$"])
@pytest.mark.parametrize("status", [500, 429])
def test_a_stripe_that_is_away_changes_nothing(pro: Payer, path: str, status: int) -> None:
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    before, customer = rows(pro), pro.customer
    pro.stand_in.control("POST", "faults", path=f"GET {path}", status=status, times=9)
    with pytest.raises(gateway.StripeUnavailable):
        sync.sync_customer(customer, now=clock.now())
    assert rows(pro) == before
    pro.stand_in.control("DELETE", "faults")
    pro.sync()
    assert pro.row.cancel_at == pro.row.paid_end


def test_the_mirror_follows(pro: Payer) -> None:
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    pro.sync()
    assert Mirrored.objects.get(id=pro.one.id).stripe_data["cancel_at_period_end"] is True
    assert Customer.objects.get(id=pro.customer).subscriber == pro.row.workspace
    pro.travel(days=31, hours=3)
    pro.sync()
    assert {one.id for one in Invoice.objects.all()} == {one.id for one in pro.invoices}
    assert Mirrored.objects.get(id=pro.one.id).stripe_data["status"] == "canceled"


def test_a_mirror_that_fails_is_loud_and_in_nobodys_way(pro: Payer, caplog: pytest.LogCaptureFixture) -> None:
    # As where a migration of dj-stripe's is missing: its table refuses what Stripe holds now.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE djstripe_subscription ADD CONSTRAINT refuses CHECK (stripe_data ->> 'cancel_at' IS NULL)"
        )
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    with caplog.at_level(logging.ERROR):
        pro.sync()
    assert f"The mirror could not take what Stripe holds of {pro.customer}." in caplog.text
    assert Mirrored.objects.get(id=pro.one.id).stripe_data["cancel_at_period_end"] is False
    assert pro.row.cancel_at == pro.row.paid_end
    assert pro.sees()["cancel_at_period_end"] is True


def test_a_trial_at_stripe_that_is_extended_refills_nothing(payer: Payer) -> None:
    payer.checkout("basic")
    payer.card("pm_card_visa")
    basic = Price.objects.get(plan__slug="basic", interval=Interval.MONTH)
    payer.client.v1.subscriptions.create(
        {
            "customer": payer.customer,
            "items": [{"price": str(basic.stripe_price_id)}],
            "trial_period_days": 10,
        }
    )
    payer.sync()
    payer.run(2)
    later = UsagePeriod.objects.get(source="paid").ends_at + timedelta(days=5)
    # The period begins anew with the second in which it is extended.
    payer.travel(seconds=2)
    payer.client.v1.subscriptions.update(
        payer.one.id, {"trial_end": int(later.timestamp()), "proration_behavior": "none"}
    )
    payer.sync()
    former, present = UsagePeriod.objects.filter(source="paid").order_by("starts_at")
    assert former.ends_at == present.starts_at == payer.row.paid_start
    assert (present.used, present.ends_at) == (2, later)
    payer.travel(days=12)
    payer.run()
    assert payer.sees()["monthly_agent_runs"] == 3


def test_a_bucket_follows_the_end_of_its_period(pro: Payer) -> None:
    pro.run(2)
    bucket = UsagePeriod.objects.filter(source="paid")
    end = bucket.get().ends_at
    bucket.update(ends_at=end - timedelta(days=5))
    pro.sync()
    assert (bucket.get().ends_at, bucket.get().used) == (end, 2)


def test_what_somebody_waits_for_is_due_at_the_earliest_instant_that_was_asked(pro: Payer) -> None:
    now = clock.now()
    for asked, due in ((5, 5), (9, 5), (2, 2)):
        sync.ring_by(pro.row, now + timedelta(minutes=asked))
        assert pro.row.sync_due_at == now + timedelta(minutes=due)


def customers_due(count: int, *, at: timedelta) -> list[str]:
    now = clock.now()
    names = [f"cus_due{number}" for number in range(count)]
    for name in names:
        workspace = person(f"{name.lower()}@example.com").workspace
        change(workspace, stripe_customer_id=name, now=now)
        Subscription.objects.filter(workspace=workspace).update(sync_due_at=now + at)
    return names


@pytest.mark.django_db
def test_what_is_due_is_handed_out_and_again_when_it_did_not_come_through() -> None:
    person("nobody@example.com")
    due = customers_due(3, at=timedelta(minutes=1))
    now = clock.now()
    assert sync.claim_due(now=now) == []
    then = now + timedelta(minutes=1)
    assert sorted(sync.claim_due(now=then)) == due
    assert sync.claim_due(now=then + timedelta(minutes=9)) == []
    assert sorted(sync.claim_due(now=then + timedelta(minutes=10))) == due


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_at_once_are_handed_different_ones() -> None:
    due = customers_due(5, at=-timedelta(minutes=1))
    now = clock.now()
    has_claimed, may_commit = threading.Event(), threading.Event()
    first: list[str] = []

    def claim() -> None:
        try:
            with transaction.atomic():
                first.extend(sync.claim_due(now=now, most=3))
                has_claimed.set()
                may_commit.wait(30)
        finally:
            has_claimed.set()
            connection.close()

    thread = threading.Thread(target=claim)
    thread.start()
    has_claimed.wait(30)
    with transaction.atomic():
        second = sync.claim_due(now=now, most=3)
    may_commit.set()
    thread.join()
    assert (len(first), len(second)) == (3, 2)
    assert sorted(first + second) == due
    assert sync.claim_due(now=now) == []


def ring(timestamp: int) -> None:
    """As every 15 seconds."""
    jobs.ring_what_is_due.configure().defer(timestamp=timestamp)


def test_the_worker_rings_what_is_due(work: Work, pro: Payer) -> None:
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    ring(0)
    work()
    # Nothing rang, and it was not due.
    assert pro.row.cancel_at is None
    pro.travel(days=31, hours=1)
    ring(1)
    work()
    assert (pro.row.stripe_status, pro.row.sync_due_at) == ("canceled", None)
    assert pro.sees()["plan"] == "free"


def test_a_stripe_that_is_away_is_asked_again_soon(work: Work, pro: Payer) -> None:
    pro.travel(days=31, hours=3)
    pro.stand_in.control("POST", "faults", path="GET /v1/subscriptions$", status=500, times=9)
    began = clock.now()
    ring(0)
    work()
    due = pro.row.sync_due_at
    assert due is not None
    assert began + sync.DUE_AGAIN <= due < clock.now() + sync.DUE_AGAIN
    pro.stand_in.control("DELETE", "faults")
    pro.travel(seconds=int(sync.DUE_AGAIN.total_seconds()) + 1)
    ring(1)
    work()
    assert pro.row.is_period_paid
    assert pro.row.sync_due_at == pro.row.paid_end
