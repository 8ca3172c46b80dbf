"""Invariants 6 to 9 at Stripe's own clock: what a workspace has on either side of each instant that matters."""

import calendar
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db.models import Sum

from accounts import clock
from billing import lifecycle
from billing.entitlements import entitlement
from billing.models import LedgerEntry, Plan, Source, UsagePeriod
from billing.periods import Period
from tests.billing.meter import assert_books_are_right, change, consume_all, plan
from tests.billing.stripe.payer import Payer

TICK = timedelta(microseconds=1)


def reach(payer: Payer, at: datetime) -> None:
    """Go to the first whole second of the stand-in's at or after it."""
    payer.travel(seconds=max(0, math.ceil((at - clock.now()).total_seconds())))


def nearly_reach(payer: Payer, at: datetime) -> None:
    """A little before, so that whatever the machine is busy with the instant is still to come."""
    reach(payer, at - timedelta(minutes=1))


def end_of(payer: Payer) -> datetime:
    end = payer.row.paid_end
    assert end is not None
    return end


def plan_at(payer: Payer, at: datetime) -> str:
    """By the rows as they are now."""
    return entitlement(payer.row, at).plan.slug


def has(payer: Payer) -> tuple[str, int, int]:
    """Plan, runs used, limit, as the API shows them."""
    seen = payer.sees()
    return seen["plan"], seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]


def decline(payer: Payer) -> None:
    """The renewal that is to come."""
    payer.card("pm_card_chargeCustomerFail")


def test_a_period_goes_on_as_if_renewed_for_72_hours_and_a_late_sync_mends(subscriber: Payer) -> None:
    subscriber.run(3)
    end = end_of(subscriber)
    nearly_reach(subscriber, end)
    assert has(subscriber) == ("basic", 3, 1000)
    reach(subscriber, end)
    assert has(subscriber) == ("basic", 0, 100)
    subscriber.run(2)
    nearly_reach(subscriber, end + timedelta(hours=72))
    assert has(subscriber) == ("basic", 2, 100)
    assert plan_at(subscriber, end + timedelta(hours=72) - TICK) == "basic"
    assert plan_at(subscriber, end + timedelta(hours=72)) == "free"
    reach(subscriber, end + timedelta(hours=72))
    assert has(subscriber) == ("free", 0, 10)
    subscriber.sync()
    assert has(subscriber) == ("basic", 2, 1000)
    assert subscriber.row.paid_start == end
    assert_books_are_right(subscriber.row.workspace)


def test_a_change_that_was_due_has_come_at_the_edge(pro: Payer) -> None:
    pro.run(3)
    pro.post("change-plan", {"plan": "basic"})
    end = end_of(pro)
    nearly_reach(pro, end)
    assert has(pro) == ("pro", 3, 5000)
    reach(pro, end)
    assert has(pro) == ("basic", 0, 100)
    pro.run()
    pro.sync()
    # The draft hour: Stripe has renewed, and nobody has paid yet.
    assert has(pro) == ("basic", 1, 100)
    pro.travel(hours=2)
    pro.sync()
    assert has(pro) == ("basic", 1, 1000)
    assert UsagePeriod.objects.filter(source="paid").count() == 2


def test_a_cancel_that_was_due_has_come_at_the_edge(pro: Payer) -> None:
    pro.run(3)
    pro.post("cancel")
    end = end_of(pro)
    nearly_reach(pro, end)
    assert has(pro) == ("pro", 3, 5000)
    assert plan_at(pro, end - TICK) == "pro"
    assert plan_at(pro, end) == "free"
    reach(pro, end)
    assert has(pro) == ("free", 0, 10)
    pro.sync()
    assert has(pro) == ("free", 0, 10)
    assert pro.row.stripe_status == "canceled"


def test_an_unpaid_period_grants_little_and_payment_lifts_the_same_bucket(subscriber: Payer) -> None:
    plan(Plan.FREE, runs_limit=1)
    plan(Plan.BASIC, runs_limit=20)
    decline(subscriber)
    end = end_of(subscriber)
    reach(subscriber, end)
    workspace = subscriber.row.workspace
    assert len(consume_all(workspace, clock.now())) == 2
    subscriber.travel(hours=2)
    subscriber.sync()
    assert (subscriber.row.stripe_status, has(subscriber)) == ("past_due", ("basic", 2, 2))
    assert consume_all(workspace, clock.now()) == []
    subscriber.stand_in.control("POST", f"invoices/{subscriber.invoices[0].id}/pay", card="4242424242424242")
    subscriber.sync()
    assert len(consume_all(workspace, clock.now())) == 18
    bucket = UsagePeriod.objects.get(source="paid", starts_at=end)
    assert (bucket.used, bucket.ends_at) == (20, end_of(subscriber))
    assert_books_are_right(workspace)


