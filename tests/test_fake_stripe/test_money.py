"""Money that comes, goes back, and is fought over."""

import pytest
import stripe

from tests.fake_stripe.running import Refused
from tests.test_fake_stripe.conftest import Shop, dict_of


def paid_charge(shop: Shop, card: str = "pm_card_visa") -> str:
    shop.card(card)
    shop.subscribe()
    return shop.client.v1.charges.list({"customer": shop.customer}).data[0].id


def test_every_card_is_told_by_its_number_and_by_its_name(shop: Shop) -> None:
    by_number = shop.client.v1.payment_methods.create(
        {"type": "card", "card": {"number": "4000000000000341", "exp_month": 12, "exp_year": 2030, "cvc": "123"}}
    )
    assert by_number.card is not None
    assert by_number.card.last4 == "0341"
    attached = shop.client.v1.payment_methods.attach(by_number.id, {"customer": shop.customer})
    assert attached.customer == shop.customer
    with pytest.raises(stripe.CardError) as wrong:
        shop.client.v1.payment_methods.create(
            {"type": "card", "card": {"number": "4242424242424241", "exp_month": 1, "exp_year": 2030}}
        )
    assert wrong.value.code == "incorrect_number"
    for name in ("pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"):
        with pytest.raises(stripe.CardError):
            shop.client.v1.payment_methods.attach(name, {"customer": shop.customer})
    listed = shop.client.v1.customers.payment_methods.list(shop.customer, {"type": "card"}).data
    assert [each.id for each in listed] == [by_number.id]


def test_a_detached_card_is_nobodys_default_and_is_not_used_again(shop: Shop) -> None:
    method = shop.card()
    shop.client.v1.payment_methods.detach(method)
    settings = shop.client.v1.customers.retrieve(shop.customer).invoice_settings
    assert settings is not None
    assert settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.client.v1.payment_methods.attach(method, {"customer": shop.customer})


