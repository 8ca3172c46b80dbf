"""What Stripe's events cost here and how soon they show."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from accounts import tokens
from deploy.files import LaunchError
from tests.bench.acts import cause
from tests.bench.figures import Figure
from tests.bench.till import CARD, Till

POLL_SECONDS = 0.01
EACH = 20


def calls(till: Till) -> list[Figure]:
    """To Stripe, for 1,000 events of 50 customers."""
    everybody = till.subscribe(50)
    with till.workers():
        till.look_at([who.customer for who in everybody], within=120)
        held = cause(till, everybody, EACH)
        till.stand_in.control("DELETE", "requests")
        released = till.release()
        till.wait_until_done(within=300)
    asked = len(till.stand_in.control("GET", "requests")["requests"])
    return [
        Figure(
            f"calls to Stripe for each of {held:,} events of {len(everybody)} customers, held and released at once",
            asked / held,
            0.3,
            at_most=True,
            seen=f"{asked} calls, {released} deliveries",
            wrongs=till.wrongs(held),
        )
    ]


def backlog(till: Till, events: int) -> list[Figure]:
    """So many, shuffled and each of them twice, to workers that run."""
    everybody = till.subscribe(max(1, events // EACH))
    with till.workers():
        till.look_at([who.customer for who in everybody], within=60 + len(everybody))
        made = cause(till, everybody, EACH)
        begun = time.monotonic()
        released = till.release(order="shuffled", seed=1, copies=2)
        till.wait_until_done(within=120 + made / 5)
        seconds = time.monotonic() - begun
    return [
        Figure(
            f"{made:,} events of {len(everybody):,} customers, released shuffled and each twice: events a second",
            made / seconds,
            unit="/s",
            seen=f"{released:,} deliveries in {seconds:.0f} s",
            wrongs=till.wrongs(made),
        )
    ]


def soonness(till: Till, count: int) -> list[Figure]:
    """From a payment at the stand-in to PRO here, one after another on an idle service."""
    buyers = [_Buyer(till) for _ in range(count)]
    seconds = []
    with till.workers():
        till.stand_in.control("POST", "webhooks", mode="deliver")
        for buyer in buyers:
            seconds.append(buyer.pay())
            till.wait_until_done(within=60)
        till.hold()
    seconds.sort()
    p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    return [
        Figure(
            "from a payment at Stripe to PRO here, 99th percentile, idle",
            p99,
            1,
            at_most=True,
            unit="s",
            seen=f"median {1000 * p50:.0f} ms, most {1000 * seconds[-1]:.0f} ms of {count}",
        )
    ]


class _Buyer:
    """Somebody on FREE, at Checkout."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.token = tokens.sign_in(till.user()).access_token
        self.session = self._ask("POST", "billing/create-checkout-session", {"plan": "pro"})["checkout_session_id"]

    def pay(self) -> float:
        begun = time.monotonic()
        self.till.stand_in.pay(self.session, CARD)
        while self._ask("GET", "billing/subscription")["plan"] != "pro":
            time.sleep(POLL_SECONDS)
            if time.monotonic() - begun > 60:
                raise LaunchError("A payment did not show within a minute.")
        return time.monotonic() - begun

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(HTTPConnection(self.till.host.removeprefix("http://"), timeout=30)) as connection:
            connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise LaunchError(f"{method} {path} answered {answer.status}: {content}")
        return content
