"""Sixty-four clients are sixty-four threads: together at one instant, or for the length of a burst."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

CLIENTS = 64


def at_once[T](count: int, act: Callable[[int], T]) -> list[T]:
    """`act(0)` to `act(count - 1)`, begun together, each in a thread; their results in that order."""
    gate = threading.Barrier(count)

    def begin(number: int) -> T:
        gate.wait(60)
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


class Burst:
    """Clients that go on calling while the test does something to the service; leaving the block waits for them."""

    def __init__(self, clients: int, act: Callable[[int], None]) -> None:
        self.clients, self.act = clients, act
        self.pool = ThreadPoolExecutor(clients)
        self.running: list[Future[None]] = []

    def __enter__(self) -> Self:
        self.running = [self.pool.submit(self.act, number) for number in range(self.clients)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=True)
        if error is None:
            for done in self.running:
                done.result()
