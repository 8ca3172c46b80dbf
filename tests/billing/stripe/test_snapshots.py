"""What follows from what Stripe holds: fetched from the stand-in, and varied where it cannot be brought there."""

import copy
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts import clock
from billing import gateway, sync
from billing.models import Plan, Price, Subscription
from billing.snapshots import CHARGED, ENDED, KNOWN, LIVE, Snapshot, instant
from tests.billing.stripe.payer import Payer

STATUSES = ("incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused")
NEW_WORD = "hibernating"


def held(payer: Payer) -> Snapshot:
    """What Stripe holds now; our rows stay as they are."""
    return sync.snapshot_of(gateway.held_of(payer.customer))


def facts(payer: Payer) -> dict[str, Any]:
    return held(payer).facts(payer.row)


def varied(snapshot: Snapshot, **values: Any) -> Snapshot:
    """With single values of its one subscription changed."""
    (data,) = snapshot.data
    return replace(snapshot, data=({**data, **values},))


def with_invoices(snapshot: Snapshot, **values: Any) -> Snapshot:
    return replace(snapshot, invoices=tuple({**invoice, **values} for invoice in snapshot.invoices))


def update(payer: Payer, **values: Any) -> None:
    payer.client.v1.subscriptions.update(payer.one.id, values)  # type: ignore[arg-type]


def price(plan: str, interval: str = "month") -> str:
    return str(Price.objects.get(plan__slug=plan, interval=interval).stripe_price_id)


def subscribe(payer: Payer, plan: str = "basic", **values: Any) -> None:
    """A subscription that staff made at Stripe, for a customer with a card."""
    wanted: Any = {"customer": payer.customer, "items": [{"price": price(plan)}], **values}
    payer.client.v1.subscriptions.create(wanted)


@pytest.fixture
def carded(payer: Payer) -> Payer:
    """bob, a customer with a card and without a subscription."""
    payer.checkout("basic")
    payer.card("pm_card_visa")
    return payer


def test_a_bought_month(subscriber: Payer) -> None:
    one, row = subscriber.one, subscriber.row
    found = held(subscriber).facts(Subscription(workspace=row.workspace))
    start, end = (one["items"].data[0][f"current_period_{edge}"] for edge in ("start", "end"))
    assert found == {
        "paid_plan": Plan.objects.get(slug="basic"),
        "paid_price": Price.objects.get(stripe_price_id=price("basic")),
        "stripe_subscription_id": one.id,
        "stripe_status": "active",
        "paid_interval": "month",
        "monthly_amount": 1900,
        "currency": "usd",
        "card_expires_at": datetime(2035, 1, 1, tzinfo=UTC),
        "paid_anchor": instant(one.billing_cycle_anchor),
        "paid_start": instant(start),
        "paid_end": instant(end),
        "is_period_paid": True,
        "is_collection_paused": False,
        "oldest_unpaid_at": None,
        "first_paid_at": instant(one.start_date),
        "cancel_at": None,
        "canceled_at": None,
        "pending_plan": None,
        "pending_interval": "",
        "pending_at": None,
        "on_hold_since": None,
        "hold_reason": "",
    }


def test_a_customer_without_a_subscription_has_no_paid_fact(carded: Payer) -> None:
    snapshot = held(carded)
    found = snapshot.facts(carded.row)
    assert not any(found.values())
    assert (snapshot.current, snapshot.live, snapshot.debt, snapshot.due_at(clock.now())) == (None, None, None, None)


def test_stripes_words_are_sorted_once() -> None:
    assert set(STATUSES) == KNOWN
    assert not LIVE & ENDED
    assert LIVE - {"incomplete"} == CHARGED


