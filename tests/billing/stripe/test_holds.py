"""Disputes and warnings of fraud: on hold until they are decided. All of it is read from what Stripe holds."""

from collections.abc import Callable

import pytest

from accounts import clock
from billing import lifecycle
from billing.lifecycle.standing import NoChange
from billing.models import AuditEntry, SubscriptionChange
from tests.billing.stripe.payer import Payer
from tests.people import Person, put_on


def charge_of(payer: Payer) -> str:
    return payer.client.v1.charges.list({"customer": payer.customer}).data[0].id


def dispute(payer: Payer, outcome: str, charge: str | None = None) -> None:
    payer.stand_in.control("POST", "disputes", charge=charge or charge_of(payer), outcome=outcome)
    payer.sync()


def test_an_open_dispute_is_free_until_it_is_won(pro: Payer) -> None:
    pro.run(3)
    dispute(pro, "needs_response")
    assert (pro.sees()["plan"], pro.row.stripe_status) == ("free", "active")
    assert pro.row.hold_reason.startswith("d")
    dispute(pro, "won")
    seen = pro.sees()
    # What was used before it is still used.
    assert (seen["plan"], seen["monthly_agent_runs"]) == ("pro", 3)
    assert (pro.row.on_hold_since, pro.row.hold_reason) == (None, "")


def test_a_warning_of_fraud_holds_too_and_staff_release_it(pro: Payer, staff: Person) -> None:
    dispute(pro, "fraud_warning")
    assert pro.sees()["plan"] == "free"
    lifecycle.release_hold(pro.row, reason="Spoken to them", actor=staff.user, now=clock.now())
    assert pro.sees()["plan"] == "pro"
    pro.sync()
    assert pro.sees()["plan"] == "pro"
    entry = AuditEntry.objects.get(action="release hold")
    assert (entry.reason, entry.actor_id) == ("Spoken to them", staff.user.pk)
    change = SubscriptionChange.objects.filter(subscription=pro.row).first()
    assert change is not None
    assert (change.cause, change.actor) == ("release", staff.user)
    with pytest.raises(NoChange):
        lifecycle.release_hold(pro.row, reason="Again", actor=staff.user, now=clock.now())
    # A dispute of the same payment is another matter.
    dispute(pro, "needs_response")
    assert pro.sees()["plan"] == "free"


@pytest.mark.django_db(transaction=True)
def test_a_dispute_that_is_lost_ends_the_subscription(pro: Payer, work: Callable[[], None]) -> None:
    dispute(pro, "lost")
    work()
    assert pro.one.status == "canceled"
    assert (pro.sees()["plan"], pro.row.stripe_status) == ("free", "canceled")
    work()


@pytest.mark.django_db(transaction=True)
def test_what_was_bought_after_a_lost_dispute_goes_on(pro: Payer, work: Callable[[], None]) -> None:
    charge = charge_of(pro)
    pro.client.v1.subscriptions.cancel(pro.one.id)
    pro.sync()
    pro.buy("basic")
    dispute(pro, "lost", charge)
    work()
    assert (pro.sees()["plan"], pro.sees()["status"]) == ("basic", "active")


def test_a_comp_goes_on_beside_a_dispute(pro: Payer, staff: Person) -> None:
    put_on(pro.person.workspace, "basic")
    dispute(pro, "needs_response")
    assert (pro.sees()["plan"], pro.sees()["source"]) == ("basic", "comp")


def test_a_refund_lets_the_period_run_out_or_ends_it_as_the_act_says(pro: Payer, other: Payer, staff: Person) -> None:
    other.buy("pro")
    for payer, ends_access, plan in ((pro, False, "pro"), (other, True, "free")):
        (invoice,) = payer.invoices
        assert invoice.id is not None
        given = lifecycle.refund(
            payer.row, invoice=invoice.id, ends_access=ends_access, reason="Asked", actor=staff.user, now=clock.now()
        )
        assert (given, payer.sees()["plan"]) == (4900, plan)


def test_a_partial_refund_changes_nothing(pro: Payer, staff: Person) -> None:
    before = pro.row.facts()
    (invoice,) = pro.invoices
    assert invoice.id is not None
    lifecycle.refund(pro.row, invoice=invoice.id, amount=100, reason="Asked", actor=staff.user, now=clock.now())
    assert pro.row.facts() == before


@pytest.mark.parametrize("act", ["void", "mark_uncollectible"])
def test_an_invoice_that_is_given_up_leaves_its_period_unpaid(subscriber: Payer, act: str) -> None:
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31, hours=2)
    (owed,) = [invoice for invoice in subscriber.invoices if invoice.status == "open"]
    service = subscriber.client.v1.invoices
    {"void": service.void_invoice, "mark_uncollectible": service.mark_uncollectible}[act](str(owed.id))
    subscriber.sync()
    assert not subscriber.row.is_period_paid
    assert subscriber.sees()["monthly_agent_runs_limit"] in (10, 100)


def test_a_sync_takes_at_most_six_calls_also_with_a_dispute(pro: Payer, calls: Callable[[], list[str]]) -> None:
    dispute(pro, "needs_response")
    pro.sync()
    calls()
    pro.sync()
    assert len(calls()) == 6
