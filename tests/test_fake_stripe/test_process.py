"""The process: what it keeps over a restart, the clock that it shares, and the check that it is under."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.fake_stripe import description
from tests.fake_stripe.running import ROOT, Refused, StandIn, running
from tests.test_fake_stripe.conftest import Shop, client_of, item_of


def test_state_and_clock_survive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as stand_in:
        client = client_of(stand_in)
        customers = [client.v1.customers.create({"email": f"{number}@example.com"}).id for number in range(3)]
        client.v1.customers.delete(customers[1])
        stand_in.advance(days=3)
        before = stand_in.control("GET", "clock")
    assert float((tmp_path / "clock-offset").read_text()) == before["offset"] == 3 * 86400
    with running(tmp_path) as stand_in:
        after = stand_in.control("GET", "clock")
        assert after["offset"] == before["offset"]
        assert 0 <= after["now"] - before["now"] < 60
        listed = client_of(stand_in).v1.customers.list().data
        assert [each.id for each in listed] == [customers[2], customers[0]]


def test_what_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as stand_in:
        made = client_of(stand_in).v1.customers.create({}, {"idempotency_key": "op-1"}).id
        os.kill(stand_in.pid, signal.SIGKILL)
    with running(tmp_path) as stand_in:
        assert client_of(stand_in).v1.customers.create({}, {"idempotency_key": "op-1"}).id == made
        assert [each.id for each in client_of(stand_in).v1.customers.list().data] == [made]


def test_a_kill_in_the_midst_of_writing_leaves_a_whole_state(tmp_path: Path) -> None:
    answered: dict[str, str] = {}

    def subscribe(client: stripe.StripeClient, price: str, worker: int) -> None:
        for number in count():
            key = f"op-{worker}-{number}"
            params: Any = {"payment_method": "pm_card_visa", "email": f"{key}@example.com"}
            try:
                answered[key] = client.v1.customers.create(params, {"idempotency_key": key}).id
                listed = client.v1.customers.payment_methods.list(answered[key]).data
                client.v1.subscriptions.create(
                    {
                        "customer": answered[key],
                        "items": [{"price": price}],
                        "default_payment_method": listed[0].id,
                    }
                )
            except stripe.APIConnectionError:
                return

    with running(tmp_path) as stand_in, ThreadPoolExecutor(4) as pool:
        client = client_of(stand_in)
        product: Any = {"name": "Basic"}
        price = client.v1.prices.create(
            {"product_data": product, "currency": "usd", "unit_amount": 100, "recurring": {"interval": "month"}}
        )
        workers = [pool.submit(subscribe, client_of(stand_in), price.id, worker) for worker in range(4)]
        while len(answered) < 40:
            assert not any(worker.done() for worker in workers)
        os.kill(stand_in.pid, signal.SIGKILL)
        for worker in workers:
            worker.result(10)
    with running(tmp_path) as stand_in:
        client = client_of(stand_in)
        kept = {each.id for each in client.v1.customers.list({"limit": 100}).auto_paging_iter()}
        assert set(answered.values()) <= kept
        assert len(kept) <= len(answered) + 4
        for key, id in answered.items():
            params: Any = {"payment_method": "pm_card_visa", "email": f"{key}@example.com"}
            assert client.v1.customers.create(params, {"idempotency_key": key}).id == id
        # Each subscription is there with its paid invoice, or is not there at all.
        listed = client.v1.subscriptions.list({"limit": 100, "expand": ["data.latest_invoice"]})
        for subscription in listed.auto_paging_iter():
            assert isinstance(subscription.latest_invoice, stripe.Invoice)
            assert (subscription.status, subscription.latest_invoice.status) == ("active", "paid")
        assert stand_in.violations() == []


def test_many_at_once_are_each_served_whole(shop: Shop) -> None:
    def customer(number: int) -> str:
        client = client_of(shop.stand_in)
        made = client.v1.customers.create({"email": f"{number}@example.com", "payment_method": "pm_card_visa"})
        method = client.v1.customers.payment_methods.list(made.id).data[0].id
        client.v1.subscriptions.create(
            {"customer": made.id, "items": [{"price": shop.basic}], "default_payment_method": method}
        )
        shop.stand_in.advance(seconds=1)
        return made.id

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(customer, range(24)))
    paid = list(shop.client.v1.invoices.list({"status": "paid", "limit": 100}).auto_paging_iter())
    assert {each.customer for each in paid} == set(made)
    assert len(paid) == len(made)
    assert len({each.number for each in paid}) == len(made)


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    with running(tmp_path) as stand_in:
        kept = client_of(stand_in).v1.customers.create().id
    with (tmp_path / "state.jsonl").open("a") as journal:
        journal.write('{"cus_torn":{"id":"cus_torn","obj')
    with running(tmp_path) as stand_in:
        assert [each.id for each in client_of(stand_in).v1.customers.list().data] == [kept]


def test_in_memory_only_the_clock_is_kept(tmp_path: Path) -> None:
    with running(tmp_path, "--in-memory") as stand_in:
        client_of(stand_in).v1.customers.create()
        stand_in.advance(days=3)
    assert {each.name for each in tmp_path.iterdir()} == {"clock-offset", "lock"}
    with running(tmp_path, "--in-memory") as stand_in:
        assert client_of(stand_in).v1.customers.list().data == []
        assert stand_in.control("GET", "clock")["offset"] == 3 * 86400


def test_two_processes_do_not_share_a_state(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(RuntimeError, match="Another stand-in uses"), running(tmp_path):
        pass


def test_without_its_description_it_runs_unchecked_and_refuses_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path) as stand_in:
        params: Any = {"colour": "red"}
        with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
            client_of(stand_in).v1.customers.create(params)
        assert stand_in.violations() == []


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fake_stripe", "--port=0", f"--state-dir={tmp_path}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0


def test_time_goes_forward_only(stand_in: StandIn) -> None:
    with pytest.raises(Refused, match="time does not go back"):
        stand_in.control("POST", "clock", advance=-1)
    with pytest.raises(Refused):
        stand_in.control("POST", "clock", advance="soon")


def test_the_check_finds_a_key_that_stripe_does_not_have() -> None:
    checker = description.load()
    product: dict[str, Any] = {
        "id": "prod_1",
        "object": "product",
        "active": True,
        "created": 1,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": "Pro",
        "updated": 1,
    }
    checker.check_answer("GET", "/v1/products/prod_1", 200, product)
    assert checker.violations == []
    checker.check_answer("GET", "/v1/products/prod_1", 200, product | {"colour": "red"})
    checker.check_answer("GET", "/v1/products/prod_1", 200, product | {"name": None})
    checker.check_object(product | {"object": "toaster"}, "event")
    assert len(checker.violations) == 3


def test_the_check_finds_a_wrong_object_inside_an_event() -> None:
    checker = description.load()
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": None,
        "created": 1,
        "data": {"object": {"id": "cus_1", "object": "customer", "created": 1, "livemode": False, "hue": 1}},
        "livemode": False,
        "pending_webhooks": 0,
        "request": None,
        "type": "customer.created",
    }
    checker.check_answer("GET", "/v1/events/evt_1", 200, event)
    assert any("hue" in each for each in checker.violations)


def test_a_fault_is_told_where_and_how_often(shop: Shop) -> None:
    shop.stand_in.control("POST", "faults", path=r"POST /v1/subscriptions$", status=500, times=2)
    shop.card()
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            shop.subscribe()
    assert item_of(shop.subscribe()).quantity == 1
    assert shop.stand_in.control("GET", "faults") == {"faults": []}


def test_an_effect_without_its_answer_is_found_again(shop: Shop) -> None:
    shop.card()
    shop.stand_in.control("POST", "faults", path=r"POST /v1/subscriptions$", status=500, after=True)
    with pytest.raises(stripe.APIError):
        shop.subscribe(metadata={"operation_id": "op-1"})
    found = shop.client.v1.subscriptions.list({"customer": shop.customer}).data
    assert [each.metadata.to_dict() for each in found] == [{"operation_id": "op-1"}]


def test_what_was_kept_once_is_there_again_after_a_reset(stand_in: StandIn, client: stripe.StripeClient) -> None:
    before = [client.v1.customers.create({"email": f"{number}@example.com"}).id for number in range(3)]
    kept = stand_in.control("GET", "objects")["objects"]
    after = client.v1.customers.create().id
    stand_in.control("POST", "reset", objects=kept)
    assert [one.id for one in client.v1.customers.list().data] == before[::-1]
    assert client.v1.customers.retrieve(before[1]).email == "1@example.com"
    # The endpoint of the command line is made anew.
    there = stand_in.control("GET", "objects")["objects"]
    assert [one for one in there if one["object"] == "customer"] == [one for one in kept if one["object"] == "customer"]
    with pytest.raises(stripe.InvalidRequestError, match=after):
        client.v1.customers.retrieve(after)
