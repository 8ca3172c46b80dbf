"""The life of a subscription: all eight statuses, renewal, dunning, cancelling, pausing."""

from itertools import pairwise
from typing import Any

import pytest
import stripe

from tests.fake_stripe.running import StandIn
from tests.test_fake_stripe.conftest import Shop, dict_of, item_of, price_of

DAY = 86400


def test_a_paid_first_invoice_makes_it_active(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    assert subscription.status == "active"
    item = item_of(subscription)
    assert item.current_period_start == subscription.created
    assert 28 * DAY <= item.current_period_end - item.current_period_start <= 31 * DAY
    invoice = shop.latest_invoice(subscription)
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid) == ("paid", "subscription_create", 1900)
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id


def test_without_a_card_it_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        shop.subscribe()
    assert shop.client.v1.subscriptions.list({"status": "all"}).data == []


def test_incomplete_becomes_active_when_it_is_paid(shop: Shop) -> None:
    shop.card("pm_card_chargeCustomerFail")
    subscription = shop.subscribe()
    assert subscription.status == "incomplete"
    assert isinstance(subscription.latest_invoice, str)
    with pytest.raises(stripe.CardError):
        shop.client.v1.invoices.pay(subscription.latest_invoice)
    assert shop.event_types().count("invoice.payment_failed") == 2
    shop.client.v1.invoices.pay(subscription.latest_invoice, {"payment_method": shop.card()})
    assert shop.subscription(subscription.id).status == "active"


def test_incomplete_expires_after_23_hours_and_its_invoice_is_void(shop: Shop) -> None:
    shop.card("pm_card_chargeCustomerFail")
    subscription = shop.subscribe()
    shop.stand_in.advance(hours=22)
    assert shop.subscription(subscription.id).status == "incomplete"
    shop.stand_in.advance(hours=1, seconds=5)
    assert shop.subscription(subscription.id).status == "incomplete_expired"
    assert shop.latest_invoice(subscription).status == "void"


def test_authentication_makes_it_incomplete_with_an_action(shop: Shop) -> None:
    shop.card("pm_card_authenticationRequired")
    subscription = shop.subscribe()
    assert subscription.status == "incomplete"
    invoice = shop.latest_invoice(subscription)
    assert "invoice.payment_action_required" in shop.event_types()
    with pytest.raises(stripe.CardError) as asked:
        shop.client.v1.invoices.pay(invoice.id)
    assert asked.value.code == "invoice_payment_intent_requires_action"
    shop.stand_in.control("POST", f"invoices/{invoice.id}/pay")
    assert shop.subscription(subscription.id).status == "active"