@pytest.mark.parametrize("status", [*STATUSES, NEW_WORD])
def test_the_word_is_kept_and_what_ended_has_no_end_to_come(pro: Payer, status: str) -> None:
    pro.post("change-plan", {"plan": "basic"})
    snapshot = varied(held(pro), status=status, cancel_at=2_000_000_000)
    found = snapshot.facts(pro.row)
    assert (found["stripe_status"], found["paid_plan"].slug) == (status, "pro")
    is_live = status not in ("canceled", "incomplete_expired")
    assert (snapshot.live is not None) == is_live
    assert found["cancel_at"] == (instant(2_000_000_000) if is_live else None)
    assert (found["pending_plan"] is not None) == is_live
    assert (snapshot.due_at(clock.now()) is not None) == is_live


def test_a_word_never_seen_before_is_not_paid_and_loud(subscriber: Payer, caplog: pytest.LogCaptureFixture) -> None:
    row = subscriber.row
    row.change(cause="stripe", now=clock.now(), **varied(held(subscriber), status=NEW_WORD).facts(row))
    assert subscriber.sees()["plan"] == "free"
    assert row.stripe_status == NEW_WORD
    with caplog.at_level(logging.ERROR):
        sync._tell(subscriber.row, held(subscriber), clock.now())
    (record,) = caplog.records
    assert NEW_WORD in record.getMessage()


@pytest.fixture
def foreign(pro: Payer) -> Payer:
    """bob, whose subscription staff moved to a price that is not ours."""
    made = pro.client.v1.prices.create(
        {
            "unit_amount": 100,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product_data": {"name": "Made by hand"},
        }
    )
    update(pro, items=[{"id": pro.one["items"].data[0].id, "price": made.id}], proration_behavior="none")
    return pro


def test_an_unknown_price_leaves_the_plan_and_is_loud(foreign: Payer, caplog: pytest.LogCaptureFixture) -> None:
    (id,) = held(foreign).unknown_prices()
    with caplog.at_level(logging.ERROR):
        foreign.sync()
    assert any(id in record.getMessage() for record in caplog.records)
    assert (foreign.sees()["plan"], foreign.sees()["status"]) == ("pro", "active")


def test_an_unknown_price_that_was_never_a_plan_is_none(foreign: Payer) -> None:
    first = held(foreign).facts(Subscription(workspace=foreign.row.workspace))
    assert (first["paid_plan"], first["paid_price"], first["stripe_status"]) == (None, None, "active")
    other = held(foreign).facts(Subscription(stripe_subscription_id="sub_before", paid_plan=foreign.row.paid_plan))
    assert other["paid_plan"] is None


def test_an_unknown_item_beside_ours_changes_nothing(pro: Payer) -> None:
    made = pro.client.v1.prices.create(
        {
            "unit_amount": 100,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product_data": {"name": "Support by telephone"},
        }
    )
    update(pro, items=[{"price": made.id}], proration_behavior="none")
    assert len(pro.one["items"].data) == 2
    snapshot = held(pro)
    assert snapshot.facts(pro.row)["paid_plan"].slug == "pro"
    assert snapshot.unknown_prices() == []


def test_either_sign_of_a_scheduled_cancel_means_it(subscriber: Payer) -> None:
    end = subscriber.row.paid_end
    assert end is not None
    plain = held(subscriber)
    update(subscriber, cancel_at_period_end=True)
    assert facts(subscriber)["cancel_at"] == end
    # Either alone: what the flag means where no instant is beside it, and what the portal leaves.
    assert varied(plain, cancel_at_period_end=True, cancel_at=None).facts(subscriber.row)["cancel_at"] == end
    update(subscriber, cancel_at_period_end=False)
    earlier = end - timedelta(days=3)
    update(subscriber, cancel_at=int(earlier.timestamp()))
    assert not subscriber.one.cancel_at_period_end
    assert facts(subscriber)["cancel_at"] == earlier
    assert facts(subscriber)["canceled_at"] is not None


def test_the_next_phase_of_a_schedule_is_pending(pro: Payer) -> None:
    pro.post("change-plan", {"plan": "basic", "interval": "year"})
    found = facts(pro)
    assert (found["paid_plan"].slug, found["pending_plan"].slug) == ("pro", "basic")
    assert (found["pending_interval"], found["pending_at"]) == ("year", pro.row.paid_end)


