"""Invariant 5: of syncs that overlap, in whatever order, the older fetch never stands over a newer one."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import pytest
from django.db import connection

from accounts import clock
from billing import gateway, sync
from billing.models import SubscriptionChange
from billing.snapshots import Snapshot
from tests.billing.stripe.payer import Payer

# The second of a sync's three steps: it takes a number, fetches, and writes.
FETCH = 1


def orders(syncs: int) -> Iterator[tuple[int, ...]]:
    """Every order of the three steps of so many syncs, up to their names: who steps, in turn."""

    def after(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == 3 * syncs:
            yield done
        for one in range(syncs):
            # Numbers are taken in the order of the names; any other order is this one by other names.
            is_next = done.count(one) > 0 or one == len(set(done))
            if done.count(one) < 3 and is_next:
                yield from after((*done, one))

    return after(())


def different(syncs: int) -> list[tuple[int, ...]]:
    """One of those orders that differ only in whether somebody fetches while another takes a number or writes."""
    by_effect: dict[object, tuple[int, ...]] = {}
    for order in orders(syncs):
        steps = [(one, order[:at].count(one)) for at, one in enumerate(order)]
        fetches = tuple(one for one, step in steps if step == FETCH)
        by_effect.setdefault((fetches, tuple(pair for pair in steps if pair[1] != FETCH)), order)
    return list(by_effect.values())


def test_the_orders_are_all_of_them() -> None:
    assert len(list(orders(2))) == 20 / 2
    assert len(list(orders(3))) == 1680 / 6
    # What is one by its effect is looked at once.
    assert len(different(2)) == 5
    assert len(different(3)) == 57


@dataclass
class Look:
    """What Stripe held at one of several instants, each different from the one before."""

    payer: Payer
    fetched: list[Snapshot] = field(default_factory=list)

    def take(self) -> None:
        self.fetched.append(sync.snapshot_of(gateway.held_of(self.payer.customer)))

    @cached_property
    def mirrored(self) -> gateway.Held:
        """The mirror is not what is looked at here, and need not follow each of many writes."""
        return gateway.Held(gateway.held_of(self.payer.customer).customer)

    @cached_property
    def ends(self) -> list[object]:
        """How the row looks after each."""
        return [snapshot.facts(self.payer.row)["cancel_at"] for snapshot in self.fetched]


@pytest.fixture
def look(subscriber: Payer) -> Look:
    """Stripe before a scheduled cancel, with one, and with one at another instant."""
    made, end = Look(subscriber), subscriber.row.paid_end
    assert end is not None
    made.take()
    for days in (0, 40):
        change = {"cancel_at": int(end.timestamp()) + days * 86400}
        subscriber.client.v1.subscriptions.update(subscriber.one.id, change)  # type: ignore[arg-type]
        made.take()
    assert len(set(made.ends)) == 3
    return made


@dataclass
class Overlap:
    """Syncs whose steps are taken one by one. Before each fetch but the first something changed at Stripe."""

    look: Look
    numbers: dict[int, int] = field(default_factory=dict)
    fetches: dict[int, int] = field(default_factory=dict)
    fetched: int = 0
    held_at_last_number: int = 0
    written: list[int] = field(default_factory=list)

    def step(self, one: int) -> bool:
        """False when the sync was overtaken."""
        customer = self.look.payer.customer
        if one not in self.numbers:
            number = sync._take_number(customer)
            assert number is not None
            self.numbers[one], self.held_at_last_number = number, max(0, self.fetched - 1)
        elif one not in self.fetches:
            self.fetches[one] = self.fetched
            self.fetched += 1
        else:
            if not sync._write(
                customer,
                self.numbers[one],
                self.look.mirrored.objects,
                self.look.fetched[self.fetches[one]],
                now=clock.now(),
                cause=SubscriptionChange.STRIPE,
                actor=None,
            ):
                return False
            self.written.append(self.fetches[one])
        return True

    @property
    def row(self) -> int:
        """Which fetch the row shows."""
        return self.look.ends.index(self.look.payer.row.cancel_at)


@pytest.mark.parametrize("syncs", [2, 3])
def test_rows_never_go_back_and_hold_what_was_there_when_the_last_sync_began(look: Look, syncs: int) -> None:
    for order in orders(2) if syncs == 2 else different(3):
        overlap = Overlap(look)
        for one in order:
            overlap.step(one)
        assert all(older < newer for older, newer in pairwise(overlap.written)), order
        assert overlap.row == overlap.written[-1] >= overlap.held_at_last_number, order
        last = max(overlap.numbers, key=lambda one: overlap.numbers[one])
        assert overlap.row == overlap.fetches[last], order


def held_anew(overlap: Overlap, one: int) -> None:
    """As one that insists: overtaken, it begins again at once, with what Stripe holds now."""
    while not overlap.step(one):
        del overlap.numbers[one], overlap.fetches[one]
        overlap.step(one)
        overlap.fetches[one] = overlap.fetched - 1


def test_of_syncs_that_insist_the_last_fetch_stands(look: Look) -> None:
    for order in orders(2):
        overlap = Overlap(look)
        for one in order:
            held_anew(overlap, one)
        assert overlap.row == 1, order


def beside(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """The act in a thread with a connection of its own; what it returned or raised."""
    results: list[object] = []

    def carry_out() -> None:
        try:
            results.append(act())
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=carry_out)
    thread.start()
    return thread, results


def begins_between_its_calls(payer: Payer, *, insist: bool) -> tuple[threading.Thread, list[object]]:
    """A sync that has read the subscriptions, and is kept waiting for the invoices."""
    payer.stand_in.control("POST", "faults", path="GET /v1/invoices$", timeout=1.5)
    customer, now = payer.customer, clock.now()
    thread, results = beside(lambda: sync.sync_customer(customer, now=now, insist=insist))
    while payer.stand_in.control("GET", "faults")["faults"]:
        assert thread.is_alive()
    return thread, results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("insist", [False, True])
def test_one_that_is_held_up_is_overtaken(subscriber: Payer, insist: bool) -> None:
    thread, results = begins_between_its_calls(subscriber, insist=insist)
    subscriber.client.v1.subscriptions.update(subscriber.one.id, {"cancel_at_period_end": True})
    subscriber.sync()
    thread.join()
    (snapshot,) = results
    assert isinstance(snapshot, Snapshot)
    assert snapshot.live is not None
    # What it read itself is from before; one that insists has read again.
    assert (snapshot.live.cancel_at is not None) == insist
    assert subscriber.row.cancel_at == subscriber.row.paid_end
    assert SubscriptionChange.objects.filter(cause="stripe", after__cancel_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_end_as_one(subscriber: Payer) -> None:
    subscriber.sync()
    lines = SubscriptionChange.objects.count()
    subscriber.client.v1.subscriptions.update(subscriber.one.id, {"cancel_at_period_end": True})
    customer, now = subscriber.customer, clock.now()
    begun = [beside(lambda: sync.sync_customer(customer, now=now)) for _ in range(8)]
    for thread, _ in begun:
        thread.join()
    for _, (result,) in begun:
        assert isinstance(result, Snapshot)
    assert subscriber.row.cancel_at == subscriber.row.paid_end
    assert SubscriptionChange.objects.count() == lines + 1


@pytest.mark.django_db(transaction=True)
def test_eight_that_insist_at_once_all_come_to_write(subscriber: Payer) -> None:
    """Each would overtake the others for ever if it began anew at once: whoever was overtaken waits for a turn."""
    subscriber.client.v1.subscriptions.update(subscriber.one.id, {"cancel_at_period_end": True})
    customer, now = subscriber.customer, clock.now()
    begun = [beside(lambda: sync.sync_customer(customer, now=now, insist=True)) for _ in range(8)]
    for thread, _ in begun:
        thread.join()
    for _, (result,) in begun:
        assert isinstance(result, Snapshot), result
    assert subscriber.row.cancel_at == subscriber.row.paid_end
