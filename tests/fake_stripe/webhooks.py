"""Webhooks on their way: signed, one after another, and again later after anything but 2xx."""

import hashlib
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


class Sender(threading.Thread):
    """Sends what is due, without holding the lock: a receiver calls back while it works."""

    def __init__(self, world: World) -> None:
        super().__init__(name="webhooks", daemon=True)
        self.world = world
        self._is_sending = False
        self._is_ending = False

    def run(self) -> None:
        while True:
            with self.world.due:
                delivery = self._next()
                while delivery is None and not self._is_ending:
                    self._is_sending = False
                    self.world.due.notify_all()
                    self.world.due.wait(WAKE_SECONDS)
                    delivery = self._next()
                if delivery is None:
                    return
                self._is_sending = True
                event = self.world.store.find("event", delivery["event"])
                endpoint = self.world.store.find("webhook_endpoint", delivery["endpoint"])
                shown = render(self.world.store, event) if event else None
            if shown is None or endpoint is None:
                self._record(delivery["id"], "no endpoint", is_final=True)
                continue
            self._record(delivery["id"], send(endpoint["url"], endpoint["_secret"], shown))

    def end(self) -> None:
        with self.world.due:
            self._is_ending = True
            self.world.due.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is due any more. False when that took too long."""
        until = time.monotonic() + seconds
        with self.world.due:
            while self._is_sending or self._next() is not None:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self.world.due.notify_all()
                self.world.due.wait(min(left, WAKE_SECONDS))
        return True

    def _next(self) -> Object | None:
        now = self.world.now
        due = [one for one in self.world.store.all("_delivery") if one["state"] == "pending" and one["due"] <= now]
        return min(due, key=lambda one: (one["due"], one.get("order", 0)), default=None)

    def _record(self, id: str, answer: str, *, is_final: bool = False) -> None:
        with self.world.due, self.world.store.transaction():
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


def send(url: str, secret: str, event: Object) -> str:
    """The answer's status, or what went wrong instead of one."""
    payload = json.dumps(event, indent=2).encode()
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