def test_a_schedule_with_one_phase_is_nothing_pending(pro: Payer) -> None:
    pro.client.v1.subscription_schedules.create({"from_subscription": pro.one.id})
    found = facts(pro)
    assert (found["pending_plan"], found["pending_at"], found["cancel_at"]) == (None, None, None)
    live = held(pro).live
    assert live is not None
    assert live.schedule is not None
    assert live.next_phase is None


def test_a_schedule_that_ends_with_a_cancel_is_one(pro: Payer) -> None:
    made = pro.client.v1.subscription_schedules.create({"from_subscription": pro.one.id})
    pro.client.v1.subscription_schedules.update(made.id, {"end_behavior": "cancel"})
    assert facts(pro)["cancel_at"] == pro.row.paid_end
    pro.client.v1.subscription_schedules.update(made.id, {"end_behavior": "release"})
    assert facts(pro)["cancel_at"] is None
    pro.client.v1.subscription_schedules.release(made.id)
    assert facts(pro)["cancel_at"] is None


def test_a_pending_update_is_an_offer(subscriber: Payer) -> None:
    subscriber.card("pm_card_chargeCustomerFail")
    before = facts(subscriber)
    assert subscriber.post("change-plan", {"plan": "pro"}).status_code == 402
    snapshot = held(subscriber)
    assert snapshot.data[0]["pending_update"] is not None
    assert snapshot.invoices[0]["status"] == "open"
    # The plan stays, the period stays paid, nobody owes anything; but it is looked at again soon.
    assert snapshot.facts(subscriber.row) == before
    assert snapshot.debt is None
    now = clock.now()
    assert snapshot.due_at(now) == now + timedelta(minutes=5)


@pytest.mark.parametrize("behavior", ["void", "keep_as_draft", "mark_uncollectible"])
def test_a_paused_collection(subscriber: Payer, behavior: str) -> None:
    update(subscriber, pause_collection={"behavior": behavior})
    found = facts(subscriber)
    assert (found["stripe_status"], found["is_collection_paused"], found["is_period_paid"]) == ("active", True, True)
    subscriber.travel(days=31, hours=3)
    found = facts(subscriber)
    assert (found["stripe_status"], found["is_collection_paused"], found["is_period_paid"]) == ("active", True, False)
    assert found["oldest_unpaid_at"] is None


def test_a_trial_at_stripe_is_counted_from_its_beginning(carded: Payer) -> None:
    subscribe(carded, "pro", trial_period_days=40)
    one = carded.one
    found = facts(carded)
    begun, ends = clock.now().replace(microsecond=0), one.billing_cycle_anchor
    assert instant(ends) - begun > timedelta(days=39)
    assert (found["stripe_status"], found["is_period_paid"]) == ("trialing", True)
    assert found["paid_anchor"] == found["paid_start"] == found["first_paid_at"] == instant(one.start_date)
    assert found["paid_end"] == instant(ends)
    carded.travel(days=41)
    found = facts(carded)
    assert (found["stripe_status"], found["paid_anchor"], found["paid_start"]) == (
        "active",
        instant(ends),
        instant(ends),
    )


def test_the_draft_hour_is_not_paid(subscriber: Payer) -> None:
    end = subscriber.row.paid_end
    assert end is not None
    subscriber.travel(seconds=int((end - clock.now()).total_seconds()) + 60)
    snapshot = held(subscriber)
    assert snapshot.invoices[0]["status"] == "draft"
    found = snapshot.facts(subscriber.row)
    assert (found["paid_start"], found["is_period_paid"], found["oldest_unpaid_at"]) == (end, False, None)
    assert snapshot.due_at(clock.now()) is not None
    subscriber.travel(hours=2)
    found = facts(subscriber)
    assert (found["paid_start"], found["is_period_paid"]) == (end, True)