def test_an_unpaid_period_never_grants_less_than_free_does(subscriber: Payer) -> None:
    plan(Plan.BASIC, runs_limit=20)
    reach(subscriber, end_of(subscriber))
    assert has(subscriber) == ("basic", 0, 10)
    plan(Plan.BASIC, grace_runs=12)
    assert has(subscriber) == ("basic", 0, 12)


def upgrade(payer: Payer) -> None:
    assert payer.post("change-plan", {"plan": "pro"}).status_code == 200


def pay_by_the_year(payer: Payer) -> None:
    assert payer.post("change-plan", {"plan": "basic", "interval": "year"}).status_code == 200


def buy_again(payer: Payer) -> None:
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.sync()
    assert payer.sees()["plan"] == "free"
    payer.buy("basic")


def be_refunded_and_buy_again(payer: Payer) -> None:
    intent = payer.client.v1.payment_intents.list({"customer": payer.customer}).data[0]
    payer.client.v1.refunds.create({"payment_intent": intent.id})
    buy_again(payer)


@pytest.mark.parametrize("act", [upgrade, pay_by_the_year, buy_again, be_refunded_and_buy_again])
def test_what_was_used_is_carried_by_a_line_of_the_ledger(subscriber: Payer, act: Callable[[Payer], None]) -> None:
    subscriber.run(3)
    subscriber.travel(days=3)
    before = subscriber.row.paid_start
    act(subscriber)
    name, used, limit = has(subscriber)
    assert (used, limit) == (3, 5000 if act is upgrade else 1000)
    assert name == ("pro" if act is upgrade else "basic")
    old, new = UsagePeriod.objects.filter(source="paid").order_by("starts_at")
    assert (old.starts_at, old.used, old.ends_at) == (before, 3, new.starts_at)
    line = LedgerEntry.objects.get(kind="adjust")
    assert (line.period, line.quantity, line.balance) == (new, -3, limit - 3)
    for _ in range(2):
        subscriber.sync()
    assert has(subscriber)[1] == 3
    assert_books_are_right(subscriber.row.workspace)


def test_what_was_used_of_free_and_of_the_trial_is_not_carried(payer: Payer) -> None:
    payer.run(3)
    assert payer.post("activate-trial").status_code == 200
    payer.run(2)
    payer.buy("basic")
    assert has(payer) == ("basic", 0, 1000)
    assert not LedgerEntry.objects.filter(kind="adjust").exists()
    used = UsagePeriod.objects.values_list("source").annotate(Sum("used"))
    assert dict(used) == {"free": 3, "trial": 2, "paid": 0}
    # And what was used of the month on FREE is still used after the plan has ended.
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.sync()
    assert has(payer) == ("free", 3, 10)


def test_the_first_paid_period_ends_a_trial_for_good(payer: Payer) -> None:
    assert payer.post("activate-trial").status_code == 200
    payer.travel(hours=1)
    payer.buy("basic")
    bought = payer.row.first_paid_at
    assert bought is not None
    payer.client.v1.subscriptions.cancel(payer.one.id)
    payer.sync()
    trial_end = payer.row.trial_end
    assert trial_end is not None
    assert trial_end > clock.now()
    assert has(payer)[0] == "free"
    assert [plan_at(payer, at) for at in (bought - TICK, bought, trial_end - TICK)] == ["trial", "free", "free"]
    answer = payer.post("activate-trial")
    assert (answer.status_code, answer.json()["code"]) == (409, "trial_already_used")


@pytest.mark.parametrize("noticed_after", [timedelta(hours=2), timedelta(days=5)])
def test_grace_is_counted_from_stripes_invoice(subscriber: Payer, noticed_after: timedelta) -> None:
    decline(subscriber)
    end = end_of(subscriber)
    reach(subscriber, end + noticed_after)
    subscriber.sync()
    unpaid = subscriber.invoices[0]
    created = datetime.fromtimestamp(unpaid.created, UTC)
    assert (unpaid.status, created) == ("open", end)
    over = end + timedelta(days=7)
    assert datetime.fromisoformat(subscriber.sees()["grace_until"]) == over
    assert plan_at(subscriber, over - TICK) == "basic"
    assert plan_at(subscriber, over) == "free"
    nearly_reach(subscriber, over)
    subscriber.sync()
    assert has(subscriber)[0] == "basic"
    reach(subscriber, over)
    assert has(subscriber) == ("free", 0, 10)
    subscriber.sync()
    assert (has(subscriber), subscriber.row.stripe_status) == (("free", 0, 10), "past_due")


