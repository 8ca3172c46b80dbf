"""What a search did, counted; told so that somebody who comes back to it after hours sees whether it was worth it."""

from collections import Counter
from typing import Final

CUSTOMERS: Final = "the customers"
STRIPE: Final = "Stripe"
CLOCK: Final = "the clock"
#: Whose doings are acts. What becomes of deliveries, and what we do about them, is counted beside them.
ACTORS: Final = (CUSTOMERS, STRIPE, CLOCK)
POST: Final = "the post"
WORKER: Final = "the worker"
LOOKS: Final = "looked at"


class Tally:
    """What had no effect (refused by Stripe or by us, or there was nothing to do it to) is not counted."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, who: str, what: str, number: int = 1) -> None:
        if number:
            self._counts[who, what] += number

    @property
    def acts(self) -> int:
        return sum(self.of(who) for who in ACTORS)

    def of(self, who: str) -> int:
        return sum(number for (one, _), number in self._counts.items() if one == who)

    def __str__(self) -> str:
        lines = []
        for who in (*ACTORS, POST, WORKER, LOOKS):
            each = sorted(((what, number) for (one, what), number in self._counts.items() if one == who))
            lines.append(f"{self.of(who):9,}  {who}: " + ", ".join(f"{number:,} {what}" for what, number in each))
        return "\n".join(lines)