@pytest.fixture
def owing(subscriber: Payer) -> Payer:
    """bob, whose renewal was declined."""
    subscriber.card("pm_card_chargeCustomerFail")
    subscriber.travel(days=31, hours=3)
    assert subscriber.one.status == "past_due"
    return subscriber


def test_an_open_invoice_is_a_debt_from_its_creation(owing: Payer) -> None:
    snapshot = held(owing)
    newest, first = owing.invoices
    found = snapshot.facts(owing.row)
    assert found["is_period_paid"] is False
    assert found["oldest_unpaid_at"] == instant(newest.created) == found["paid_start"]
    assert snapshot.debt is not None
    assert snapshot.debt["id"] == newest.id
    assert found["first_paid_at"] == instant(owing.one.start_date)
    assert first.status == "paid"


@pytest.mark.parametrize("end", ["void", "uncollectible"])
def test_what_was_given_up_leaves_the_period_unpaid(owing: Payer, end: str) -> None:
    invoices = owing.client.v1.invoices
    act = invoices.void_invoice if end == "void" else invoices.mark_uncollectible
    act(owing.invoices[0].id)
    found = facts(owing)
    assert (found["is_period_paid"], found["oldest_unpaid_at"], held(owing).debt) == (False, None, None)


def test_the_oldest_of_several_counts(owing: Payer) -> None:
    older, _ = owing.invoices
    # Each month that passes unpaid leaves another.
    owing.stand_in.control("POST", "dunning", end="past_due")
    owing.travel(days=31)
    assert len([one for one in owing.invoices if one.status == "open"]) == 2
    snapshot = held(owing)
    assert snapshot.facts(owing.row)["oldest_unpaid_at"] == instant(older.created)
    assert snapshot.debt is not None
    assert snapshot.debt["id"] == older.id


def test_prorations_and_one_off_invoices_pay_no_period(owing: Payer) -> None:
    """Only a line for just this period does."""
    owing.card("pm_card_visa")
    one, customer = owing.one, owing.customer
    made = owing.client.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "exclude"})
    owing.client.v1.invoice_items.create(
        {"customer": customer, "amount": 1900, "currency": "usd", "invoice": made.id, "description": "By hand"}
    )
    owing.client.v1.invoices.pay(made.id)
    # More of the same, prorated and billed at once: paid, and of this subscription.
    update(owing, items=[{"id": one["items"].data[0].id, "quantity": 2}], proration_behavior="always_invoice")
    assert [invoice.status for invoice in owing.invoices[:2]] == ["paid", "paid"]
    found = facts(owing)
    assert found["is_period_paid"] is False
    assert found["oldest_unpaid_at"] is not None


def test_a_period_whose_invoice_is_beyond_the_page(subscriber: Payer) -> None:
    """What is not settled would show; what is was paid."""
    snapshot = held(subscriber)
    none = replace(snapshot, invoices=())
    assert none.facts(subscriber.row)["is_period_paid"] is True
    assert varied(none, status="past_due").facts(subscriber.row)["is_period_paid"] is False
    before = subscriber.row
    before.first_paid_at = datetime(2020, 1, 1, tzinfo=UTC)
    assert none.facts(before)["first_paid_at"] == before.first_paid_at


def test_a_first_payment_that_is_not_complete_is_no_debt_and_no_beginning(carded: Payer) -> None:
    carded.card("pm_card_chargeCustomerFail")
    subscribe(carded)
    snapshot = held(carded)
    found = snapshot.facts(carded.row)
    assert (found["stripe_status"], found["is_period_paid"], found["first_paid_at"]) == ("incomplete", False, None)
    assert (snapshot.debt, snapshot.charged, len(snapshot.incomplete)) == (None, [], 1)
    carded.travel(days=1)
    snapshot = held(carded)
    found = snapshot.facts(carded.row)
    assert (found["stripe_status"], found["first_paid_at"], snapshot.live) == ("incomplete_expired", None, None)