def test_a_refund_in_parts_is_told_by_the_charge(shop: Shop) -> None:
    charge = paid_charge(shop)
    refund = shop.client.v1.refunds.create({"charge": charge, "amount": 900, "reason": "requested_by_customer"})
    assert (refund.status, refund.amount) == ("succeeded", 900)
    part = shop.client.v1.charges.retrieve(charge, {"expand": ["refunds", "balance_transaction"]})
    assert (part.amount_refunded, part.refunded) == (900, False)
    assert part.refunds is not None
    assert [each.id for each in part.refunds.data] == [refund.id]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        shop.client.v1.refunds.create({"charge": charge, "amount": 1001})
    shop.client.v1.refunds.create({"charge": charge})
    assert shop.client.v1.charges.retrieve(charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as again:
        shop.client.v1.refunds.create({"charge": charge})
    assert again.value.code == "charge_already_refunded"
    assert shop.event_types().count("charge.refunded") == 2


def test_a_refund_by_its_payment_that_fails_can_be_made_again(shop: Shop) -> None:
    charge = shop.client.v1.charges.retrieve(paid_charge(shop))
    assert isinstance(charge.payment_intent, str)
    refund = shop.client.v1.refunds.create({"payment_intent": charge.payment_intent, "metadata": {"operation": "1"}})
    assert dict_of(refund.metadata) == {"operation": "1"}
    failed = shop.stand_in.control("POST", f"refunds/{refund.id}/fail")
    assert (failed["status"], failed["failure_reason"]) == ("failed", "unknown")
    assert shop.event_types()[-2:] == ["refund.updated", "refund.failed"]
    again = shop.client.v1.charges.retrieve(charge.id)
    assert (again.amount_refunded, again.refunded) == (0, False)
    assert shop.client.v1.refunds.create({"charge": charge.id}).status == "succeeded"
    with pytest.raises(Refused, match="This refund is failed"):
        shop.stand_in.control("POST", f"refunds/{refund.id}/fail")
    with pytest.raises(stripe.InvalidRequestError, match="positive integer"):
        shop.client.v1.refunds.create({"charge": paid_charge(shop), "amount": -1})


@pytest.mark.parametrize(
    ("card", "statuses"),
    [("pm_card_pendingRefund", ["pending", "succeeded"]), ("pm_card_refundFail", ["succeeded", "failed"])],
)
def test_cards_whose_refunds_take_a_day(shop: Shop, card: str, statuses: list[str]) -> None:
    refund = shop.client.v1.refunds.create({"charge": paid_charge(shop, card)})
    shop.stand_in.advance(days=1, seconds=5)
    assert [refund.status, shop.client.v1.refunds.retrieve(refund.id).status] == statuses


def test_a_card_is_renewed_by_its_bank(shop: Shop) -> None:
    method = shop.card()
    before = shop.client.v1.payment_methods.retrieve(method).card
    shop.stand_in.control("POST", f"payment_methods/{method}/update_automatically", last4="4321")
    after = shop.client.v1.payment_methods.retrieve(method).card
    assert before is not None
    assert after is not None
    assert (after.last4, after.exp_year) == ("4321", before.exp_year + 4)
    assert shop.event_types()[-1] == "payment_method.automatically_updated"


def test_of_a_card_that_is_taken_away_the_event_says_whose_it_was(shop: Shop) -> None:
    method = shop.card()
    shop.client.v1.payment_methods.detach(method)
    (event,) = shop.client.v1.events.list({"type": "payment_method.detached"}).data
    data = event.data.to_dict()
    assert (data["object"]["id"], data["object"]["customer"]) == (method, None)
    assert data["previous_attributes"] == {"customer": shop.customer}


def test_a_charge_whose_dispute_was_won_can_be_refunded(shop: Shop) -> None:
    charge = paid_charge(shop)
    shop.stand_in.control("POST", "disputes", charge=charge, outcome="fraud_warning")
    shop.stand_in.control("POST", "disputes", charge=charge, outcome="won")
    assert shop.client.v1.refunds.create({"charge": charge}).status == "succeeded"
    assert not shop.client.v1.radar.early_fraud_warnings.list({"charge": charge}).data[0].actionable


def test_a_credit_note_on_a_paid_invoice_gives_money_or_credit(shop: Shop) -> None:
    paid_charge(shop)
    invoice = shop.client.v1.invoices.list({"customer": shop.customer}).data[0]
    note = shop.client.v1.credit_notes.create(
        {"invoice": invoice.id, "amount": 1000, "refund_amount": 600, "credit_amount": 400}
    )
    assert (note.type, note.total, note.refunds[0].amount_refunded) == ("post_payment", 1000, 600)
    assert shop.client.v1.customers.retrieve(shop.customer).balance == -400
    assert shop.client.v1.invoices.retrieve(invoice.id).post_payment_credit_notes_amount == 1000
    with pytest.raises(stripe.InvalidRequestError, match="more than its total"):
        shop.client.v1.credit_notes.create({"invoice": invoice.id, "amount": 1000, "credit_amount": 1000})


def test_a_credit_note_on_an_open_invoice_lowers_it(shop: Shop) -> None:
    shop.card("pm_card_chargeCustomerFail")
    subscription = shop.subscribe()
    invoice = shop.latest_invoice(subscription)
    shop.client.v1.credit_notes.create({"invoice": invoice.id, "amount": 900})
    assert shop.latest_invoice(subscription).amount_due == 1000
    shop.client.v1.invoices.pay(invoice.id, {"payment_method": shop.card()})
    assert shop.client.v1.charges.list({"customer": shop.customer}).data[0].amount == 1000


def test_a_card_that_is_disputed_later(shop: Shop) -> None:
    charge = paid_charge(shop, "pm_card_createDispute")
    assert shop.client.v1.disputes.list().data == []
    shop.stand_in.advance(days=1, seconds=5)
    dispute = shop.client.v1.disputes.list({"charge": charge}).data[0]
    assert (dispute.status, dispute.amount) == ("needs_response", 1900)
    assert shop.client.v1.charges.retrieve(charge).disputed
    shop.client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Alice"}, "submit": True})
    assert shop.client.v1.disputes.retrieve(dispute.id).status == "under_review"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client.v1.refunds.create({"charge": charge})
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize(
    ("outcome", "last"),
    [
        ("won", ["charge.dispute.funds_reinstated", "charge.dispute.closed"]),
        ("lost", ["charge.updated", "charge.dispute.closed"]),
    ],
)
def test_a_dispute_is_opened_and_decided_by_control(shop: Shop, outcome: str, last: list[str]) -> None:
    charge = paid_charge(shop)
    opened = shop.stand_in.control("POST", "disputes", charge=charge)
    assert opened["status"] == "needs_response"
    decided = shop.stand_in.control("POST", "disputes", charge=charge, outcome=outcome)
    assert (decided["id"], decided["status"]) == (opened["id"], outcome)
    types = shop.event_types()
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= set(types)
    assert types[-2:] == last
    with pytest.raises(Refused, match="No such charge"):
        shop.stand_in.control("POST", "disputes", charge="ch_none", outcome="won")


def test_an_early_fraud_warning_names_the_charge(shop: Shop) -> None:
    charge = paid_charge(shop)
    shop.stand_in.control("POST", "disputes", charge=charge, outcome="fraud_warning")
    warning = shop.client.v1.radar.early_fraud_warnings.list({"charge": charge}).data[0]
    assert (warning.charge, warning.actionable) == (charge, True)
    assert "radar.early_fraud_warning.created" in shop.event_types()


def test_an_invoice_by_hand_from_draft_to_paid(shop: Shop) -> None:
    shop.card()
    shop.client.v1.invoice_items.create({"customer": shop.customer, "amount": 700, "currency": "usd"})
    draft = shop.client.v1.invoices.create({"customer": shop.customer, "pending_invoice_items_behavior": "include"})
    assert (draft.status, draft.total, draft.number) == ("draft", 700, None)
    opened = shop.client.v1.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.amount_due) == ("open", 700)
    assert opened.number is not None
    paid = shop.client.v1.invoices.pay(draft.id)
    assert (paid.status, paid.billing_reason) == ("paid", "manual")
    payment = shop.client.v1.invoice_payments.list({"invoice": draft.id}).data[0]
    assert (payment.status, payment.amount_paid) == ("paid", 700)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        shop.client.v1.invoices.pay(draft.id)


