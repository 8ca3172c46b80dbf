"""What will fall due, the earliest first. Whether it still does is asked when its turn comes."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(order=True, frozen=True)
class Due:
    """`rank` orders what falls on one instant: ends before phases, phases before renewals."""

    at: int
    rank: int
    kind: str = field(compare=False)
    id: str = field(compare=False)
    #: Is called with the world and the object.
    act: Callable[[Any, Any], None] = field(compare=False)

    @property
    def name(self) -> str:
        return f"{self.id}_{self.at}_{self.act.__name__}"


class Agenda:
    def __init__(self) -> None:
        self._coming: list[tuple[Due, int]] = []
        self._names: set[str] = set()
        self._noted = 0

    def note(self, due: Due) -> None:
        """Once; on one instant and rank in this order."""
        if due.name not in self._names:
            self._names.add(due.name)
            self._noted += 1
            heapq.heappush(self._coming, (due, self._noted))

    def first(self, until: int, is_current: Callable[[Due], bool]) -> Due | None:
        """It stays for as long as it is current."""
        while self._coming and self._coming[0][0].at <= until:
            due = self._coming[0][0]
            if is_current(due):
                return due
            heapq.heappop(self._coming)
            self._names.discard(due.name)
        return None

    def clear(self) -> None:
        self._coming.clear()
        self._names.clear()
