"""Changing, cancelling and resuming a paid plan."""

from datetime import timedelta

import pytest

from accounts import clock
from billing.models import LedgerEntry, SubscriptionChange
from tests.billing.stripe.payer import ASKS_EACH_TIME, DECLINED, Payer
from tests.fake_stripe.running import Refused


def test_an_upgrade_holds_at_once_and_carries_the_used_runs(subscriber: Payer) -> None:
    subscriber.run(3)
    subscriber.travel(days=10)
    before = subscriber.sees()
    preview = subscriber.post("preview-change", {"plan": "PRO"})
    assert preview.status_code == 200, preview.content
    wanted = preview.json()
    assert wanted["effective"] == "now"
    assert wanted["runs"] == {"used": 3, "limit_before": 1000, "limit_after": 5000, "remaining_after": 4997}
    answer = subscriber.post("change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.content
    seen = answer.json()
    assert (seen["plan"], seen["status"], seen["source"]) == ("pro", "active", "paid")
    assert (seen["monthly_agent_runs"], seen["runs_remaining"]) == (3, 4997)
    assert seen["current_period_start"] > before["current_period_start"]
    charged = subscriber.invoices[0]
    assert abs(charged.amount_paid - wanted["amount_due"]) <= 1
    # 49.00 less what is left of 19.00.
    assert 4900 - 1900 < charged.amount_paid < 4900
    (carried,) = LedgerEntry.objects.filter(kind="adjust")
    assert carried.quantity == -3
    change = SubscriptionChange.objects.filter(subscription=subscriber.row).first()
    assert change is not None
    assert (change.cause, change.actor, change.monthly_amount) == ("upgrade", subscriber.person.user, 4900)


def test_a_downgrade_comes_at_the_periods_end(pro: Payer) -> None:
    answer = pro.post("change-plan", {"plan": "basic"})
    assert answer.status_code == 200, answer.content
    seen = answer.json()
    assert (seen["plan"], seen["pending_plan"]) == ("pro", "basic")
    assert seen["pending_at"] == seen["current_period_end"]
    assert len(pro.invoices) == 1
    again = pro.post("change-plan", {"plan": "basic"})
    assert (again.status_code, again.json()["code"]) == (409, "no_change")
    pro.travel(days=32)
    pro.sync()
    seen = pro.sees()
    assert (seen["plan"], seen["pending_plan"], seen["status"]) == ("basic", None, "active")
    assert pro.invoices[0].amount_paid == 1900


def test_a_pending_downgrade_is_taken_back_by_resuming(pro: Payer) -> None:
    pro.post("change-plan", {"plan": "basic"})
    answer = pro.post("resume")
    assert answer.status_code == 200, answer.content
    assert answer.json()["pending_plan"] is None
    pro.travel(days=32)
    pro.sync()
    assert pro.sees()["plan"] == "pro"


def test_a_cancel_keeps_the_plan_until_the_periods_end(pro: Payer) -> None:
    answer = pro.post("cancel", {"reason": "Too dear"})
    assert answer.status_code == 200, answer.content
    seen = answer.json()
    assert (seen["plan"], seen["cancel_at_period_end"]) == ("pro", True)
    assert pro.one.cancellation_details is not None
    assert pro.one.cancellation_details.comment == "Too dear"
    again = pro.post("cancel")
    assert (again.status_code, again.json()["code"]) == (409, "no_change")
    pro.travel(days=32)
    assert pro.sees()["plan"] == "free"
    pro.sync()
    assert pro.sees()["plan"] == "free"
    assert pro.row.stripe_status == "canceled"


def test_a_cancel_is_taken_back_and_taken_again(pro: Payer) -> None:
    for _ in range(2):
        assert pro.post("cancel").status_code == 200
        assert pro.one.cancel_at_period_end
        answer = pro.post("resume")
        assert answer.status_code == 200
        assert answer.json()["cancel_at_period_end"] is False
        assert not pro.one.cancel_at_period_end
    answer = pro.post("resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_change")
    pro.travel(days=32)
    pro.sync()
    assert pro.sees()["plan"] == "pro"


def test_an_upgrade_that_is_not_paid_keeps_the_old_plan(subscriber: Payer) -> None:
    for card in ("pm_card_chargeCustomerFail", "pm_card_authenticationRequired"):
        subscriber.card(card)
        answer = subscriber.post("change-plan", {"plan": "pro"})
        assert answer.status_code == 402, answer.content
        assert answer.json()["code"] == "payment_failed"
        assert answer.json()["payment_url"].startswith(subscriber.stand_in.url)
        seen = subscriber.sees()
        assert (seen["plan"], seen["status"], seen["monthly_agent_runs_limit"]) == ("basic", "active", 1000)
    assert sum(invoice.amount_paid for invoice in subscriber.invoices) == 1900
    subscriber.card("pm_card_visa")
    answer = subscriber.post("change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["plan"] == "pro"


def test_an_upgrade_of_a_cancelled_plan_goes_on_and_a_failed_one_stays_cancelled(subscriber: Payer) -> None:
    subscriber.post("cancel")
    subscriber.card("pm_card_chargeCustomerFail")
    answer = subscriber.post("change-plan", {"plan": "pro"})
    assert answer.status_code == 402
    assert subscriber.sees()["cancel_at_period_end"] is True
    subscriber.card("pm_card_visa")
    answer = subscriber.post("change-plan", {"plan": "pro"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["plan"], answer.json()["cancel_at_period_end"]) == ("pro", False)


def test_an_upgrade_with_a_downgrade_pending(subscriber: Payer) -> None:
    subscriber.post("change-plan", {"plan": "pro"})
    assert subscriber.post("change-plan", {"plan": "basic"}).json()["pending_plan"] == "basic"
    answer = subscriber.post("change-plan", {"plan": "pro", "interval": "year"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["plan"], answer.json()["pending_plan"]) == ("pro", None)
    assert subscriber.row.paid_interval == "year"


def test_a_failed_upgrade_leaves_the_pending_downgrade(subscriber: Payer) -> None:
    subscriber.post("change-plan", {"plan": "pro"})
    subscriber.post("change-plan", {"plan": "basic"})
    subscriber.card("pm_card_chargeCustomerFail")
    answer = subscriber.post("change-plan", {"plan": "pro", "interval": "year"})
    assert answer.status_code == 402, answer.content
    assert subscriber.sees()["pending_plan"] == "basic"


def test_a_year_is_cut_into_months_and_ends_as_a_month(subscriber: Payer) -> None:
    answer = subscriber.post("change-plan", {"plan": "basic", "interval": "year"})
    assert answer.status_code == 200, answer.content
    subscriber.run(5)
    seen = subscriber.sees()
    assert seen["monthly_agent_runs"] == 5
    subscriber.travel(days=40)
    assert subscriber.sees()["monthly_agent_runs"] == 0
    answer = subscriber.post("change-plan", {"plan": "basic", "interval": "month"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["pending_plan"] == "basic"
    assert subscriber.row.pending_interval == "month"


def test_the_preview_of_a_downgrade(pro: Payer) -> None:
    pro.run(2)
    answer = pro.post("preview-change", {"plan": "basic"})
    assert answer.status_code == 200, answer.content
    wanted = answer.json()
    assert (wanted["effective"], wanted["amount_due"], wanted["currency"]) == ("period_end", 1900, "usd")
    assert wanted["effective_at"] == pro.sees()["current_period_end"]
    assert wanted["runs"] == {"used": 2, "limit_before": 5000, "limit_after": 1000, "remaining_after": 1000}


def test_without_a_paid_plan(payer: Payer) -> None:
    for path, body in (("change-plan", {"plan": "pro"}), ("cancel", None), ("resume", None)):
        answer = payer.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_subscribed"), path
    preview = payer.post("preview-change", {"plan": "pro"})
    assert preview.status_code == 200
    assert preview.json()["amount_due"] == 4900
    assert preview.json()["runs"]["remaining_after"] == 5000


def test_a_renewal_that_fails_and_recovers(subscriber: Payer) -> None:
    subscriber.run(4)
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31, hours=3)
    subscriber.sync()
    seen = subscriber.sees()
    assert (seen["plan"], seen["status"], seen["monthly_agent_runs"]) == ("basic", "past_due", 0)
    assert seen["monthly_agent_runs_limit"] == 100
    assert seen["grace_until"] is not None
    answer = subscriber.post("change-plan", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    assert answer.json()["payment_url"]
    answer = subscriber.post("create-checkout-session", {"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    subscriber.run(2)
    open_invoice = subscriber.invoices[0]
    subscriber.stand_in.control("POST", f"invoices/{open_invoice.id}/pay", card="4242424242424242")
    subscriber.sync()
    seen = subscriber.sees()
    assert (seen["status"], seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]) == ("active", 2, 1000)
    assert seen["grace_until"] is None


def test_a_renewal_that_is_never_paid_ends_on_free(subscriber: Payer) -> None:
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31, hours=3)
    subscriber.sync()
    subscriber.travel(days=8)
    assert subscriber.sees()["plan"] == "free"
    subscriber.travel(days=30)
    subscriber.sync()
    assert (subscriber.sees()["plan"], subscriber.row.stripe_status) == ("free", "canceled")


def test_the_edge_of_a_period_before_anybody_rings(subscriber: Payer) -> None:
    end = subscriber.row.paid_end
    assert end is not None
    subscriber.travel(seconds=int((end - clock.now() + timedelta(seconds=5)).total_seconds()))
    seen = subscriber.sees()
    assert (seen["plan"], seen["monthly_agent_runs_limit"]) == ("basic", 100)
    subscriber.travel(hours=73)
    assert subscriber.sees()["plan"] == "free"
    subscriber.sync()
    assert (subscriber.sees()["plan"], subscriber.sees()["monthly_agent_runs_limit"]) == ("basic", 1000)


def test_a_declined_card_at_checkout_changes_nothing(payer: Payer) -> None:
    session = payer.checkout("basic")
    with pytest.raises(Refused, match="402"):
        payer.pay(session, DECLINED)
    answer = payer.come_back(session)
    assert answer.status_code == 200
    assert b"Not paid yet" in answer.content
    assert payer.sees()["plan"] == "free"
    payer.pay(session, ASKS_EACH_TIME)
    assert payer.sees()["plan"] == "basic"
