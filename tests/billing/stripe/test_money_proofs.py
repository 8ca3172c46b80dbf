"""What was paid at Stripe against what was granted for it: nothing is found in what people do, and each damage is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from accounts import clock
from accounts.models import Workspace
from billing import lifecycle, reconciliation, sync
from billing.models import Plan, ReconciliationReport, UsagePeriod
from billing.proofs import PROOFS
from tests.billing.meter import change, plan
from tests.billing.stripe.payer import REFUND_FAILS, Payer
from tests.billing.stripe.test_stuck import begin

COVERED = "a paid bucket is covered by a paid invoice, or has its reason"
HAS_BUCKET = "a paid period in which runs were started has its bucket"
ONE_LIVE = "a workspace has one live subscription at most"
NOT_MORE = "no more is given back than was paid"
IN_VAIN = "nobody is charged for what nobody can use"
OWED = "a refund that failed was given back otherwise"
OUR_PRICE = "what is paid for is a price of ours"
KNOWN_WORD = "Stripe's word for a subscription is one that is known"
NO_ORPHANS = "the last reconciliation found no orphans"


def findings() -> dict[str, list[Any]]:
    found = {}
    with connection.cursor() as cursor:
        for proof in PROOFS:
            cursor.execute(proof.sql)
            found[proof.name] = cursor.fetchall()
    return {name: lines for name, lines in found.items() if lines}


def execute(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_ledgerentry DISABLE TRIGGER append_only")
        cursor.execute(sql, values)


def unpay(payer: Payer) -> None:
    """In the mirror, every invoice."""
    execute("UPDATE djstripe_invoice SET stripe_data = jsonb_set(stripe_data, '{status}', '\"void\"')")
    assert not findings().get(HAS_BUCKET)


def small(payer: Payer) -> Payer:
    """Twenty runs, of which two may be started before they are paid; FREE gives one."""
    plan(Plan.FREE, runs_limit=1)
    plan(Plan.BASIC, runs_limit=20)
    return payer


# What people do, with more runs after each act than may be granted without a payment.


def months(payer: Payer) -> None:
    payer.buy("basic")
    payer.run(3)
    for _ in range(2):
        payer.travel(days=32)
        payer.sync()
        payer.run(3)


def year(payer: Payer) -> None:
    payer.buy("basic", interval="year")
    for _ in range(3):
        payer.run(3)
        payer.travel(days=31)


def upgrade_and_downgrade(payer: Payer) -> None:
    payer.buy("basic")
    payer.run(3)
    payer.travel(days=10)
    assert payer.post("change-plan", {"plan": "pro"}).status_code == 200
    payer.run(3)
    assert payer.post("change-plan", {"plan": "basic"}).status_code == 200
    payer.travel(days=32)
    payer.sync()
    payer.run(3)


def unpaid_renewal(payer: Payer) -> None:
    payer.buy("basic")
    payer.card("pm_card_chargeCustomerFail")
    payer.travel(days=32)
    payer.sync()
    payer.run(2)


def edge(payer: Payer) -> None:
    payer.buy("basic")
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.travel(days=31)
    payer.run(2)
    payer.sync()


def trial_at_stripe(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_visa")
    begin(payer, trial_period_days=7)
    payer.sync()
    payer.run(3)
    later = int((clock.now() + timedelta(days=20)).timestamp())
    payer.client.v1.subscriptions.update(payer.one.id, {"trial_end": later})
    payer.sync()
    payer.run(3)


def comp_in_an_unpaid_period(payer: Payer) -> None:
    unpaid_renewal(payer)
    lifecycle.comp(
        payer.row,
        plan=Plan.objects.get(slug=Plan.PRO),
        until=clock.now() + timedelta(days=3),
        reason="Sorry",
        actor=None,
        now=clock.now(),
    )
    payer.run(3)


def override_in_an_unpaid_period(payer: Payer) -> None:
    unpaid_renewal(payer)
    change(payer.person.workspace, runs_override=9, runs_override_end=clock.now() + timedelta(days=3))
    payer.run(3)


def free_of_charge(payer: Payer) -> None:
    coupon = payer.client.v1.coupons.create({"percent_off": 100, "duration": "forever"})
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_visa")
    begin(payer, discounts=[{"coupon": coupon.id}])
    payer.sync()
    payer.run(3)


def bought_and_cancelled_unheard(payer: Payer) -> None:
    payer.stand_in.pay(payer.checkout("basic"))
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.sync()
    payer.run(1)


def bought_again(payer: Payer) -> None:
    payer.buy("basic")
    payer.run(3)
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.travel(hours=5)
    payer.sync()
    payer.buy("basic")
    payer.run(3)


@pytest.mark.parametrize(
    "act",
    [
        months,
        year,
        upgrade_and_downgrade,
        unpaid_renewal,
        edge,
        trial_at_stripe,
        comp_in_an_unpaid_period,
        override_in_an_unpaid_period,
        free_of_charge,
        bought_and_cancelled_unheard,
        bought_again,
    ],
    ids=lambda act: act.__name__,
)
def test_nothing_is_found_in_what_people_do(payer: Payer, act: Callable[[Payer], None]) -> None:
    act(small(payer))
    assert findings() == {}


# Each reason alone covers what would be found without it.


@pytest.mark.parametrize("act", [comp_in_an_unpaid_period, override_in_an_unpaid_period], ids=lambda act: act.__name__)
def test_without_its_reason_it_is_found(payer: Payer, act: Callable[[Payer], None]) -> None:
    act(small(payer))
    execute("ALTER TABLE billing_subscriptionchange DISABLE TRIGGER append_only")
    execute("UPDATE billing_subscriptionchange SET after = after - 'comp_start' - 'runs_override_end'")
    ((_, sentence),) = findings()[COVERED]
    assert sentence.startswith("5 runs were granted in the period from ")


def test_a_trial_at_stripe_is_a_reason(payer: Payer) -> None:
    trial_at_stripe(small(payer))
    unpay(payer)
    assert findings() == {}
    execute("ALTER TABLE billing_subscriptionchange DISABLE TRIGGER append_only")
    execute("UPDATE billing_subscriptionchange SET after = after - 'stripe_status'")
    assert COVERED in findings()


@pytest.mark.parametrize(("runs", "expected"), [(2, set()), (3, {COVERED})])
def test_more_than_the_unpaid_limit_must_be_paid(payer: Payer, runs: int, expected: set[str]) -> None:
    small(payer).buy("basic")
    payer.run(runs)
    unpay(payer)
    assert set(findings()) == expected


def test_a_plan_without_a_limit_has_none_while_unpaid(payer: Payer) -> None:
    small(payer).buy("basic")
    payer.run(3)
    unpay(payer)
    assert set(findings()) == {COVERED}
    plan(Plan.BASIC, runs_limit=None)
    assert findings() == {}
    plan(Plan.BASIC, runs_limit=20)
    plan(Plan.FREE, runs_limit=None)
    assert findings() == {}


def test_a_second_bucket_in_one_paid_month_is_found(payer: Payer) -> None:
    small(payer).buy("basic")
    payer.run(3)
    bucket = UsagePeriod.objects.get(source="paid")
    UsagePeriod.objects.update(starts_at=bucket.starts_at + timedelta(days=3))
    assert COVERED in findings()


def test_a_bucket_longer_than_what_was_paid_is_found(payer: Payer) -> None:
    small(payer).buy("basic")
    payer.run(3)
    bucket = UsagePeriod.objects.get(source="paid")
    UsagePeriod.objects.update(ends_at=bucket.ends_at + timedelta(days=3))
    assert set(findings()) == {COVERED}


def test_who_paid_and_was_counted_as_free_is_found(payer: Payer) -> None:
    small(payer).buy("basic")
    UsagePeriod.objects.update(source="free", plan=Plan.objects.get(slug=Plan.FREE))
    assert findings() == {}
    execute("UPDATE billing_subscription SET sync_number = sync_number")
    assert payer.row.is_period_paid
    UsagePeriod.objects.update(source="paid", plan=Plan.objects.get(slug=Plan.BASIC))
    payer.run(1)
    UsagePeriod.objects.update(source="free", plan=Plan.objects.get(slug=Plan.FREE))
    ((id, sentence),) = findings()[HAS_BUCKET]
    assert id == payer.invoices[0].id
    assert sentence.endswith("the runs of that time were counted as free")


def test_who_ran_as_free_before_the_payment_was_seen_is_not_found(payer: Payer) -> None:
    small(payer).run(1)
    payer.buy("basic")
    paid = UsagePeriod.objects.filter(source="paid")
    paid.delete()
    assert findings() == {}
    execute("UPDATE billing_ledgerentry SET created_at = clock_timestamp() + interval '1 second'")
    assert set(findings()) == {HAS_BUCKET}


def test_nor_is_who_did_before_the_renewal_was_seen(payer: Payer) -> None:
    small(payer).buy("basic")
    payer.travel(days=35)
    payer.run(1)
    assert payer.sees()["plan"] == "free"
    payer.travel(hours=1)
    payer.sync()
    assert payer.sees()["plan"] == "basic"
    UsagePeriod.objects.filter(source="paid").latest("starts_at").delete()
    assert findings() == {}


def test_two_live_subscriptions_are_found(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_visa")
    one, another = begin(payer), begin(payer)
    payer.sync()
    ((id, sentence),) = findings()[ONE_LIVE]
    assert id == payer.person.workspace.pk
    assert sentence == f"2 subscriptions are live: {', '.join(sorted((one, another)))}"
    payer.client.v1.subscriptions.cancel(one)
    payer.sync()
    assert ONE_LIVE not in findings()


def test_those_of_a_customer_that_was_deleted_are_not_live(payer: Payer) -> None:
    lifecycle.ensure_customer(payer.row, now=clock.now())
    payer.card("pm_card_visa")
    begin(payer)
    begin(payer)
    payer.sync()
    payer.client.v1.customers.delete(payer.customer)
    payer.sync()
    assert ONE_LIVE not in findings()


def test_more_given_back_than_was_paid_is_found(pro: Payer) -> None:
    (payment,) = pro.client.v1.invoice_payments.list({"invoice": pro.invoices[0].id}).data
    intent = str(payment.payment.payment_intent)
    for amount in (1000, 3900):
        pro.client.v1.refunds.create({"payment_intent": intent, "amount": amount})
    sync.sync_customer(pro.customer, now=clock.now())
    assert findings() == {}
    execute("UPDATE djstripe_refund SET amount = amount + 1 WHERE amount = 1000")
    ((_, sentence),) = findings()[NOT_MORE]
    assert sentence == "4901 of 4900 usd were given back"
    execute("UPDATE djstripe_refund SET stripe_data = jsonb_set(stripe_data, '{status}', '\"failed\"')")
    assert NOT_MORE not in findings()


# A refund that the bank sends back.


@pytest.fixture
def owed(payer: Payer) -> Payer:
    """bob, who paid 4900 and was given back 1900, which came back to us a day later."""
    payer.pay(payer.checkout("pro"), REFUND_FAILS)
    (invoice,) = payer.invoices
    assert invoice.id is not None
    lifecycle.refund(payer.row, invoice=invoice.id, amount=1900, reason="Asked", actor=None, now=clock.now())
    assert findings() == {}
    payer.travel(days=1)
    payer.sync()
    return payer


def refund_again(payer: Payer, amount: int) -> None:
    payer.travel(seconds=1)
    payer.client.v1.refunds.create({"charge": str(payer.refunds[0].charge), "amount": amount})
    payer.sync()


def listed() -> list[str]:
    """What a reconciliation leaves to staff."""
    return [f"{one.kind} {one.id} {one.sentence}" for one in reconciliation.reconcile(now=clock.now()).orphans]


def test_a_refund_that_failed_is_owed(owed: Payer, other: Payer) -> None:
    (refund,) = owed.refunds
    sentence = f"failed (unknown): 1900 usd of the charge {refund.charge} are owed to workspace "
    assert refund.status == "failed"
    assert findings() == {OWED: [(refund.id, f"{sentence}{owed.person.workspace.pk}")]}
    (line,) = listed()
    assert line.startswith(f"refund {refund.id} {sentence}")
    assert "write that into the refund's metadata at Stripe, as `settled`" in line
    # Once, and not again as an orphan of the report.
    assert set(findings()) == {OWED}
    assert reconciliation.reconcile(now=clock.now(), only=[owed.person.workspace.pk]).orphans != []
    assert reconciliation.reconcile(now=clock.now(), only=[other.person.workspace.pk]).orphans == []


def test_what_is_owed_is_settled_by_a_note_at_stripe(owed: Payer) -> None:
    (refund,) = owed.refunds
    owed.client.v1.refunds.update(refund.id, {"metadata": {"settled": "By bank transfer on 3 December"}})
    owed.sync()
    assert (findings(), listed()) == ({}, [])


@pytest.mark.parametrize("amount", [1900, 4900], ids=["as much", "all"])
def test_what_is_owed_is_settled_by_another_refund(owed: Payer, amount: int) -> None:
    refund_again(owed, amount)
    assert (findings(), listed()) == ({}, [])


def test_what_is_owed_is_not_settled_by_less_nor_by_another_that_fails(owed: Payer) -> None:
    (first,) = owed.refunds
    refund_again(owed, 100)
    assert [id for id, _ in findings()[OWED]] == [first.id]
    refund_again(owed, 1900)
    assert findings() == {}
    again = owed.refunds[0]
    owed.travel(days=1)
    owed.sync()
    # All three came back; of the two of one amount the later is the one that is owed.
    assert first.id not in {id for id, _ in findings()[OWED]} >= {again.id}


def test_a_price_that_is_not_ours_leaves_the_plan_and_is_found(pro: Payer, caplog: pytest.LogCaptureFixture) -> None:
    made = pro.client.v1.prices.create(
        {
            "unit_amount": 100,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product_data": {"name": "Made by hand"},
        }
    )
    moved: Any = {
        "items": [{"id": pro.one["items"].data[0].id, "price": made.id}],
        "proration_behavior": "none",
    }
    pro.client.v1.subscriptions.update(pro.one.id, moved)
    pro.sync()
    assert pro.sees()["plan"] == "pro"
    assert f"pays by {made.id}, which is no price of ours" in caplog.text
    workspace = pro.person.workspace.pk
    sentence = f"is active for workspace {workspace} by {made.id}, which is no price of ours"
    assert findings() == {OUR_PRICE: [(pro.one.id, sentence)]}
    pro.client.v1.subscriptions.cancel(pro.one.id)
    pro.sync()
    assert findings() == {}


def test_a_word_of_stripes_that_nobody_knows_is_found(pro: Payer) -> None:
    change(pro.person.workspace, stripe_status="limbo")
    assert pro.sees()["plan"] == "free"
    sentence = "is limbo at Stripe, a word that was never seen before: it counts as not paid"
    assert findings() == {KNOWN_WORD: [(pro.person.workspace.pk, sentence)]}


def test_a_suspended_workspace_that_is_charged_is_found(subscriber: Payer) -> None:
    Workspace.objects.filter(pk=subscriber.person.workspace.pk).update(suspended_at=clock.now())
    expected = {IN_VAIN: [(subscriber.person.workspace.pk, "is active at Stripe, and suspended")]}
    assert findings() == expected
    assert len(listed()) == 1
    assert findings() == expected
    subscriber.client.v1.subscriptions.update(subscriber.one.id, {"cancel_at_period_end": True})
    subscriber.sync()
    assert findings() == {}


def test_only_the_last_whole_reconciliation_counts(shop: object) -> None:
    def report(*, is_whole: bool = True, is_finished: bool = True, orphans: int = 0) -> None:
        found = [{"kind": "customer", "id": f"cus_{number}", "sentence": "is nobody's."} for number in range(orphans)]
        wall = clock.now()
        ReconciliationReport.objects.create(
            started_at=wall, finished_at=wall if is_finished else None, is_whole=is_whole, orphans=found
        )

    report(orphans=2)
    assert findings()[NO_ORPHANS] == [("cus_0", "the customer is nobody's."), ("cus_1", "the customer is nobody's.")]
    report(is_whole=False)
    report(is_finished=False)
    assert len(findings()[NO_ORPHANS]) == 2
    report()
    assert findings() == {}
