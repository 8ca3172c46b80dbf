"""All that a handler needs: the store, the clock, the settings, the request under way, and a way to tell of events."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.agenda import Agenda
from tests.fake_stripe.clock import Clock
from tests.fake_stripe.description import Checker
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import render
from tests.fake_stripe.store import Store

ACCOUNT = "acct_1StandInForStripe"
SETTINGS = "_settings"
ANNOUNCED = "_announced"

#: Days between the attempts to collect a renewal, and what becomes of the subscription after the last.
DEFAULTS: Object = {
    "webhook_mode": "deliver",
    "retry_days": [3, 5, 7],
    "dunning_end": "canceled",
}


@dataclass(frozen=True)
class Settings:
    """What the command line said. `base_url` is where a browser finds the pages; `is_written`, the state is."""

    state: Path
    base_url: str
    api_key: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    is_written: bool = True


class World:
    """Handlers run one at a time, inside `lock` and a transaction of the store."""

    def __init__(self, settings: Settings, checker: Checker) -> None:
        settings.state.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.checker = checker
        self.lock = threading.RLock()
        self.due = threading.Condition(self.lock)
        self.clock = Clock(settings.state / "clock-offset")
        self.store = Store(settings.state / "state.jsonl" if settings.is_written else None)
        self.request: Object | None = None
        self.agenda = Agenda()
        self._is_silent = False
        self.prepare()

    @property
    def now(self) -> int:
        return self.clock.now()

    @property
    def options(self) -> Object:
        """What control may change while the stand-in runs."""
        return self.store.get(SETTINGS, SETTINGS)

    def prepare(self) -> None:
        """What is there from the start: options, and the endpoint that the command line names."""
        self.forgets_at = 0
        self.agenda.clear()
        url, secret = self.settings.webhook_url, self.settings.webhook_secret
        with self.lock, self.store.transaction():
            if self.store.find(SETTINGS, SETTINGS) is None:
                self.store.add({"object": SETTINGS, "id": SETTINGS, **DEFAULTS})
            endpoint = self.store.find("webhook_endpoint", "we_1CommandLine")
            if endpoint is not None:
                self.store.remove(endpoint)
            if url and secret:
                self.store.add(
                    {
                        "id": "we_1CommandLine",
                        "object": "webhook_endpoint",
                        "api_version": API_VERSION,
                        "application": None,
                        "created": self.now,
                        "description": "Named when the stand-in was started.",
                        "enabled_events": ["*"],
                        "livemode": False,
                        "metadata": {},
                        "status": "enabled",
                        "url": url,
                        "_secret": secret,
                    }
                )

    @contextmanager
    def silence(self) -> Iterator[None]:
        """No events of what is done inside."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    def announce(self, type: str, obj: Object) -> None:
        """Make the event, and a delivery for each endpoint that wants it. An update without a difference is none."""
        if self._is_silent:
            return
        shown = render(self.store, obj)
        self.checker.check_object(shown, f"event {type}")
        data: Object = {"object": shown}
        # A card that was taken away has no customer any more: whose it was is told by what changed.
        if (type.endswith(".updated") and obj["object"] != "dispute") or type == "payment_method.detached":
            data["previous_attributes"] = self._difference(shown)
            if not data["previous_attributes"]:
                return
        event = self.store.add(
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now,
                "data": data,
                "livemode": False,
                "pending_webhooks": 0,
                "request": self.request or {"id": None, "idempotency_key": None},
                "type": type,
            }
        )
        self._remember(shown["id"], event)
        for endpoint in self.store.all("webhook_endpoint"):
            if endpoint["status"] == "enabled" and {"*", type} & set(endpoint["enabled_events"]):
                self.schedule_delivery(event, endpoint)

    def schedule_delivery(self, event: Object, endpoint: Object) -> None:
        mode = self.options["webhook_mode"]
        for _ in range(2 if mode == "duplicate" else 1):
            self.store.add(
                {
                    "id": new_id("_delivery"),
                    "object": "_delivery",
                    "event": event["id"],
                    "endpoint": endpoint["id"],
                    "attempts": 0,
                    "due": self.now,
                    "state": {"hold": "held", "drop": "dropped"}.get(mode, "pending"),
                    "answers": [],
                }
            )

    def _difference(self, shown: Object) -> Object:
        """The values before of what changed since the last event about the object."""
        last = self.store.find(ANNOUNCED, f"{ANNOUNCED}_{shown['id']}")
        if last is None:
            return {"metadata": {}}
        latest = self.store.find("event", last.get("latest"))
        before: Object = latest["data"]["object"] if latest else last["shown"]
        return {name: before.get(name) for name in shown if before.get(name) != shown[name]}

    def _remember(self, id: str, event: Object) -> None:
        """The latest event about the object."""
        last = self.store.find(ANNOUNCED, f"{ANNOUNCED}_{id}")
        if last is None:
            self.store.add({"object": ANNOUNCED, "id": f"{ANNOUNCED}_{id}", "latest": event["id"]})
        else:
            last["latest"] = event["id"]

    def forget(self, event: Object) -> None:
        """What it told of its object stays, where nothing was told since."""
        shown = event["data"]["object"]
        last = self.store.find(ANNOUNCED, f"{ANNOUNCED}_{shown['id']}")
        if last is not None and last.get("latest") == event["id"]:
            last["shown"] = shown
        self.store.remove(event)
