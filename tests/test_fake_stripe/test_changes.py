"""Changes of plan: prorations, upgrades that wait for their payment, schedules, previews."""

from typing import Any

import pytest
import stripe

from tests.test_fake_stripe.conftest import Shop, dict_of, item_of, price_of

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
    assert "customer.subscription.pending_update_applied" not in shop.event_types()
    invoice = shop.latest_invoice(subscription)
    assert (amounts(invoice), invoice.total, invoice.status) == ([-950, 4900], 3950, "paid")
    assert invoice.billing_reason == "subscription_update"
    assert item_of(upgraded).current_period_start == upgraded.billing_cycle_anchor == invoice.created
    assert item_of(upgraded).id == item_of(subscription).id
    credit, debit = invoice.lines.data
    assert credit.parent is not None
    assert debit.parent is not None
    assert credit.parent.subscription_item_details is not None
    assert debit.parent.subscription_item_details is not None
    assert credit.parent.subscription_item_details.proration
    assert not debit.parent.subscription_item_details.proration
    assert (credit.period.start, credit.period.end) == (invoice.created, item_of(subscription).current_period_end)
    now = item_of(upgraded)
    assert (debit.period.start, debit.period.end) == (now.current_period_start, now.current_period_end)


def test_a_credit_is_counted_by_the_second(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.stand_in.advance(seconds=1_234_567)
    shop.upgrade(subscription)
    credit = shop.latest_invoice(subscription).lines.data[0]
    item = item_of(subscription)
    left = item.current_period_end - credit.period.start
    assert credit.amount == -round(1900 * left / (item.current_period_end - item.current_period_start))


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
    pending = shop.upgrade(subscription, metadata={"plan": "pro"}).pending_update
    assert pending is not None
    assert dict_of(pending.metadata) == {"plan": "pro"}
    invoice = shop.latest_invoice(subscription)
    assert shop.client.v1.customers.retrieve(shop.customer).delinquent
    kept = shop.client.v1.subscriptions.update(subscription.id, {"metadata": {"seen": "1"}})
    assert (kept.metadata.to_dict(), kept.pending_update is None) == ({"seen": "1"}, False)
    shop.client.v1.invoices.pay(invoice.id, {"payment_method": shop.card()})
    applied = shop.subscription(subscription.id)
    assert (price_of(applied), applied.pending_update) == (shop.pro, None)
    assert applied.metadata.to_dict() == {"seen": "1", "plan": "pro"}
    assert not shop.client.v1.customers.retrieve(shop.customer).delinquent
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


@pytest.mark.parametrize(
    "more",
    [
        {"cancel_at_period_end": False},
        {"cancel_at": ""},
        {"cancellation_details": {"comment": "x"}},
        {"default_payment_method": "pm_x"},
        {"off_session": True},
    ],
)
def test_a_pending_update_takes_only_what_can_wait(shop: Shop, more: dict[str, Any]) -> None:
    shop.card()
    subscription = shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="only pass supported parameters") as refused:
        shop.upgrade(subscription, **more)
    assert refused.value.param == next(iter(more))
    assert price_of(shop.subscription(subscription.id)) == shop.basic


def test_a_pending_update_is_not_for_invoices_that_are_sent(shop: Shop) -> None:
    subscription = shop.subscribe(collection_method="send_invoice", days_until_due=7)
    with pytest.raises(stripe.InvalidRequestError, match="charge_automatically"):
        shop.upgrade(subscription)


