"""Whoever is killed while Stripe is asked: nothing is charged twice, and what was begun is ended by the next."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from billing import jobs
from billing.models import StripeOperation
from tests.processes.money import Customer, Shop, swept
from tests.processes.service import until


def test_what_a_killed_worker_had_begun_at_stripe_is_ended_by_the_next(shop: Shop) -> None:
    """In the middle of each of its jobs: Stripe has done its part, and the answer never came."""
    known, twice = Customer(shop), Customer(shop)
    known.buy("basic")
    session = twice.checkout("pro")
    shop.stand_in.pay(session)
    shop.client.v1.subscriptions.create(
        {
            "customer": twice.customer,
            "items": [{"price": shop.price("basic")}],
            "default_payment_method": str(twice.live[0].default_payment_method),
        }
    )
    # The portal's change is not known here yet.
    known.portal().send("plan", price=shop.price("pro"))
    paths = ("^POST /v1/customers$", "^POST /v1/refunds$", f"^GET /v1/customers/{known.customer}$")
    shop.hold(*paths)
    newcomer = Customer(shop)
    twice.come_back(session)
    jobs.sync_customer.defer(customer=known.customer)
    until(lambda: shop.is_held(*paths), "the worker waits in all three")
    shop.service.kill("worker")
    assert newcomer.row.stripe_customer_id is None
    assert known.sees()["plan"] == "basic"
    assert len(twice.live) == 2
    shop.service.start_worker("--concurrency=4")
    swept(lambda: newcomer.sees()["has_stripe_customer"], "the customer is taken over")
    swept(lambda: known.sees()["plan"] == "pro", "the change is seen")
    swept(lambda: len(twice.live) == 1, "what was bought twice is given back")
    assert [one.id for one in newcomer.customers] == [newcomer.customer]
    assert twice.charges == [4900]
    (payment,) = (one for one in shop.client.v1.charges.list({"customer": twice.customer}).data if one.refunded)
    assert [one.amount for one in shop.client.v1.refunds.list({"charge": payment.id}).data] == [1900]
    assert twice.sees()["plan"] == "pro"


def test_an_upgrade_whose_web_process_is_killed_is_charged_once(shop: Shop) -> None:
    ann = Customer(shop)
    ann.buy("basic")
    ann.run(2)
    kill_the_web_within(shop, ann, f"^POST /v1/subscriptions/{ann.live[0].id}$", "change-plan", {"plan": "pro"})
    assert len(ann.charges) == 2
    answer = ann.bill("change-plan", {"plan": "pro"}, **{"Idempotency-Key": ann.email})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["plan"], answer.json()["monthly_agent_runs"]) == ("pro", 2)
    assert len(ann.charges) == 2
    again = ann.bill("change-plan", {"plan": "pro"}, **{"Idempotency-Key": ann.email})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == answer.json()
    assert not StripeOperation.objects.filter(workspace=ann.row.workspace, finished_at=None).exists()


def test_a_checkout_whose_web_process_is_killed_is_opened_once(shop: Shop) -> None:
    ann = Customer(shop)
    kill_the_web_within(shop, ann, "^POST /v1/checkout/sessions$", "create-checkout-session", {"plan": "pro"})
    opened = shop.client.v1.checkout.sessions.list({"customer": ann.customer, "status": "open"}).data
    answer = ann.bill("create-checkout-session", {"plan": "pro"}, **{"Idempotency-Key": ann.email})
    assert answer.status_code == 200, answer.text
    assert [one.id for one in opened] == [answer.json()["checkout_session_id"]]
    again = ann.bill("create-checkout-session", {"plan": "pro"}, **{"Idempotency-Key": ann.email})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(shop.client.v1.checkout.sessions.list({"customer": ann.customer}).data) == 1
    session = answer.json()["checkout_session_id"]
    shop.stand_in.pay(session)
    ann.come_back(session)
    assert ann.sees()["plan"] == "pro"
    assert ann.charges == [4900]
    assert len(ann.customers) == 1


def kill_the_web_within(shop: Shop, ann: Customer, path: str, asked: str, body: Any) -> None:
    """kill -9 of the process that serves, after Stripe did what `path` asks and before it has answered."""
    shop.hold(path)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ann.bill, asked, body, **{"Idempotency-Key": ann.email})
        until(lambda: shop.is_held(path), "Stripe has done it")
        shop.service.kill_web_worker()
        with pytest.raises(httpx.TransportError):
            asking.result()
