"""Stripe's deliveries, end to end: nobody comes back and nobody sweeps, and what happened there shows here."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from billing.jobs import BILLING_QUEUE, look_at_customer
from billing.models import StripeEvent
from billing.webhooks import EFFECTS
from tests.processes.money import FAILS_LATER, Customer, Shop, Watch, swept
from tests.processes.service import until

MOST_SECONDS = 5


def test_who_pays_and_never_comes_back_is_on_pro_within_seconds(rung_shop: Shop) -> None:
    ann = Customer(rung_shop)
    session = ann.checkout("pro")
    watch = Watch()
    rung_shop.stand_in.pay(session)
    until(lambda: ann.sees()["plan"] == "pro", "the payment shows", seconds=MOST_SECONDS - watch.seconds)
    print(f"PRO {watch.seconds:.2f} s after the payment began")
    seen = ann.sees()
    assert (seen["status"], seen["source"], seen["runs_remaining"]) == ("active", "paid", 5000)
    all_is_done([ann])
    assert StripeEvent.objects.filter(customer=ann.customer, type="checkout.session.completed").exists()
    assert ann.charges == [4900]


def test_a_renewal_and_one_that_fails_show_within_seconds(rung_shop: Shop) -> None:
    renewing, failing = (bought(rung_shop, "pro") for _ in range(2))
    failing.take_card(FAILS_LATER)
    for one in (renewing, failing):
        one.run(2)
        assert counted(one) == ("pro", "active", 2, 5000)
    all_is_done([renewing, failing])
    watch = Watch()
    rung_shop.travel(days=32)
    until(lambda: counted(renewing) == ("pro", "active", 0, 5000), "the renewal shows", seconds=MOST_SECONDS)
    until(lambda: counted(failing) == ("pro", "past_due", 0, 500), "the failure shows", seconds=MOST_SECONDS)
    print(f"Renewed, and not renewed, {watch.seconds:.2f} s after a month's step began")
    all_is_done([renewing, failing])
    for one in (renewing, failing):
        assert facts_here(one) == facts_at_stripe(one)
    assert renewing.charges == [4900, 4900]
    assert failing.charges == [4900]


def test_deliveries_in_any_order_and_twice_end_in_what_stripe_holds(rung_shop: Shop) -> None:
    """Everything is done at Stripe's pages while nothing is delivered, and then it all comes at once."""
    stand_in = rung_shop.stand_in
    stand_in.control("POST", "webhooks/settle")
    stand_in.control("POST", "webhooks", mode="hold")
    upgrading, downgrading, leaving, gone = everybody = [Customer(rung_shop) for _ in range(4)]
    for one, plan in zip(everybody, ("basic", "pro", "basic", "pro"), strict=True):
        stand_in.pay(one.checkout(plan))
    upgrading.portal().send("plan", price=rung_shop.price("pro"))
    downgrading.portal().send("plan", price=rung_shop.price("basic"))
    leaving.portal().send("cancel")
    rung_shop.client.v1.subscriptions.cancel(gone.live[0].id)
    assert [one.sees()["plan"] for one in everybody] == ["free"] * 4

    held = [one for one in deliveries(rung_shop) if one["state"] == "held"]
    stand_in.control("POST", "webhooks", mode="deliver")
    assert stand_in.control("POST", "webhooks/release", order="shuffled", seed=5, copies=2)["released"] == 2 * len(held)
    assert stand_in.control("POST", "webhooks/settle", seconds=20)["settled"]
    all_is_done(everybody)
    assert [one.sees()["plan"] for one in everybody] == ["pro", "pro", "basic", "free"]
    assert (downgrading.sees()["pending_plan"], leaving.sees()["cancel_at_period_end"]) == ("basic", True)
    for one in everybody:
        assert facts_here(one) == facts_at_stripe(one)

    sent = {one["event"]: one["type"] for one in held}
    both = [one["state"] for one in deliveries(rung_shop) if one["event"] in sent]
    assert both == ["delivered"] * 2 * len(held)
    stored = StripeEvent.objects.filter(stripe_id__in=sent).values_list("stripe_id", flat=True)
    assert set(stored) == {id for id, type in sent.items() if type in EFFECTS}