def test_credit_that_a_void_invoice_used_goes_back_to_the_customer(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.client.v1.customers.update(shop.customer, {"balance": -1000})
    shop.card("pm_card_chargeCustomerFail")
    shop.upgrade(subscription)
    assert shop.client.v1.customers.retrieve(shop.customer).balance == 0
    shop.stand_in.advance(hours=23, seconds=5)
    assert shop.latest_invoice(subscription).status == "void"
    assert shop.client.v1.customers.retrieve(shop.customer).balance == -1000


def test_a_price_that_became_inactive_is_kept_and_not_taken_anew(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.client.v1.prices.update(shop.basic, {"active": False})
    shop.client.v1.prices.update(shop.pro, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.upgrade(subscription)
    item: Any = {"id": item_of(subscription).id, "quantity": 2}
    changed = shop.client.v1.subscriptions.update(subscription.id, {"items": [item]})
    assert item_of(changed).quantity == 2


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
    changed = shop.upgrade(subscription, billing_cycle_anchor="unchanged")
    assert (changed.status, price_of(changed), changed.trial_end) == ("trialing", shop.pro, subscription.trial_end)
    assert len(shop.client.v1.invoices.list().data) == 1


def test_the_anchor_is_not_moved_before_the_trials_end_unless_the_trial_is_ended(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(trial_period_days=14)
    with pytest.raises(stripe.InvalidRequestError, match="end the trial first") as refused:
        shop.upgrade(subscription)
    assert refused.value.param == "billing_cycle_anchor"
    assert price_of(shop.subscription(subscription.id)) == shop.basic
    ended = shop.upgrade(subscription, trial_end="now")
    assert (ended.status, price_of(ended), shop.latest_invoice(subscription).amount_paid) == ("active", shop.pro, 4900)


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


def test_a_phase_in_the_midst_of_a_period_is_entered_though_its_price_became_inactive(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    start = schedule.phases[0].start_date
    phases: Any = [
        {"items": [{"price": shop.basic}], "start_date": start, "end_date": start + 10 * DAY},
        {"items": [{"price": shop.pro}], "proration_behavior": "always_invoice"},
    ]
    shop.client.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    shop.client.v1.prices.update(shop.pro, {"active": False})
    shop.stand_in.advance(days=11)
    assert price_of(shop.subscription(subscription.id)) == shop.pro
    assert shop.latest_invoice(subscription).status == "paid"


def test_what_fails_when_it_falls_due_keeps_nothing_else_waiting(shop: Shop) -> None:
    shop.card()
    other = shop.subscribe()
    euro: Any = {
        "product": shop.products[0],
        "currency": "eur",
        "unit_amount": 1900,
        "recurring": {"interval": "month"},
    }
    phase: Any = {"items": [{"price": shop.client.v1.prices.create(euro).id}]}
    start = other.created + 5 * DAY
    schedule = shop.client.v1.subscription_schedules.create(
        {"customer": shop.customer, "start_date": start, "phases": [phase]}
    )
    shop.stand_in.advance(days=32)
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "not_started"
    assert shop.latest_invoice(other).billing_reason == "subscription_cycle"
    assert "cannot combine currencies" in shop.stand_in.violations()[0]
    shop.stand_in.control("DELETE", "violations")


def test_a_schedule_that_cancels_tells_when_and_is_completed(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    end = schedule.phases[0].end_date
    shop.client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    assert shop.subscription(subscription.id).cancel_at == end
    shop.client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "release"})
    assert shop.subscription(subscription.id).cancel_at is None
    shop.client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    shop.stand_in.advance(days=32)
    ended = shop.subscription(subscription.id)
    assert (ended.status, ended.ended_at, ended.schedule) == ("canceled", end, None)
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "completed"


def test_a_schedule_that_is_released_takes_its_cancellation_along_unless_told(shop: Shop) -> None:
    shop.card()
    for keeps in (False, True):
        subscription = shop.subscribe(cancel_at_period_end=True)
        schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
        assert schedule.end_behavior == "cancel"
        shop.client.v1.subscription_schedules.release(schedule.id, {"preserve_cancel_date": keeps})
        assert (shop.subscription(subscription.id).cancel_at is not None) == keeps


def test_a_schedule_from_a_subscription_takes_nothing_else(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    for more in ({"end_behavior": "release"}, {"metadata": {"a": "1"}}, {"customer": shop.customer}):
        params: Any = {"from_subscription": subscription.id, **more}
        with pytest.raises(stripe.InvalidRequestError, match="if `from_subscription` is set"):
            shop.client.v1.subscription_schedules.create(params)
    assert shop.subscription(subscription.id).schedule is None


def test_a_schedule_ends_with_a_subscription_that_was_never_paid(shop: Shop) -> None:
    shop.card("pm_card_chargeCustomerFail")
    schedule = shop.client.v1.subscription_schedules.create(
        {"customer": shop.customer, "start_date": "now", "phases": [{"items": [{"price": shop.basic}]}]}
    )
    assert isinstance(schedule.subscription, str)
    assert shop.subscription(schedule.subscription).status == "incomplete"
    shop.stand_in.advance(days=2)
    assert shop.subscription(schedule.subscription).status == "incomplete_expired"
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"


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


def test_a_preview_counts_to_the_second_that_it_is_told(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    details: Any = {
        "items": [{"id": item_of(subscription).id, "price": shop.pro}],
        "proration_behavior": "always_invoice",
        "proration_date": subscription.created + 10 * DAY,
    }
    preview = shop.client.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": details})
    shop.client.v1.subscriptions.update(subscription.id, details)
    assert amounts(shop.latest_invoice(subscription)) == amounts(preview)
    assert shop.latest_invoice(subscription).lines.data[0].period.start == subscription.created + 10 * DAY


def test_a_recurring_preview_has_what_comes_again_and_nothing_else(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    halfway(shop, subscription)
    shop.client.v1.invoice_items.create({"customer": shop.customer, "amount": 300, "currency": "usd"})
    details: Any = {"items": [{"id": item_of(subscription).id, "price": shop.pro}]}
    for given in ({}, {"proration_behavior": "always_invoice", "billing_cycle_anchor": "now"}):
        preview = shop.client.v1.invoices.create_preview(
            {
                "subscription": subscription.id,
                "preview_mode": "recurring",
                "subscription_details": details | given,
            }
        )
        assert amounts(preview) == [4900]


def test_there_is_no_preview_of_what_will_not_come(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError) as none:
        shop.client.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": {"cancel_at_period_end": True}}
        )
    assert (none.value.http_status, none.value.code) == (404, "invoice_upcoming_none")
    assert shop.client.v1.invoices.create_preview({"customer": shop.customer}).amount_due == 1900
    shop.client.v1.subscriptions.cancel(subscription.id)
    for params in ({"subscription": subscription.id}, {"customer": shop.customer}):
        with pytest.raises(stripe.InvalidRequestError) as none:
            shop.client.v1.invoices.create_preview(params)  # type: ignore[arg-type]
        assert none.value.code == "invoice_upcoming_none"


def test_the_preview_of_a_renewal_has_the_next_phase(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(shop.pro)
    schedule = plan_downgrade(shop, subscription, shop.basic)
    assert shop.client.v1.invoices.create_preview({"subscription": subscription.id}).amount_due == 1900
    current = schedule.phases[0]
    phases: Any = [
        {"items": [{"price": shop.pro}], "start_date": current.start_date, "end_date": current.end_date},
        {"items": [{"price": shop.pro_yearly}]},
    ]
    preview = shop.client.v1.invoices.create_preview({"schedule": schedule.id, "schedule_details": {"phases": phases}})
    assert preview.amount_due == 49000
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).phases[1]["items"][0].price == shop.basic
    new = shop.client.v1.invoices.create_preview(
        {"customer": shop.customer, "schedule_details": {"phases": [{"items": [{"price": shop.basic, "quantity": 2}]}]}}
    )
    assert new.amount_due == 3800
    assert len(shop.client.v1.subscription_schedules.list().data) == 1