def test_an_invoice_is_sent_by_hand(shop: Shop) -> None:
    shop.client.v1.invoice_items.create({"customer": shop.customer, "amount": 700, "currency": "usd"})
    draft = shop.client.v1.invoices.create(
        {
            "customer": shop.customer,
            "pending_invoice_items_behavior": "include",
            "collection_method": "send_invoice",
            "days_until_due": 14,
        }
    )
    assert shop.client.v1.invoices.send_invoice(draft.id).status == "open"
    assert shop.event_types()[-1] == "invoice.sent"
    assert [line.amount for line in shop.client.v1.invoices.line_items.list(draft.id).data] == [700]


def test_an_invoice_is_voided_or_given_up(shop: Shop) -> None:
    for method, status in (("void_invoice", "void"), ("mark_uncollectible", "uncollectible")):
        shop.client.v1.invoice_items.create({"customer": shop.customer, "amount": 700, "currency": "usd"})
        draft = shop.client.v1.invoices.create({"customer": shop.customer, "pending_invoice_items_behavior": "include"})
        shop.client.v1.invoices.finalize_invoice(draft.id)
        assert getattr(shop.client.v1.invoices, method)(draft.id).status == status


def test_coupons_for_once_for_months_and_in_money(shop: Shop) -> None:
    shop.card()
    repeating = shop.client.v1.coupons.create({"percent_off": 10, "duration": "repeating", "duration_in_months": 2})
    fixed = shop.client.v1.coupons.create({"amount_off": 400, "currency": "usd", "duration": "once"})
    subscription = shop.subscribe(discounts=[{"coupon": repeating.id}, {"coupon": fixed.id}])
    assert shop.latest_invoice(subscription).total == 1900 - 190 - 400
    totals = []
    for _ in range(2):
        shop.stand_in.advance(days=32)
        totals.append(shop.latest_invoice(subscription).total)
    assert totals == [1710, 1900]


def test_a_coupon_that_is_used_up_is_refused(shop: Shop) -> None:
    shop.card()
    coupon = shop.client.v1.coupons.create({"percent_off": 10, "duration": "once", "max_redemptions": 1})
    shop.subscribe(discounts=[{"coupon": coupon.id}])
    assert shop.client.v1.coupons.retrieve(coupon.id).valid is False
    with pytest.raises(stripe.InvalidRequestError, match="used up"):
        shop.subscribe(discounts=[{"coupon": coupon.id}])


def test_a_payment_intent_without_an_invoice(shop: Shop) -> None:
    method = shop.card()
    intent = shop.client.v1.payment_intents.create({"amount": 500, "currency": "usd", "customer": shop.customer})
    assert shop.client.v1.payment_intents.confirm(intent.id, {"payment_method": method}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.payment_intents.cancel(intent.id)
