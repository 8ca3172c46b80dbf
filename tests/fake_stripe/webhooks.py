"""Webhooks on their way: signed, one after another, and again later after anything but 2xx."""

import hashlib
import heapq
import hmac
import http.client
import json
import random
import threading
import time
from urllib.parse import urlsplit

from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import render
from tests.fake_stripe.world import World

#: Seconds after each attempt, on the stand-in's clock, so that both waiting and travelling bring the next one.
BACKOFF = (1, 2, 5, 15, 60, 300, 1800, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 24 * 3600)
TIMEOUT_SECONDS = 20
WAKE_SECONDS = 0.25


class Sender:
    """Sends what is due, without holding the lock: a receiver calls back while it works.

    One after another, so that they arrive in their order, but where control asks for several at once.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        #: When it is due, its place among those, how often it was tried, and which it is.
        self._queue: list[tuple[int, int, int, int, str]] = []
        self._number = 0
        self._under_way: set[str] = set()
        self._is_ending = False
        world.store.watch(("_delivery",), self._note)

    def start(self) -> None:
        self._start(is_lasting=True)

    def hasten(self, at_once: int) -> None:
        """So many at once until nothing is due."""
        for _ in range(at_once - 1):
            self._start(is_lasting=False)

    def _start(self, *, is_lasting: bool) -> None:
        threading.Thread(target=self._send, args=[is_lasting], name="webhooks", daemon=True).start()

    def end(self) -> None:
        with self.world.due:
            self._is_ending = True
            self.world.due.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is due any more. False when that took too long."""
        until = time.monotonic() + seconds
        with self.world.due:
            while self._under_way or self._first() is not None:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self.world.due.wait(min(left, WAKE_SECONDS))
        return True

    def _send(self, is_lasting: bool) -> None:
        while True:
            with self.world.due:
                while (delivery := self._first()) is None:
                    if self._is_ending or not is_lasting:
                        return
                    self.world.due.wait(WAKE_SECONDS)
                heapq.heappop(self._queue)
                self._under_way.add(delivery["id"])
                event = self.world.store.find("event", delivery["event"])
                endpoint = self.world.store.find("webhook_endpoint", delivery["endpoint"])
                shown = render(self.world.store, event) if event else None
            if shown is None or endpoint is None:
                self._record(delivery["id"], "no endpoint", is_final=True)
            else:
                self._record(delivery["id"], send(endpoint["url"], endpoint["_secret"], shown))

    def _note(self, delivery: Object) -> None:
        if delivery["state"] != "pending":
            return
        with self.world.due:
            self._number += 1
            place = (delivery["due"], delivery.get("order", 0), self._number, delivery["attempts"], delivery["id"])
            heapq.heappush(self._queue, place)
            self.world.due.notify_all()

    def _first(self) -> Object | None:
        """It stays at the head of the queue; what became of one meanwhile is seen here."""
        while self._queue and self._queue[0][0] <= self.world.now:
            due, _, _, attempts, id = self._queue[0]
            delivery = None if id in self._under_way else self.world.store.find("_delivery", id)
            as_noted = {"state": "pending", "due": due, "attempts": attempts}
            if delivery is not None and delivery | as_noted == delivery:
                return delivery
            heapq.heappop(self._queue)
        return None

    def _record(self, id: str, answer: str, *, is_final: bool = False) -> None:
        with self.world.due:
            self._under_way.discard(id)
            with self.world.store.transaction():
                delivery = self.world.store.find("_delivery", id)
                if delivery is None:
                    return
                delivery["attempts"] += 1
                delivery["answers"].append(answer)
                if answer.startswith("2"):
                    delivery["state"] = "delivered"
                elif is_final or delivery["attempts"] > len(BACKOFF):
                    delivery["state"] = "given_up"
                else:
                    delivery["due"] = self.world.now + BACKOFF[delivery["attempts"] - 1]
            if not self._under_way:
                self.world.due.notify_all()


def send(url: str, secret: str, event: Object) -> str:
    """The answer's status, or what went wrong instead of one."""
    payload = json.dumps(event).encode()
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    except ValueError as error:  # A port that is none.
        return type(error).__name__
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(payload, secret, int(time.time())),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        connection.request("POST", target, payload, headers)
        return str(connection.getresponse().status)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def signature(payload: bytes, secret: str, instant: int) -> str:
    """The `Stripe-Signature` header. Its instant is the wall clock's, as receivers compare it with theirs."""
    signed = hmac.new(secret.encode(), f"{instant}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={instant},v1={signed}"


def release(world: World, *, order: str, seed: int, copies: int) -> int:
    """Let go of what is held, each event `copies` times; in the caller's transaction. How many will be sent."""
    held = world.store.where("_delivery", state="held")
    sent = [one for one in held for _ in range(copies)]
    if order == "reversed":
        sent.reverse()
    elif order == "shuffled":
        random.Random(seed).shuffle(sent)
    used: set[str] = set()
    for position, one in enumerate(sent):
        if one["id"] in used:
            one = world.store.add(one | {"id": new_id("_delivery"), "answers": []})
        used.add(one["id"])
        one |= {"state": "pending", "due": world.now, "order": position}
    return len(sent)