def test_what_stripe_has_ended_is_not_paid_at_once(pro: Payer) -> None:
    pro.run(2)
    pro.client.v1.subscriptions.cancel(pro.one.id)
    pro.sync()
    assert end_of(pro) > clock.now() + timedelta(days=20)
    assert has(pro) == ("free", 0, 10)
    assert pro.row.canceled_at is not None


def test_a_paused_collection_takes_the_plan_and_gives_it_back_as_it_was(pro: Payer) -> None:
    pro.run(2)
    pro.client.v1.subscriptions.update(pro.one.id, {"pause_collection": {"behavior": "void"}})
    pro.sync()
    assert has(pro) == ("free", 0, 10)
    pro.client.v1.subscriptions.update(pro.one.id, {"pause_collection": ""})
    pro.sync()
    assert has(pro) == ("pro", 2, 5000)


def give(payer: Payer, slug: str, days: int) -> None:
    now = clock.now()
    lifecycle.comp(payer.row, plan=plan(slug), until=now + timedelta(days=days), reason="Sorry", actor=None, now=now)


def test_a_comp_beside_a_paid_plan_runs_in_its_bucket(subscriber: Payer) -> None:
    subscriber.run(3)
    give(subscriber, Plan.PRO, days=5)
    assert has(subscriber) == ("pro", 3, 5000)
    assert subscriber.sees()["source"] == Source.COMP
    subscriber.run()
    until = subscriber.row.comp_end
    assert until is not None
    assert plan_at(subscriber, until - TICK) == "pro"
    reach(subscriber, until)
    assert has(subscriber) == ("basic", 4, 1000)
    assert UsagePeriod.objects.filter(source="comp").count() == 0


def test_a_comp_cuts_nobody_down(pro: Payer) -> None:
    give(pro, Plan.BASIC, days=90)
    assert (has(pro), pro.sees()["source"]) == (("pro", 0, 5000), Source.PAID)
    pro.client.v1.subscriptions.cancel(pro.one.id)
    pro.sync()
    assert (has(pro), pro.sees()["source"]) == (("basic", 0, 1000), Source.COMP)


def test_an_override_ends_by_itself(subscriber: Payer) -> None:
    subscriber.run(3)
    until = clock.now() + timedelta(days=2)
    change(subscriber.row.workspace, runs_override=4, runs_override_end=until, now=clock.now())
    assert has(subscriber) == ("basic", 3, 4)
    subscriber.run()
    answer = subscriber.person.post("/sessions", {"title": "One more"})
    assert (answer.status_code, answer.json()["code"]) == (402, "quota_exceeded")
    subscriber.sync()
    assert has(subscriber) == ("basic", 4, 4)
    reach(subscriber, until)
    assert has(subscriber) == ("basic", 4, 1000)


def last_of_january(payer: Payer) -> datetime:
    """Go there; the next one."""
    at = datetime(clock.now().year + 1, 1, 31, 12, tzinfo=UTC)
    reach(payer, at)
    return at


def test_months_from_31_january_end_with_february_and_then_on_31_march(payer: Payer) -> None:
    bought = last_of_january(payer)
    payer.buy("basic")
    start, end = payer.row.paid_start, end_of(payer)
    assert start is not None
    assert start - bought < timedelta(minutes=5)
    february = calendar.monthrange(bought.year, 2)[1]
    assert end == start.replace(month=2, day=february)
    # As if renewed, and as renewed: one and the same bucket.
    reach(payer, end)
    edge = entitlement(payer.row, clock.now()).period
    assert edge == Period(end, start.replace(month=3, day=31))
    payer.run()
    payer.travel(hours=2)
    payer.sync()
    assert (payer.row.paid_start, payer.row.paid_end) == (edge.start, edge.end)
    assert has(payer) == ("basic", 1, 1000)


def test_a_year_from_31_january_is_cut_at_the_same_instants(payer: Payer) -> None:
    last_of_january(payer)
    payer.buy("basic", interval="year")
    start = payer.row.paid_start
    assert start is not None
    assert end_of(payer) == start.replace(year=start.year + 1)
    february = calendar.monthrange(start.year, 2)[1]
    cuts = [start, start.replace(month=2, day=february), start.replace(month=3, day=31), start.replace(month=4, day=30)]
    payer.run(2)
    for at, following in pairwise(cuts[1:]):
        nearly_reach(payer, at)
        assert has(payer)[1] > 0
        reach(payer, at)
        assert has(payer) == ("basic", 0, 1000)
        assert entitlement(payer.row, clock.now()).period == Period(at, following)
        payer.run()
