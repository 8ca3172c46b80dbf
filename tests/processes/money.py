"""A service that sells, with the stand-in for Stripe beside it, and customers who know nothing but its addresses."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import stripe

from billing.models import Subscription
from tests.fake_stripe import API_VERSION
from tests.fake_stripe.running import API_KEY, StandIn, free_port, running
from tests.processes.service import Service, until
from tests.test_fake_stripe.test_pages import CARD, Browser

# The domain's clock moves by travel alone, but what is periodic is so by the wall's.
SWEPT_WITHIN_SECONDS = 30
FAILS_LATER = "4000000000000341"
LIVE = {"active", "trialing", "past_due", "unpaid", "paused", "incomplete"}


@dataclass
class Shop:
    """Service and stand-in have one clock, which `travel` moves.

    Deliveries go from the one to the other where `service.settings` has a STRIPE_WEBHOOK_SECRET, and only there.
    """

    service: Service
    stand_in: StandIn
    client: stripe.StripeClient
    http: httpx.Client
    stripe_process: ExitStack

    def open_stripe(self) -> None:
        """Again, at the same address and with what it held."""
        self.stripe_process.enter_context(stand_in_of(self.service, self.stand_in.port))

    def close_stripe(self) -> None:
        """Nothing listens there from now on."""
        self.stripe_process.close()

    def travel(self, **ahead: float) -> None:
        self.stand_in.advance(**ahead)  # type: ignore[arg-type]

    def price(self, plan: str, interval: str = "month") -> str:
        (found,) = self.client.v1.prices.list({"lookup_keys": [f"ai_manus_{plan}_{interval}_usd"]}).data
        return found.id

    def hold(self, *paths: str) -> None:
        """The next request of each has its effect, and whoever sent it waits for an answer that does not come."""
        self.stand_in.control("DELETE", "requests")
        for path in paths:
            self.stand_in.control("POST", "faults", path=path, timeout=60, after=True)

    def is_held(self, *paths: str) -> bool:
        """All of these have had their effect."""
        made = [f"{one['method']} {one['path']}" for one in self.stand_in.control("GET", "requests")["requests"]]
        return all(any(re.search(path, request) for request in made) for path in paths)


@dataclass
class Customer:
    """Somebody who registers, and whose workspace buys."""

    shop: Shop
    email: str = field(default_factory=lambda: f"{uuid.uuid4().hex}@example.com")
    token: str = ""

    def __post_init__(self) -> None:
        answer = self.post("/auth/register", {"fullname": "Ann", "email": self.email, "password": "correct horse"})
        assert answer.status_code == 201, answer.text
        self.token = answer.json()["access_token"]

    def get(self, path: str) -> httpx.Response:
        return self.shop.http.get(f"{self.shop.service.url}{path}", headers=self.signed)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.shop.http.post(f"{self.shop.service.url}{path}", json=body or {}, headers=self.signed | headers)

    @property
    def signed(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def bill(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.post(f"/billing/{path}", body, **headers)

    def sees(self) -> dict[str, Any]:
        """GET /billing/subscription."""
        answer = self.get("/billing/subscription")
        assert answer.status_code == 200, answer.text
        shape: dict[str, Any] = answer.json()
        return shape

    def run(self, count: int) -> None:
        for _ in range(count):
            answer = self.post("/sessions", {"title": "Counted"})
            assert answer.status_code == 201, answer.text

    # Buying.

    def checkout(self, plan: str, **more: str) -> str:
        """The id of the Checkout Session."""
        answer = self.bill("create-checkout-session", {"plan": plan, **more})
        assert answer.status_code == 200, answer.text
        session: str = answer.json()["checkout_session_id"]
        return session

    def buy(self, plan: str, **more: str) -> None:
        session = self.checkout(plan, **more)
        self.shop.stand_in.pay(session)
        assert self.come_back(session).status_code == 200
        assert self.sees()["plan"] == plan

    def come_back(self, session: str) -> httpx.Response:
        """As a browser, which has no token."""
        return self.shop.http.get(self.way_back(session))

    def way_back(self, session: str) -> str:
        """Where Stripe's page leads on to after a payment."""
        url = self.shop.client.v1.checkout.sessions.retrieve(session).success_url
        assert url is not None
        return url.replace("{CHECKOUT_SESSION_ID}", session)

    def portal(self) -> "Portal":
        answer = self.bill("create-portal-session")
        assert answer.status_code == 200, answer.text
        return Portal(self, answer.json()["portal_url"])

    def take_card(self, number: str) -> None:
        """Everything from now on is charged to it."""
        self.portal().send("card", **CARD | {"number": number})

    # What is on record.

    @property
    def row(self) -> Subscription:
        return Subscription.objects.with_plans().get(workspace__personal_user__email=self.email)

    @property
    def customer(self) -> str:
        assert self.row.stripe_customer_id is not None
        return self.row.stripe_customer_id

    @property
    def customers(self) -> list[stripe.Customer]:
        return self.shop.client.v1.customers.list({"email": self.email}).data

    @property
    def live(self) -> list[stripe.Subscription]:
        found = self.shop.client.v1.subscriptions.list({"customer": self.customer, "status": "all"}).data
        return [one for one in found if one.status in LIVE]

    @property
    def charges(self) -> list[int]:
        """What was taken and kept, charge by charge, the newest first."""
        found = self.shop.client.v1.charges.list({"customer": self.customer, "limit": 100}).data
        kept = [one.amount - one.amount_refunded for one in found if one.status == "succeeded"]
        return [amount for amount in kept if amount > 0]