def test_a_sent_invoice_is_owed_before_anybody_tried(subscriber: Payer) -> None:
    snapshot = held(subscriber)
    sent = with_invoices(
        snapshot, status="open", amount_remaining=1900, attempted=False, collection_method="send_invoice"
    )
    assert sent.debt is not None
    assert with_invoices(sent, collection_method="charge_automatically").debt is None
    assert with_invoices(sent, amount_remaining=0).debt is None
    assert with_invoices(sent, parent=None).debt is None


def test_which_of_several_counts(carded: Payer) -> None:
    """The higher plan, then the older; live before ended; of ended ones the newest."""
    for plan in ("basic", "pro", "pro"):
        subscribe(carded, plan)
        carded.travel(seconds=5)
    basic, older, newer = reversed(carded.at_stripe)

    def order() -> list[str]:
        return [one.id for one in held(carded).subscriptions]

    assert order() == [older.id, newer.id, basic.id]
    assert [one.id for one in held(carded).charged] == order()
    carded.client.v1.subscriptions.update(older.id, {"pause_collection": {"behavior": "void"}})
    assert order() == [newer.id, basic.id, older.id]
    for id in (newer.id, older.id):
        carded.client.v1.subscriptions.cancel(id)
    assert order() == [basic.id, newer.id, older.id]
    carded.client.v1.subscriptions.cancel(basic.id)
    assert order() == [newer.id, older.id, basic.id]
    assert facts(carded)["stripe_subscription_id"] == newer.id


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("active", "unpaid"),
        ("trialing", "paused"),
        ("past_due", "incomplete"),
        ("unpaid", "incomplete"),
        ("incomplete", NEW_WORD),
        (NEW_WORD, "canceled"),
        ("incomplete", "incomplete_expired"),
    ],
)
def test_a_word_goes_before_another_whatever_the_plan(subscriber: Payer, first: str, second: str) -> None:
    snapshot = held(subscriber)
    data = dict(snapshot.data[0])
    higher = copy.deepcopy(data) | {"id": "sub_higher", "status": second, "created": data["created"] - 5}
    higher["items"]["data"][0]["price"]["id"] = price("pro")
    prices = {**snapshot.prices, price("pro"): Price.objects.select_related("plan").get(stripe_price_id=price("pro"))}
    for pair in ((data | {"status": first}, higher), (higher, data | {"status": first})):
        both = replace(snapshot, data=pair, prices=prices)
        assert [one.status for one in both.subscriptions] == [first, second]


def test_stripe_is_asked_again_when_something_can_have_happened(pro: Payer) -> None:
    end, now = pro.row.paid_end, clock.now()
    assert held(pro).due_at(now) == end
    pro.post("change-plan", {"plan": "basic"})
    assert held(pro).due_at(now) == end
    pro.post("resume")
    assert end is not None
    earlier = end - timedelta(days=3)
    update(pro, cancel_at=int(earlier.timestamp()))
    snapshot = held(pro)
    assert snapshot.due_at(now) == earlier
    # A snapshot that is read after all its moments has been waited for: it is asked again soon.
    assert snapshot.due_at(end) == end + timedelta(hours=1)
    pro.client.v1.subscriptions.cancel(pro.one.id)
    assert held(pro).due_at(now) is None


def test_what_is_not_settled_is_asked_about_hourly(owing: Payer) -> None:
    now = clock.now()
    assert held(owing).due_at(now) == now + timedelta(hours=1)
    owing.stand_in.control("POST", f"invoices/{owing.invoices[0].id}/pay", card="4242424242424242")
    settled = held(owing)
    assert settled.live is not None
    assert settled.due_at(now) == settled.live.end


def test_a_customer_that_was_deleted(subscriber: Payer) -> None:
    customer = subscriber.customer
    subscriber.client.v1.customers.delete(customer)
    snapshot = sync.snapshot_of(gateway.held_of(customer))
    assert snapshot.is_deleted
    found = snapshot.facts(subscriber.row)
    assert found.pop("first_paid_at") == subscriber.row.first_paid_at
    assert not any(found.values())
    assert (snapshot.currency, snapshot.due_at(clock.now())) == (None, None)
