"""Misbehaviour on request: an answer that is an error, late, or does not come at all."""

import re
import threading
from dataclasses import dataclass

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object

MESSAGES = {
    409: (
        "This object cannot be accessed right now, because another request has it.",
        "invalid_request_error",
        "lock_timeout",
    ),
    429: ("Too many requests hit the API too quickly.", "invalid_request_error", "rate_limit"),
    500: ("An unknown error occurred.", "api_error", None),
}


@dataclass
class Fault:
    """`path` is a regular expression found in `METHOD /v1/...`. `status` or `seconds` of silence, `times` times.

    With `is_after` the request has had its effect when the answer goes wrong.
    """

    path: str
    times: int
    status: int | None = None
    seconds: float | None = None
    is_after: bool = False

    def error(self) -> StripeError:
        assert self.status is not None
        message, type, code = MESSAGES.get(self.status, MESSAGES[500])
        # Stripe replays a stored 500 under its idempotency key, and forgets that it was asked too often.
        return StripeError(
            self.status, message, type=type, code=code, keeps_effects=self.is_after, is_remembered=self.status >= 500
        )


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The first that matches, counted down."""
        with self._lock:
            for fault in self._faults:
                if re.search(fault.path, f"{method} {path}"):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def left(self) -> list[Object]:
        with self._lock:
            return [
                {
                    "path": fault.path,
                    "times": fault.times,
                    **({"timeout": fault.seconds} if fault.status is None else {"status": fault.status}),
                    "after": fault.is_after,
                }
                for fault in self._faults
            ]