def test_a_first_purchase_overtakes_ten_thousand_events(rung_shop: Shop) -> None:
    ann = Customer(rung_shop)
    session = ann.checkout("pro")
    with backlog(10_000) as waiting:
        until(lambda: waiting() < 10_000, "the workers work on it")
        watch = Watch()
        rung_shop.stand_in.pay(session)
        until(lambda: ann.sees()["plan"] == "pro", "the payment shows", seconds=MOST_SECONDS - watch.seconds)
        print(f"PRO {watch.seconds:.2f} s after the payment began, with {waiting():,} events before it")
        assert waiting() > 5_000
    all_is_done([ann])


def test_when_stripe_is_back_a_new_event_waits_for_no_pause(rung_shop: Shop) -> None:
    ann = Customer(rung_shop)
    session = ann.checkout("pro")
    rung_shop.stand_in.control("POST", "faults", path=f"^GET /v1/customers/{ann.customer}$", status=500, times=1000)
    rung_shop.stand_in.pay(session)
    assert rung_shop.stand_in.control("POST", "webhooks/settle")["settled"]
    hers = StripeEvent.objects.filter(customer=ann.customer)
    until(lambda: not ProcrastinateJob.objects.filter(lock=ann.customer).exists(), "each was tried")
    assert set(hers.values_list("state", flat=True)) == {"waiting"}
    # As after many hours of it.
    hers.update(next_attempt_at=datetime.now(UTC) + timedelta(hours=1))
    rung_shop.stand_in.control("DELETE", "faults")
    assert ann.sees()["plan"] == "free"

    watch = Watch()
    rung_shop.client.v1.customers.update(ann.customer, {"name": "Ann B."})
    until(lambda: ann.sees()["plan"] == "pro", "the new event takes the others along", seconds=MOST_SECONDS)
    print(f"PRO {watch.seconds:.2f} s after a new event")
    all_is_done([ann])
    assert facts_here(ann) == facts_at_stripe(ann)


def test_a_worker_that_is_killed_within_a_look_loses_no_event(rung_shop: Shop) -> None:
    ann, other = Customer(rung_shop), Customer(rung_shop)
    first, second = ann.checkout("pro"), other.checkout("basic")
    look = f"^GET /v1/customers/{ann.customer}$"
    rung_shop.hold(look)
    rung_shop.stand_in.pay(first)
    until(lambda: rung_shop.is_held(look), "a worker waits in the middle of its look")
    # The other worker goes on, and leaves her to the one that has her.
    rung_shop.stand_in.pay(second)
    until(lambda: other.sees()["plan"] == "basic", "the other worker sees the other payment")
    assert rung_shop.stand_in.control("POST", "webhooks/settle")["settled"]
    assert ProcrastinateJob.objects.filter(status="doing", lock=ann.customer).count() == 1
    assert looks(rung_shop, ann) == 1
    for name in ("worker", "other"):
        rung_shop.service.kill(name)
    assert set(StripeEvent.objects.filter(customer=ann.customer).values_list("state", flat=True)) == {"waiting"}
    assert ann.sees()["plan"] == "free"

    until(rung_shop.service.is_silent, "both count as dead")
    # One that sweeps too: it frees what the dead one had.
    rung_shop.service.start_worker()
    swept(lambda: ann.sees()["plan"] == "pro", "the next one takes it up")
    all_is_done([ann, other])
    # One look served all events that had come meanwhile.
    assert looks(rung_shop, ann) == 2
    assert facts_here(ann) == facts_at_stripe(ann)
    assert ann.charges == [4900]


