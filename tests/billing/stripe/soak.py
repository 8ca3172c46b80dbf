"""`make soak`: more rounds of the search in `test_deliveries_machine`, SOAK_EXAMPLES in all, from SOAK_SEED on.

By its name no test, so that no other run takes it.
"""

import os
import random
import time
from datetime import timedelta

import pytest

from tests.billing.stripe.test_deliveries_machine import EXAMPLES, Deliveries, machine, round_of

__all__ = ["machine"]


def test_for_as_long_as_is_asked(machine: type[Deliveries], capsys: pytest.CaptureFixture[str]) -> None:
    rounds = -(-int(os.environ["SOAK_EXAMPLES"]) // EXAMPLES)
    first = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))
    began = time.monotonic()

    def tell(what: str) -> None:
        with capsys.disabled():
            print(f"{timedelta(seconds=int(time.monotonic() - began))}  {what}", flush=True)

    try:
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}, seed {first + number}; so far {machine.tally.acts:,} acts")
            round_of(machine, first + number)
    finally:
        # Also for who has ended it.
        tell(f"{machine.tally.acts:,} acts\n{machine.tally}")
    tell("Our rows said what Stripe says, each time.")
