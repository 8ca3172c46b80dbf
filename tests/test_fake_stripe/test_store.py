"""What is kept: found by its fields as they are now, undone as a whole, and small."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object
from tests.fake_stripe.store import Store

Open = Callable[..., Store]


@pytest.fixture
def store_at(tmp_path: Path) -> Iterator[Open]:
    """Another one at the same place reads what was written."""
    opened: list[Store] = []

    def open_store(**limits: int) -> Store:
        opened.append(Store(tmp_path / "state.jsonl", **limits))
        return opened[-1]

    yield open_store
    for each in opened:
        each.close()


@pytest.fixture
def store(store_at: Open) -> Store:
    return store_at()


def card(number: int, customer: str | None = None) -> Object:
    return {"id": f"pm_{number}", "object": "payment_method", "customer": customer, "brand": "visa"}


def add(store: Store, *objects: Object) -> None:
    with store.transaction():
        for obj in objects:
            store.add(obj)


def ids(found: object) -> list[str]:
    assert isinstance(found, Iterator)
    return [obj["id"] for obj in found]


def test_what_is_found_by_a_field_follows_its_changes(store: Store) -> None:
    add(store, *(card(number, "cus_1") for number in range(3)), card(3))
    with store.transaction():
        store.get("payment_method", "pm_1")["customer"] = "cus_2"
        store.get("payment_method", "pm_3")["customer"] = "cus_1"
        # Within the transaction as after it.
        assert ids(store.all("payment_method", customer="cus_1")) == ["pm_0", "pm_2", "pm_3"]
        assert ids(store.all("payment_method", customer="cus_2", brand="visa")) == ["pm_1"]
        store.remove(store.get("payment_method", "pm_2"))
        assert ids(store.newest("payment_method", customer="cus_1")) == ["pm_3", "pm_0"]
    assert ids(store.all("payment_method", customer="cus_1")) == ["pm_0", "pm_3"]
    assert ids(store.all("payment_method", customer="cus_2")) == ["pm_1"]
    assert ids(store.all("payment_method")) == ["pm_0", "pm_1", "pm_3"]


def test_what_fails_leaves_everything_as_it_was(store: Store) -> None:
    add(store, card(1, "cus_1"))

    def change_and_raise(error: Exception) -> None:
        store.get("payment_method", "pm_1")["customer"] = "cus_2"
        store.add(card(2, "cus_2"))
        raise error

    with pytest.raises(ZeroDivisionError), store.transaction():
        change_and_raise(ZeroDivisionError())
    assert ids(store.all("payment_method", customer="cus_1")) == ["pm_1"]
    assert ids(store.all("payment_method", customer="cus_2")) == []
    # Unless it says that its effects stay.
    with pytest.raises(StripeError), store.transaction():
        change_and_raise(StripeError(402, "Declined.", keeps_effects=True))
    assert ids(store.all("payment_method", customer="cus_2")) == ["pm_1", "pm_2"]


def test_an_attempt_that_fails_is_undone_for_those_who_hold_the_object_too(store: Store) -> None:
    add(store, card(1, "cus_1"))
    with store.transaction():
        held = store.get("payment_method", "pm_1")
        held["brand"] = "amex"
        with suppress(ZeroDivisionError), store.attempt():
            held["customer"] = None
            store.add(card(2))
            raise ZeroDivisionError
        assert (held["brand"], held["customer"]) == ("amex", "cus_1")
        held["brand"] = "mastercard"
    assert store.get("payment_method", "pm_1")["brand"] == "mastercard"
    assert store.kind_of("pm_2") is None


def test_a_rehearsal_leaves_nothing(store: Store) -> None:
    add(store, card(1))
    with store.rehearsal():
        store.remove(store.get("payment_method", "pm_1"))
        store.add(card(2))
        assert ids(store.all("payment_method")) == ["pm_2"]
    assert ids(store.all("payment_method")) == ["pm_1"]


def test_who_only_reads_changes_nothing(store: Store) -> None:
    add(store, card(1))
    store.get("payment_method", "pm_1")["brand"] = "amex"
    assert store.get("payment_method", "pm_1")["brand"] == "visa"


def test_pages_begin_where_the_last_ended_though_it_is_gone_from_its_list(store: Store) -> None:
    add(store, *(card(number, "cus_1") for number in range(4)))
    with store.transaction():
        store.get("payment_method", "pm_2")["customer"] = None
    assert ids(store.newest("payment_method", after="pm_2", customer="cus_1")) == ["pm_1", "pm_0"]
    assert ids(store.following("payment_method", "pm_2", customer="cus_1")) == ["pm_3"]
    assert ids(store.following("payment_method", "pm_1", customer="cus_1")) == ["pm_3"]


def test_what_is_compressed_reads_as_before_and_outlives_a_restart(store_at: Open) -> None:
    store = store_at(plain_bytes=0)
    long = card(1, "cus_1") | {"metadata": {str(number): "the same again" for number in range(1000)}}
    add(store, long, card(2, "cus_1"))
    assert store.size < 10_000
    with store.transaction():
        store.get("payment_method", "pm_1")["brand"] = "amex"
    again = store_at()
    assert again.size > 20_000
    for each in (store, again):
        assert each.get("payment_method", "pm_1") == long | {"brand": "amex"}
        assert ids(each.all("payment_method", customer="cus_1")) == ["pm_1", "pm_2"]


def test_who_watches_is_shown_what_is_there_and_what_is_committed(store: Store) -> None:
    add(store, card(1))
    seen: list[str] = []
    store.watch(["payment_method"], lambda obj: seen.append(f"{obj['id']} {obj['brand']}"))
    with suppress(ZeroDivisionError), store.transaction():
        store.add(card(2))
        raise ZeroDivisionError
    with store.transaction():
        store.get("payment_method", "pm_1")["brand"] = "amex"
        store.add({"id": "cus_1", "object": "customer"})
    assert seen == ["pm_1 visa", "pm_1 amex"]