def test_a_renewal_is_a_draft_for_an_hour_and_the_period_has_moved(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    end = item_of(subscription).current_period_end
    shop.stand_in.advance(seconds=end - subscription.created + 5)
    renewed = shop.subscription(subscription.id)
    assert item_of(renewed).current_period_start == end
    draft = shop.latest_invoice(subscription)
    assert (draft.status, draft.billing_reason, draft.period_end) == ("draft", "subscription_cycle", end)
    assert draft.lines.data[0].period.start == end
    shop.stand_in.advance(hours=1)
    assert shop.latest_invoice(subscription).status == "paid"
    assert "invoice.upcoming" in shop.event_types()


def test_a_year_of_months_keeps_its_day(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.stand_in.advance(days=365, hours=2)
    invoices = list(shop.client.v1.invoices.list({"limit": 100}).auto_paging_iter())
    assert (len(invoices), {each.status for each in invoices}) == (13, {"paid"})
    assert len({each.number for each in invoices}) == 13
    assert shop.subscription(subscription.id).status == "active"


def test_dunning_retries_and_cancels(shop: Shop) -> None:
    subscription = shop.stand_in.pay(shop.checkout(subscription_data={"trial_period_days": 10}).id, "4000000000000341")
    id = subscription["subscription"]
    shop.stand_in.advance(days=10, hours=2)
    assert shop.subscription(id).status == "past_due"
    invoice = shop.latest_invoice(shop.subscription(id))
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt is not None
    shop.stand_in.advance(days=14)
    assert shop.subscription(id).status == "past_due"
    shop.stand_in.advance(days=2)
    ended = shop.subscription(id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"


@pytest.mark.parametrize("end", ["unpaid", "past_due"])
def test_dunning_ends_as_configured_and_a_new_card_recovers_it(shop: Shop, end: str) -> None:
    shop.stand_in.control("POST", "dunning", end=end, retry_days=[1])
    id = shop.stand_in.pay(shop.checkout(subscription_data={"trial_period_days": 10}).id, "4000000000000341")[
        "subscription"
    ]
    shop.stand_in.advance(days=12)
    assert shop.subscription(id).status == end
    invoice = shop.latest_invoice(shop.subscription(id))
    shop.client.v1.invoices.pay(invoice.id, {"payment_method": shop.card()})
    assert shop.subscription(id).status == "active"


def test_an_attempt_by_hand_leaves_the_automatic_ones_alone(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.stand_in.advance(days=32)
    before = shop.latest_invoice(subscription)
    assert shop.client.v1.customers.retrieve(shop.customer).delinquent
    for _ in range(4):
        with pytest.raises(stripe.CardError):
            shop.client.v1.invoices.pay(before.id)
    after = shop.latest_invoice(subscription)
    assert (after.attempt_count, after.next_payment_attempt) == (1, before.next_payment_attempt)
    assert shop.subscription(subscription.id).status == "past_due"


def test_without_retries_dunning_ends_at_once(shop: Shop) -> None:
    shop.card()
    shop.stand_in.control("POST", "dunning", end="unpaid", retry_days=[])
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.stand_in.advance(days=31, hours=2)
    assert shop.subscription(subscription.id).status == "unpaid"


def test_what_was_given_up_can_be_paid_after_all(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.stand_in.advance(days=32)
    invoice = shop.latest_invoice(subscription)
    assert shop.client.v1.invoices.mark_uncollectible(invoice.id).status == "uncollectible"
    assert not shop.client.v1.customers.retrieve(shop.customer).delinquent
    assert shop.client.v1.invoices.pay(invoice.id, {"payment_method": shop.card()}).status == "paid"
    assert shop.subscription(subscription.id).status == "active"


def test_a_cancellation_at_the_periods_end_moves_with_the_period(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(cancel_at_period_end=True)
    shop.stand_in.advance(days=5)
    moved = shop.upgrade(subscription)
    assert moved.cancel_at == item_of(moved).current_period_end


def test_a_finalization_fails_and_is_tried_again_in_an_hour(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    end = item_of(subscription).current_period_end
    shop.stand_in.advance(seconds=end - subscription.created + 60)
    draft = shop.latest_invoice(subscription)
    failed = shop.stand_in.control("POST", f"invoices/{draft.id}/fail_finalization")
    assert (failed["status"], failed["last_finalization_error"]["code"]) == ("draft", "customer_tax_location_invalid")
    assert shop.event_types()[-1] == "invoice.finalization_failed"
    shop.stand_in.advance(hours=1, seconds=5)
    paid = shop.latest_invoice(subscription)
    assert (paid.status, paid.last_finalization_error) == ("paid", None)


def test_an_unpaid_subscription_gets_drafts_that_stay_drafts(shop: Shop) -> None:
    shop.stand_in.control("POST", "dunning", end="unpaid", retry_days=[1])
    id = shop.stand_in.pay(shop.checkout(subscription_data={"trial_period_days": 10}).id, "4000000000000341")[
        "subscription"
    ]
    shop.stand_in.advance(days=60)
    latest = shop.latest_invoice(shop.subscription(id))
    assert (latest.status, latest.auto_advance) == ("draft", False)


def test_a_new_card_recovers_at_the_next_attempt(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.stand_in.advance(days=32)
    assert shop.subscription(subscription.id).status == "past_due"
    shop.card()
    shop.stand_in.advance(days=4)
    assert shop.subscription(subscription.id).status == "active"


def test_cancel_at_the_periods_end_and_take_it_back(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    ending = shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (ending.cancel_at_period_end, ending.cancel_at) == (True, item_of(subscription).current_period_end)
    kept = shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (kept.cancel_at, kept.canceled_at, kept.status) == (None, None, "active")
    shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    shop.stand_in.advance(days=32)
    ended = shop.subscription(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", item_of(subscription).current_period_end)
    assert len(shop.client.v1.invoices.list().data) == 1


def test_cancel_now(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    assert shop.client.v1.subscriptions.cancel(subscription.id).status == "canceled"
    assert "customer.subscription.deleted" in shop.event_types()
    assert shop.client.v1.subscriptions.list({"customer": shop.customer}).data == []
    assert len(shop.client.v1.subscriptions.list({"customer": shop.customer, "status": "all"}).data) == 1
    with pytest.raises(stripe.InvalidRequestError, match="A canceled subscription"):
        shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})


def test_the_draft_of_a_cancelled_subscription_stays_a_draft(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    end = item_of(subscription).current_period_end
    shop.stand_in.advance(seconds=end - subscription.created + 60)
    shop.client.v1.subscriptions.cancel(subscription.id)
    shop.stand_in.advance(days=3)
    assert shop.latest_invoice(subscription).status == "draft"


def test_a_trial_warns_three_days_before_and_then_charges(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(trial_period_days=14)
    assert (subscription.status, shop.latest_invoice(subscription).total) == ("trialing", 0)
    shop.stand_in.advance(days=10)
    assert "customer.subscription.trial_will_end" not in shop.event_types()
    shop.stand_in.advance(days=1, seconds=5)
    assert "customer.subscription.trial_will_end" in shop.event_types()
    shop.stand_in.advance(days=3, hours=1)
    assert shop.subscription(subscription.id).status == "active"
    assert shop.latest_invoice(subscription).amount_paid == 1900


def test_a_trial_without_a_card_pauses_and_is_resumed(shop: Shop) -> None:
    subscription = shop.subscribe(
        trial_period_days=14, trial_settings={"end_behavior": {"missing_payment_method": "pause"}}
    )
    shop.stand_in.advance(days=15)
    assert shop.subscription(subscription.id).status == "paused"
    shop.card()
    assert shop.client.v1.subscriptions.resume(subscription.id).status == "active"
    types = shop.event_types()
    assert {"customer.subscription.paused", "customer.subscription.resumed"} <= set(types)


def test_a_resumption_that_is_not_paid_in_time_leaves_it_paused(shop: Shop) -> None:
    subscription = shop.subscribe(
        trial_period_days=14, trial_settings={"end_behavior": {"missing_payment_method": "pause"}}
    )
    shop.stand_in.advance(days=15)
    shop.card("pm_card_chargeCustomerFail")
    assert shop.client.v1.subscriptions.resume(subscription.id).status == "paused"
    assert shop.latest_invoice(subscription).status == "open"
    shop.stand_in.advance(hours=23, seconds=5)
    assert shop.latest_invoice(subscription).status == "void"
    shop.card()
    assert shop.client.v1.subscriptions.resume(subscription.id).status == "active"


def test_a_trial_without_a_card_can_end_it(shop: Shop) -> None:
    subscription = shop.subscribe(
        trial_period_days=14, trial_settings={"end_behavior": {"missing_payment_method": "cancel"}}
    )
    shop.stand_in.advance(days=15)
    assert shop.subscription(subscription.id).status == "canceled"


@pytest.mark.parametrize(
    ("behavior", "status"), [("keep_as_draft", "draft"), ("void", "void"), ("mark_uncollectible", "uncollectible")]
)
def test_paused_collection_leaves_the_status_and_takes_no_money(shop: Shop, behavior: str, status: str) -> None:
    shop.card()
    subscription = shop.subscribe()
    end = item_of(subscription).current_period_end
    shop.client.v1.subscriptions.update(
        subscription.id,
        {"pause_collection": {"behavior": behavior, "resumes_at": end + 5 * DAY}},
    )
    shop.stand_in.advance(days=32)
    paused = shop.subscription(subscription.id)
    assert (paused.status, shop.latest_invoice(subscription).status) == ("active", status)
    shop.stand_in.advance(days=6)
    assert shop.subscription(subscription.id).pause_collection is None


def test_an_invoice_that_is_sent_becomes_overdue(shop: Shop) -> None:
    subscription = shop.subscribe(collection_method="send_invoice", days_until_due=7)
    assert (subscription.status, shop.latest_invoice(subscription).status) == ("active", "draft")
    shop.stand_in.advance(hours=2)
    assert shop.latest_invoice(subscription).status == "open"
    shop.stand_in.advance(days=8)
    assert shop.subscription(subscription.id).status == "past_due"
    assert "invoice.overdue" in shop.event_types()
    shop.client.v1.invoices.pay(shop.latest_invoice(subscription).id, {"paid_out_of_band": True})
    assert shop.subscription(subscription.id).status == "active"


def test_a_deleted_customer_takes_its_subscriptions_along(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.client.v1.customers.delete(shop.customer)
    assert shop.client.v1.customers.retrieve(shop.customer).deleted is True
    assert shop.subscription(subscription.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.client.v1.customers.update(shop.customer, {"email": "b@example.com"})


def test_items_are_added_changed_and_removed(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    added = shop.client.v1.subscription_items.create({"subscription": subscription.id, "price": shop.pro})
    listed = shop.client.v1.subscription_items.list({"subscription": subscription.id}).data
    assert {each.id for each in listed} == {item_of(subscription).id, added.id}
    assert shop.client.v1.subscription_items.update(added.id, {"quantity": 2}).quantity == 2
    shop.client.v1.subscription_items.delete(added.id)
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    with pytest.raises(stripe.InvalidRequestError, match="at least one item"):
        shop.client.v1.subscription_items.delete(item_of(subscription).id)


def test_everything_falls_due_at_its_own_instant(shop: Shop, stand_in: StandIn) -> None:
    shop.card()
    subscription = shop.subscribe()
    end = item_of(subscription).current_period_end
    stand_in.advance(days=40)
    invoice = shop.latest_invoice(subscription)
    assert invoice.created == end
    assert invoice.status_transitions.finalized_at == end + 3600
    assert invoice.status_transitions.paid_at == end + 3600


def test_many_can_be_made_at_once_as_if_they_had_been_there_for_long(shop: Shop) -> None:
    named: list[Any] = [{"email": f"{number}@example.com", "metadata": {"number": number}} for number in range(4)]
    before = shop.event_types()
    made = shop.stand_in.control(
        "POST", "subscribers", price=shop.pro, card="pm_card_visa", over=3600, customers=named
    )["subscribers"]
    assert shop.event_types() == before
    begun = []
    for number, one in enumerate(made):
        subscription = shop.subscription(one["subscription"])
        assert (subscription.status, subscription.customer) == ("active", one["customer"])
        assert price_of(subscription) == shop.pro
        assert shop.latest_invoice(subscription).status == "paid"
        customer = shop.client.v1.customers.retrieve(one["customer"])
        assert (customer.email, dict_of(customer.metadata)) == (f"{number}@example.com", {"number": str(number)})
        begun.append(item_of(subscription).current_period_start)
    assert [later - earlier for earlier, later in pairwise(begun)] == [900, 900, 900]
    # They are renewed as others are, and tell of it.
    shop.stand_in.advance(days=32)
    assert shop.event_types().count("invoice.paid") == 4