@dataclass
class Portal:
    """Stripe's pages for a customer, as a browser without scripts has them."""

    who: Customer
    url: str
    browser: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.browser = Browser(self.who.shop.stand_in, self.who.shop.http)
        self.page = self.browser.open(self.url)

    def send(self, what: str, **form: str) -> str:
        """Send one of its forms, for the one subscription that there is."""
        if what != "card":
            form["subscription"] = self.who.live[0].id
        self.page = self.browser.send(to=f"{self.url}/{what}".removeprefix(self.who.shop.stand_in.url), **form)
        return self.page

    def leave(self) -> None:
        """By its link back."""
        self.page = self.browser.open(self.url)
        (back,) = re.findall(r'<a href="([^"]+)">← Back</a>', self.page)
        answer = self.who.shop.http.get(back)
        assert answer.status_code == 200, answer.text


def one_worker(service: Service) -> None:
    service.start_worker("--concurrency=4")


def two_workers_that_are_rung(service: Service) -> None:
    """They take up what is asked of Stripe and no housekeeping: nobody sweeps, and what is noticed was delivered."""
    names = {"worker", "other"}
    for name in names:
        service.launch_worker("--concurrency=1", "--queues=billing", name=name)
    until(lambda: len(service.workers()) == len(names), "both register themselves")


@contextmanager
def open_shop(service: Service, start_workers: Callable[[Service], None] = one_worker) -> Iterator[Shop]:
    """With its processes running, and prices at Stripe."""
    with ExitStack() as stripe_process, httpx.Client(timeout=60) as http, ExitStack() as kept:
        stand_in = stripe_process.enter_context(stand_in_of(service, free_port()))
        asking = stripe.RequestsClient(timeout=30)
        kept.callback(asking.close)
        client = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": stand_in.url},
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=asking,
        )
        service.settings |= {
            "SITE_URL": f"http://127.0.0.1:{service.port}",
            "STRIPE_SECRET_KEY": API_KEY,
            "STRIPE_API_HOST": stand_in.url,
            "CLOCK_OFFSET_FILE": str(stand_in.state / "clock-offset"),
            "WORKER_SILENT_SECONDS": "3",
        }
        service.manage("sync_plans", "--create")
        service.launch_web()
        start_workers(service)
        service.wait_until_ready()
        yield Shop(service, stand_in, client, http, stripe_process)


@contextmanager
def stand_in_of(service: Service, port: int) -> Iterator[StandIn]:
    options = ["--check", f"--api-key={API_KEY}"]
    if secret := service.settings.get("STRIPE_WEBHOOK_SECRET"):
        options += [f"--webhook-url={service.url}/billing/webhook", f"--webhook-secret={secret}"]
    with running(service.folder / "stripe", *options, port=port) as stand_in:
        yield stand_in


def swept(condition: Callable[[], object], what: str) -> None:
    """Nobody rings: what is due is noticed by the sweep."""
    until(condition, what, seconds=SWEPT_WITHIN_SECONDS)


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start
