"""Changes of plan: prorations, upgrades that wait for their payment, schedules, previews."""

from typing import Any

import pytest
import stripe

from tests.test_fake_stripe.conftest import Shop, item_of, price_of

DAY = 86400


def halfway(shop: Shop, subscription: stripe.Subscription) -> None:
    item = item_of(subscription)
    shop.stand_in.advance(seconds=(item.current_period_end - item.current_period_start) // 2)


def amounts(invoice: stripe.Invoice) -> list[int]:
    return [line.amount for line in invoice.lines.data]


def test_an_upgrade_costs_the_full_price_less_the_unused_time(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    halfway(shop, subscription)
    upgraded = shop.upgrade(subscription)
    assert (price_of(upgraded), upgraded.pending_update) == (shop.pro, None)
    invoice = shop.latest_invoice(subscription)
    assert (amounts(invoice), invoice.total, invoice.status) == ([-950, 4900], 3950, "paid")
    assert invoice.billing_reason == "subscription_update"
    assert item_of(upgraded).current_period_start == upgraded.billing_cycle_anchor == invoice.created
    assert item_of(upgraded).id == item_of(subscription).id


def test_an_upgrade_whose_payment_fails_keeps_the_old_plan_and_expires(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    halfway(shop, subscription)
    pending = shop.upgrade(subscription)
    assert (pending.status, price_of(pending)) == ("active", shop.basic)
    assert pending.pending_update is not None
    assert pending.pending_update.subscription_items is not None
    assert pending.pending_update.subscription_items[0].price.id == shop.pro
    assert shop.latest_invoice(subscription).status == "open"
    shop.stand_in.advance(hours=22)
    assert shop.subscription(subscription.id).pending_update is not None
    shop.stand_in.advance(hours=1, seconds=5)
    kept = shop.subscription(subscription.id)
    assert (kept.pending_update, price_of(kept), kept.status) == (None, shop.basic, "active")
    assert item_of(kept).current_period_end == item_of(subscription).current_period_end
    assert shop.latest_invoice(subscription).status == "void"
    assert "customer.subscription.pending_update_expired" in shop.event_types()


def test_paying_the_invoice_of_a_pending_update_applies_it(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.upgrade(subscription, metadata={"plan": "pro"})
    invoice = shop.latest_invoice(subscription)
    assert shop.subscription(subscription.id).metadata.to_dict() == {}
    shop.client.v1.invoices.pay(invoice.id, {"payment_method": shop.card()})
    applied = shop.subscription(subscription.id)
    assert (price_of(applied), applied.pending_update) == (shop.pro, None)
    assert applied.metadata.to_dict() == {"plan": "pro"}
    assert "customer.subscription.pending_update_applied" in shop.event_types()


def test_an_upgrade_that_asks_for_authentication_waits_for_it(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_authenticationRequired")
    assert shop.upgrade(subscription).pending_update is not None
    invoice = shop.latest_invoice(subscription)
    assert invoice.hosted_invoice_url == f"{shop.stand_in.url}/i/{invoice.id}"
    shop.stand_in.control("POST", f"invoices/{invoice.id}/pay", authentication="pass")
    assert price_of(shop.subscription(subscription.id)) == shop.pro


def test_a_second_upgrade_takes_the_place_of_one_that_waits(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    shop.upgrade(subscription)
    first = shop.latest_invoice(subscription)
    shop.card()
    assert price_of(shop.upgrade(subscription, shop.pro_yearly)) == shop.pro_yearly
    assert shop.client.v1.invoices.retrieve(first.id).status == "void"


def test_a_pending_update_takes_only_what_can_wait(shop: Shop) -> None:
    shop.card()
    with pytest.raises(stripe.InvalidRequestError, match="cancel_at_period_end"):
        shop.upgrade(shop.subscribe(), cancel_at_period_end=False)


def test_without_a_pending_update_a_failed_payment_still_gives_the_plan(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    changed = shop.upgrade(subscription, payment_behavior="allow_incomplete")
    assert (changed.status, price_of(changed)) == ("past_due", shop.pro)


def test_an_error_if_incomplete_changes_nothing(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card("pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        shop.upgrade(subscription, payment_behavior="error_if_incomplete")
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    assert len(shop.client.v1.invoices.list().data) == 1


def test_prorations_wait_for_the_next_invoice(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    halfway(shop, subscription)
    shop.client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription).id, "price": shop.pro}]}
    )
    waiting = shop.client.v1.invoice_items.list({"pending": True}).data
    assert sorted(each.amount for each in waiting) == [-950, 2450]
    assert len(shop.client.v1.invoices.list().data) == 1
    shop.stand_in.advance(days=17)
    assert sorted(amounts(shop.latest_invoice(subscription))) == [-950, 2450, 4900]


def test_a_downgrade_at_once_leaves_credit_that_is_used_up(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    halfway(shop, subscription)
    shop.upgrade(subscription, shop.basic)
    assert (shop.latest_invoice(subscription).total, shop.latest_invoice(subscription).amount_due) == (-550, 0)
    assert shop.client.v1.customers.retrieve(shop.customer).balance == -550
    shop.stand_in.advance(days=32)
    invoice = shop.latest_invoice(subscription)
    assert (invoice.total, invoice.amount_paid, invoice.starting_balance, invoice.ending_balance) == (
        1900,
        1350,
        -550,
        0,
    )
    assert shop.client.v1.customers.retrieve(shop.customer).balance == 0


def test_no_more_is_credited_than_was_paid(shop: Shop) -> None:
    shop.card()
    coupon = shop.client.v1.coupons.create({"percent_off": 50, "duration": "once"})
    subscription = shop.subscribe(discounts=[{"coupon": coupon.id}])
    halfway(shop, subscription)
    shop.upgrade(subscription)
    assert amounts(shop.latest_invoice(subscription)) == [-475, 4900]


def test_a_trial_that_is_changed_costs_nothing_and_goes_on(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(trial_period_days=14)
    changed = shop.upgrade(subscription)
    assert (changed.status, price_of(changed), changed.trial_end) == ("trialing", shop.pro, subscription.trial_end)
    assert len(shop.client.v1.invoices.list().data) == 1


def test_a_trial_that_is_ended_now_is_charged_now(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(trial_period_days=14)
    ended = shop.client.v1.subscriptions.update(subscription.id, {"trial_end": "now"})
    assert ended.status == "active"
    assert shop.latest_invoice(subscription).amount_paid == 1900


def plan_downgrade(shop: Shop, subscription: stripe.Subscription, price: str) -> stripe.SubscriptionSchedule:
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    current = schedule.phases[0]
    phases: Any = [
        {
            "items": [{"price": price_of(subscription), "quantity": 1}],
            "start_date": current.start_date,
            "end_date": current.end_date,
        },
        {"items": [{"price": price, "quantity": 1}], "proration_behavior": "none"},
    ]
    return shop.client.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})


def test_a_downgrade_is_a_schedule_that_changes_the_plan_at_the_periods_end(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    schedule = plan_downgrade(shop, subscription, shop.basic)
    assert schedule.phases[1]["items"][0].price == shop.basic
    assert shop.subscription(subscription.id).schedule == schedule.id
    assert price_of(shop.subscription(subscription.id)) == shop.pro
    shop.stand_in.advance(days=32)
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    assert amounts(shop.latest_invoice(subscription)) == [1900]
    shop.stand_in.advance(days=32)
    released = shop.client.v1.subscription_schedules.retrieve(schedule.id)
    assert (released.status, released.released_subscription) == ("released", subscription.id)
    after = shop.subscription(subscription.id)
    assert (after.schedule, price_of(after), after.status) == (None, shop.basic, "active")


def test_a_schedule_can_move_a_year_to_a_month(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro_yearly)
    plan_downgrade(shop, subscription, shop.basic)
    shop.stand_in.advance(days=366)
    item = item_of(shop.subscription(subscription.id))
    assert item.price.id == shop.basic
    assert item.current_period_end - item.current_period_start <= 31 * DAY


def test_a_schedule_forbids_cancelling_directly_until_it_is_released(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    schedule = plan_downgrade(shop, subscription, shop.basic)
    for params in ({"cancel_at_period_end": True}, {"cancel_at": 4102444800}):
        with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
            shop.client.v1.subscriptions.update(subscription.id, params)  # type: ignore[arg-type]
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    assert shop.client.v1.subscription_schedules.release(schedule.id).status == "released"
    assert shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True}).cancel_at
    with pytest.raises(stripe.InvalidRequestError, match="cannot release"):
        shop.client.v1.subscription_schedules.release(schedule.id)


def test_the_current_phase_keeps_its_start(shop: Shop) -> None:
    shop.card()
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": shop.subscribe().id})
    with pytest.raises(stripe.InvalidRequestError, match="start date of the current phase"):
        shop.client.v1.subscription_schedules.update(
            schedule.id, {"phases": [{"items": [{"price": shop.pro}], "start_date": schedule.phases[0].start_date + 5}]}
        )


def test_cancelling_ends_the_schedule_too(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    schedule = plan_downgrade(shop, subscription, shop.basic)
    shop.client.v1.subscriptions.cancel(subscription.id)
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"
    assert "subscription_schedule.canceled" in shop.event_types()


def test_a_schedule_of_its_own_starts_its_subscription(shop: Shop) -> None:
    shop.card()
    schedule = shop.client.v1.subscription_schedules.create(
        {
            "customer": shop.customer,
            "start_date": "now",
            "end_behavior": "cancel",
            "phases": [{"items": [{"price": shop.basic}], "duration": {"interval": "month", "interval_count": 2}}],
        }
    )
    assert isinstance(schedule.subscription, str)
    assert shop.subscription(schedule.subscription).status == "active"
    shop.stand_in.advance(days=65)
    assert shop.subscription(schedule.subscription).status == "canceled"
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "completed"


def test_a_preview_is_what_the_upgrade_then_costs(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    halfway(shop, subscription)
    preview = shop.client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": {
                "items": [{"id": item_of(subscription).id, "price": shop.pro}],
                "billing_cycle_anchor": "now",
                "proration_behavior": "always_invoice",
            },
        }
    )
    assert preview.id.startswith("upcoming_in_")
    assert (preview.status, preview.amount_due, amounts(preview)) == ("draft", 3950, [-950, 4900])
    assert len(shop.client.v1.invoices.list().data) == 1
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    shop.upgrade(subscription)
    assert shop.latest_invoice(subscription).amount_paid == preview.amount_due


def test_a_preview_of_the_renewal_takes_waiting_items_along(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.client.v1.invoice_items.create(
        {
            "customer": shop.customer,
            "amount": 300,
            "currency": "usd",
            "description": "Extra",
            "subscription": subscription.id,
        }
    )
    preview = shop.client.v1.invoices.create_preview({"subscription": subscription.id})
    assert (sorted(amounts(preview)), preview.billing_reason) == ([300, 1900], "upcoming")
    shop.stand_in.advance(days=32)
    assert shop.latest_invoice(subscription).amount_paid == 2200


def test_previews_of_a_new_subscription_and_of_a_schedule(shop: Shop) -> None:
    shop.card()
    new = shop.client.v1.invoices.create_preview(
        {"customer": shop.customer, "subscription_details": {"items": [{"price": shop.pro}]}}
    )
    assert (new.amount_due, new.number) == (4900, None)
    assert shop.client.v1.subscriptions.list({"status": "all"}).data == []
    schedule = plan_downgrade(shop, shop.subscribe(shop.pro), shop.basic)
    assert shop.client.v1.invoices.create_preview({"schedule": schedule.id}).amount_due == 1900
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "active"