@contextmanager
def backlog(count: int) -> Iterator[Callable[[], int]]:
    """So many events of as many strangers, with the jobs that look at them; tells how many nobody has tried yet."""
    events = StripeEvent.objects.filter(customer__startswith="cus_backlog_")
    jobs = ProcrastinateJob.objects.filter(lock__startswith="cus_backlog_")
    wall = datetime.now(UTC)
    StripeEvent.objects.bulk_create(
        StripeEvent(
            stripe_id=f"evt_backlog_{number}",
            type="customer.updated",
            customer=f"cus_backlog_{number}",
            payload={},
            created_at=wall,
            received_at=wall,
            next_attempt_at=wall + timedelta(hours=1),
        )
        for number in range(count)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT procrastinate_defer_jobs_v1(array_agg(ROW(
                %s, %s, 0, customer, NULL, jsonb_build_object('customer', customer, 'event', stripe_id), NULL
            )::procrastinate_job_to_defer_v1 ORDER BY id))
            FROM billing_stripeevent WHERE customer LIKE 'cus_backlog_%%'
            """,
            [BILLING_QUEUE, look_at_customer.name],
        )
    try:
        yield lambda: events.filter(attempts=0).count()
    finally:
        jobs.filter(status="todo")._raw_delete(jobs.db)
        until(lambda: not jobs.exists(), "the last of them is done")
        events.delete()


def bought(shop: Shop, plan: str) -> Customer:
    """Somebody on that plan, who paid and did not come back."""
    one = Customer(shop)
    shop.stand_in.pay(one.checkout(plan))
    until(lambda: one.sees()["plan"] == plan, "the payment shows")
    return one


def all_is_done(customers: Iterable[Customer]) -> None:
    """Every event of theirs, and no job is left for any."""
    ids = [one.customer for one in customers]
    events = StripeEvent.objects.filter(customer__in=ids)
    until(lambda: not events.exclude(state="done").exists(), "every event is done")
    until(lambda: not ProcrastinateJob.objects.filter(lock__in=ids).exists(), "nobody is rung for any more")


def counted(one: Customer) -> tuple[str, str, int, int]:
    seen = one.sees()
    return seen["plan"], seen["status"], seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]


def deliveries(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.stand_in.control("GET", "webhooks")["deliveries"]
    return found


def looks(shop: Shop, one: Customer) -> int:
    """How often Stripe was asked for this customer since requests were last forgotten."""
    made = shop.stand_in.control("GET", "requests")["requests"]
    return sum((request["method"], request["path"]) == ("GET", f"/v1/customers/{one.customer}") for request in made)


def facts_here(one: Customer) -> dict[str, Any]:
    row = one.row
    assert row.paid_price is not None
    return {
        "subscription": row.stripe_subscription_id,
        "status": row.stripe_status,
        "price": row.paid_price.stripe_price_id,
        "start": row.paid_start,
        "end": row.paid_end,
        "cancel_at": row.cancel_at,
        "canceled_at": row.canceled_at,
        "pending": row.pending_plan and (row.pending_plan.slug, row.pending_at),
    }


def facts_at_stripe(one: Customer) -> dict[str, Any]:
    """Of the only subscription, by the same names."""
    client = one.shop.client.v1
    (held,) = client.subscriptions.list({"customer": one.customer, "status": "all"}).data
    (item,) = held["items"].data
    pending = None
    if held.schedule is not None:
        _, after = client.subscription_schedules.retrieve(str(held.schedule)).phases
        # ai_manus_basic_month_usd
        key = str(client.prices.retrieve(str(after["items"][0].price)).lookup_key)
        pending = key.split("_")[2], instant(after.start_date)
    return {
        "subscription": held.id,
        "status": held.status,
        "price": item.price.id,
        "start": instant(item.current_period_start),
        "end": instant(item.current_period_end),
        "cancel_at": instant(held.cancel_at) if held.status != "canceled" else None,
        "canceled_at": instant(held.canceled_at),
        "pending": pending,
    }


def instant(timestamp: int | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
