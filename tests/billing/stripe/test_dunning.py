"""What is owed, and what staff do about it: retried, voided, given up, and the owner reminded of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from djstripe.models import Invoice
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts import clock
from accounts.models import User
from billing import dunning, jobs, lifecycle
from billing.dunning import Order, Standing
from billing.gateway import PaymentFailed, StripeUnavailable
from billing.lifecycle.standing import NoChange
from billing.models import AuditEntry
from tests.billing.stripe.payer import ASKS_EACH_TIME, Payer
from tests.people import Person

REASON = "They asked for it"


def lapse(payer: Payer, card: str = "pm_card_chargeCustomerFail") -> str:
    """The renewal is not paid; the open invoice."""
    payer.card(card)
    payer.travel(days=31, hours=2)
    payer.sync()
    (owed,) = dunning.open_of(payer.row)
    return owed.id


def act(staff: Person) -> dict[str, Any]:
    return {"reason": REASON, "actor": staff.user, "now": clock.now()}


def status(payer: Payer, invoice: str) -> str | None:
    return payer.client.v1.invoices.retrieve(invoice).status


def trail() -> list[tuple[str, dict[str, Any]]]:
    return list(AuditEntry.objects.order_by("id").values_list("action", "after"))


@pytest.fixture(autouse=True)
def no_patience(settings: Any) -> None:
    settings.STRIPE_RETRIES = 0


def owed(standing: Standing = Standing.OWED, order: Order = Order.AGE) -> list[str]:
    return [one.subscription.workspace.email for one in dunning.open_invoices(standing, order, page=1)[0]]


def test_a_declined_renewal_is_owed_with_all_that_is_known_of_it(pro: Payer) -> None:
    assert owed() == []
    invoice = lapse(pro)
    (one,) = dunning.open_invoices(Standing.OWED, Order.AGE, page=1)[0]
    at_stripe = pro.client.v1.invoices.retrieve(invoice)
    assert (one.id, one.number, one.amount, one.currency) == (invoice, at_stripe.number, 4900, "usd")
    assert (one.url, one.attempts) == (at_stripe.hosted_invoice_url, 1)
    assert one.next_attempt_at is not None
    assert one.next_attempt_at.timestamp() == at_stripe.next_payment_attempt
    assert (one.reason, one.card) == ("Your card was declined.", "Visa 0341")
    assert (one.standing, one.wants_action) == (Standing.PAST_DUE, False)
    assert one.owner == pro.person.user
    assert one.grace_end == one.created_at + timedelta(days=7)
    assert owed(Standing.PAST_DUE) == ["bob@example.com"]
    assert owed(Standing.UNPAID) == owed(Standing.ACTION) == owed(Standing.ENDED) == owed(Standing.OFFER) == []


def test_what_a_bank_wants_confirmed_is_told_apart(pro: Payer) -> None:
    lapse(pro, "pm_card_authenticationRequired")
    (one,) = dunning.open_invoices(Standing.ACTION, Order.AGE, page=1)[0]
    assert (one.wants_action, one.reason) == (True, "The bank wants the customer to confirm it.")
    assert one.standing == Standing.PAST_DUE


def test_a_card_that_was_taken_away_is_the_reason(pro: Payer) -> None:
    pro.client.v1.customers.update(pro.customer, {"invoice_settings": {"default_payment_method": ""}})
    pro.client.v1.subscriptions.update(pro.one.id, {"default_payment_method": ""})
    pro.travel(days=31, hours=2)
    pro.sync()
    (one,) = dunning.open_of(pro.row)
    assert (one.reason, one.card) == ("There is nothing to pay by.", "")


@pytest.mark.parametrize(("end", "standing"), [("unpaid", Standing.UNPAID), ("canceled", Standing.ENDED)])
def test_after_the_last_try_it_is_still_owed(pro: Payer, end: str, standing: Standing) -> None:
    pro.stand_in.control("POST", "dunning", end=end, retry_days=[])
    lapse(pro)
    assert owed() == owed(standing) == ["bob@example.com"]
    assert owed(Standing.PAST_DUE) == []


def test_an_upgrade_that_waits_is_an_offer_and_no_debt(subscriber: Payer) -> None:
    subscriber.card("pm_card_authenticationRequired")
    assert subscriber.post("change-plan", {"plan": "pro"}).status_code == 402
    assert owed() == []
    assert owed(Standing.OFFER) == owed(Standing.ACTION) == ["bob@example.com"]
    assert dunning.open_of(subscriber.row)[0].standing == Standing.OFFER


def test_the_oldest_comes_first_or_the_largest(pro: Payer, other: Payer) -> None:
    other.buy("basic")
    other.card("pm_card_chargeCustomerFail")
    other.travel(hours=1)
    lapse(pro)
    other.sync()
    pro.sync()
    Invoice.objects.filter(customer_id=other.customer, stripe_data__status="open").update(
        created=clock.now() - timedelta(days=40)
    )
    assert owed() == ["charlie@example.com", "bob@example.com"]
    assert owed(order=Order.AMOUNT) == ["bob@example.com", "charlie@example.com"]


def test_amounts_are_compared_in_whole_units_of_their_currencies(pro: Payer, other: Payer) -> None:
    other.buy("basic")
    other.card("pm_card_chargeCustomerFail")
    lapse(pro)
    other.sync()
    # 1,900 yen are many, 1.900 dinar few.
    for currency, first in (("jpy", "charlie@example.com"), ("kwd", "bob@example.com")):
        for invoice in Invoice.objects.filter(customer_id=other.customer):
            invoice.stripe_data["currency"] = currency
            invoice.save()
        assert owed(order=Order.AMOUNT)[0] == first


def test_a_retry_collects_and_is_written_down(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    pro.card("pm_card_visa")
    lifecycle.collect_now(pro.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), pro.row.stripe_status, owed()) == ("paid", "active", [])
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.actor_id) == ("retry payment", f"stripe:{invoice}", staff.user.pk)
    assert (entry.workspace_id, entry.reason) == (pro.person.workspace.pk, REASON)
    assert (entry.before, entry.after) == ({"status": "open", "owed": "49.00 USD"}, {"status": "paid"})
    with pytest.raises(NoChange, match="paid already"):
        lifecycle.collect_now(pro.row, invoice=invoice, **act(staff))
    assert AuditEntry.objects.count() == 1


def test_a_retry_that_is_declined_is_written_down_too(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    with pytest.raises(PaymentFailed):
        lifecycle.collect_now(pro.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), pro.row.stripe_status) == ("open", "past_due")
    assert trail() == [("retry payment", {"status": "open", "declined": "Your card was declined."})]


def test_a_retry_whose_answer_was_lost_is_not_made_twice(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    pro.card("pm_card_visa")
    path = f"POST /v1/invoices/{invoice}/pay"
    pro.stand_in.control("POST", "faults", path=path, status=500, times=1, after=True)
    with pytest.raises(StripeUnavailable):
        lifecycle.collect_now(pro.row, invoice=invoice, **act(staff))
    assert trail() == [("retry payment", {"status": "not known, Stripe gave no answer"})]
    with pytest.raises(NoChange, match="paid already"):
        lifecycle.collect_now(pro.row, invoice=invoice, **act(staff))
    assert pro.row.stripe_status == "active"
    charges = pro.client.v1.charges.list({"customer": pro.customer}).data
    assert [charge.amount for charge in charges if charge.paid] == [4900, 4900]


def test_a_void_invoice_is_not_owed_and_its_period_stays_unpaid(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    lifecycle.void(pro.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), pro.row.stripe_status, pro.row.is_period_paid, owed()) == (
        "void",
        "active",
        False,
        [],
    )
    assert trail() == [("void invoice", {"status": "void"})]
    with pytest.raises(NoChange, match="void already"):
        lifecycle.void(pro.row, invoice=invoice, **act(staff))


def test_what_is_given_up_is_a_loss_and_can_still_be_paid(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    lifecycle.give_up(pro.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), owed()) == ("uncollectible", [])
    assert trail() == [("give up invoice", {"status": "uncollectible"})]
    with pytest.raises(NoChange, match="uncollectible already"):
        lifecycle.give_up(pro.row, invoice=invoice, **act(staff))


@pytest.mark.parametrize("name", ["collect_now", "void", "give_up", "send_pay_link"])
def test_another_workspaces_invoice_is_left_alone(pro: Payer, other: Payer, staff: Person, name: str) -> None:
    other.buy("basic")
    invoice = lapse(pro)
    other.sync()
    with pytest.raises(ValueError, match="of this workspace"):
        getattr(lifecycle, name)(other.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), trail(), pro.row.stripe_status) == ("open", [], "past_due")


@pytest.mark.parametrize("name", ["collect_now", "void", "give_up"])
def test_with_stripe_away_nothing_is_done_and_nothing_written(pro: Payer, staff: Person, name: str) -> None:
    invoice = lapse(pro)
    pro.stand_in.control("POST", "faults", path="GET /v1/customers", status=500, times=1)
    with pytest.raises(StripeUnavailable):
        getattr(lifecycle, name)(pro.row, invoice=invoice, **act(staff))
    assert (status(pro, invoice), trail()) == ("open", [])


def asked() -> list[dict[str, Any]]:
    waiting = ProcrastinateJob.objects.filter(task_name="billing.jobs.send_pay_link")
    return [job.args for job in waiting]


def test_the_owner_is_written_to_once_a_day(pro: Payer, staff: Person) -> None:
    invoice = lapse(pro)
    lifecycle.send_pay_link(pro.row, invoice=invoice, **act(staff))
    with pytest.raises(NoChange, match="today already"):
        lifecycle.send_pay_link(pro.row, invoice=invoice, **act(staff))
    assert asked() == [{"workspace_id": str(pro.person.workspace.pk), "invoice": invoice}]
    assert trail() == [("send pay link", {"owed": "49.00 USD"})]
    pro.travel(days=1)
    lifecycle.send_pay_link(pro.row, invoice=invoice, **act(staff))
    assert len(asked()) == 2


def mailed(payer: Payer, invoice: str) -> list[str]:
    mail.outbox.clear()
    jobs.send_pay_link(workspace_id=str(payer.person.workspace.pk), invoice=invoice)
    return [f"{message.to} {message.subject}\n{message.body}" for message in mail.outbox]


def test_the_mail_leads_to_the_invoices_page(pro: Payer) -> None:
    invoice = lapse(pro)
    (text,) = mailed(pro, invoice)
    assert text.startswith("['bob@example.com'] A payment for AI-Manus is open\nHello Bob,")
    (one,) = dunning.open_of(pro.row)
    assert f"\n{one.url}\n" in text
    assert "the payment of $49.00 for your plan did not go through" in text
    assert "Your plan stays as it is until" in text
    pro.travel(days=8)
    (text,) = mailed(pro, invoice)
    assert "stays as it is" not in text


def test_the_mail_speaks_the_owners_language(pro: Payer) -> None:
    invoice = lapse(pro)
    User.objects.filter(pk=pro.person.user.pk).update(language="de")
    (text,) = mailed(pro, invoice)
    assert "Guten Tag Bob," in text
    assert "49,00\N{NO-BREAK SPACE}$" in text
    assert "payment" not in text


def test_nobody_is_reminded_of_what_was_paid_meanwhile(pro: Payer) -> None:
    invoice = lapse(pro)
    pro.stand_in.control("POST", f"invoices/{invoice}/pay", card=ASKS_EACH_TIME, authentication="pass")
    pro.sync()
    assert mailed(pro, invoice) == []


def test_nobody_is_written_to_who_has_no_account(pro: Payer) -> None:
    invoice = lapse(pro)
    User.objects.filter(pk=pro.person.user.pk).update(is_active=False)
    assert mailed(pro, invoice) == []


def test_a_page_is_three_statements_however_much_is_owed(
    pro: Payer, other: Payer, statements: Callable[[], Any]
) -> None:
    def count() -> int:
        with statements() as seen:
            dunning.open_invoices(Standing.OWED, Order.AMOUNT, page=1)
        return len(seen)

    other.buy("basic")
    other.card("pm_card_chargeCustomerFail")
    lapse(pro)
    before = count()
    other.sync()
    assert len(owed()) == 2
    assert count() == before == 3
