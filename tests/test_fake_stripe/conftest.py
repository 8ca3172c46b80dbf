"""The stand-in as a process, the real SDK pointed at it, and a receiver for its webhooks."""

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.running import API_KEY, StandIn, running

SECRET = "whsec_only_for_tests"
WAIT_SECONDS = 10


class Receiver(ThreadingHTTPServer):
    """An endpoint that keeps what is posted to it and answers what it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.received: queue.Queue[tuple[bytes, str]] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        #: Where it is set, nobody is answered before so many have come.
        self.gate: threading.Barrier | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/webhook"

    def next(self) -> stripe.Event:
        """The next delivery, its signature proven."""
        payload, signature = self.received.get(timeout=WAIT_SECONDS)
        event: stripe.Event = stripe.Webhook.construct_event(payload, signature, SECRET)
        return event

    def types(self) -> list[str]:
        """Of all that has arrived."""
        found: list[str] = []
        while not self.received.empty():
            found.append(self.next().type)
        return found

    def forget(self) -> None:
        while not self.received.empty():
            self.received.get()
        while not self.answers.empty():
            self.answers.get()


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put((payload, self.headers["Stripe-Signature"]))
        if self.server.gate is not None:
            self.server.gate.wait(WAIT_SECONDS)
        self.send_response(200 if self.server.answers.empty() else self.server.answers.get())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture(scope="session")
def receiver_process() -> Generator[Receiver, None, None]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def stand_in_process(
    tmp_path_factory: pytest.TempPathFactory, receiver_process: Receiver
) -> Generator[StandIn, None, None]:
    state = tmp_path_factory.mktemp("stripe")
    webhooks = [f"--webhook-url={receiver_process.url}", f"--webhook-secret={SECRET}"]
    with running(state, "--check", f"--api-key={API_KEY}", *webhooks) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(stand_in_process: StandIn, receiver_process: Receiver) -> Generator[StandIn, None, None]:
    """Empty, on the system's clock. What deviates from Stripe's description fails the test at its end."""
    stand_in_process.control("POST", "webhooks/settle")
    stand_in_process.control("POST", "reset")
    receiver_process.forget()
    yield stand_in_process
    assert stand_in_process.violations() == []


@pytest.fixture
def receiver(receiver_process: Receiver, stand_in: StandIn) -> Receiver:
    return receiver_process


@pytest.fixture
def client(stand_in: StandIn) -> stripe.StripeClient:
    return client_of(stand_in)


def client_of(stand_in: StandIn) -> stripe.StripeClient:
    return stripe.StripeClient(
        API_KEY,
        base_addresses={"api": stand_in.url},
        stripe_version=API_VERSION,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=30),
    )


@dataclass
class Shop:
    """What most tests begin with: two plans by the month, one by the year, and a customer."""

    client: stripe.StripeClient
    stand_in: StandIn
    basic: str
    pro: str
    pro_yearly: str
    customer: str
    products: list[str] = field(default_factory=list)

    def card(self, name: str = "pm_card_visa") -> str:
        """Attach it and make it the default."""
        method = self.client.v1.payment_methods.attach(name, {"customer": self.customer})
        self.client.v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": method.id}})
        return method.id

    def subscribe(self, price: str | None = None, **more: Any) -> stripe.Subscription:
        params: Any = {"customer": self.customer, "items": [{"price": price or self.basic}], **more}
        return self.client.v1.subscriptions.create(params)

    def subscription(self, id: str) -> stripe.Subscription:
        return self.client.v1.subscriptions.retrieve(id)

    def upgrade(self, subscription: stripe.Subscription, price: str | None = None, **more: Any) -> stripe.Subscription:
        """As the application upgrades: now, in full less the unused time, and only when it is paid."""
        params: Any = {
            "items": [{"id": item_of(subscription).id, "price": price or self.pro}],
            "billing_cycle_anchor": "now",
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
            **more,
        }
        return self.client.v1.subscriptions.update(subscription.id, params)

    def latest_invoice(self, subscription: stripe.Subscription) -> stripe.Invoice:
        latest = self.subscription(subscription.id).latest_invoice
        assert isinstance(latest, str)
        return self.client.v1.invoices.retrieve(latest)

    def checkout(self, price: str | None = None, **more: Any) -> stripe.checkout.Session:
        params: Any = {
            "mode": "subscription",
            "customer": self.customer,
            "line_items": [{"price": price or self.basic, "quantity": 1}],
            "success_url": "http://127.0.0.1:8000/billing/return?session_id={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1:8000/billing/",
            **more,
        }
        return self.client.v1.checkout.sessions.create(params)

    def event_types(self) -> list[str]:
        """Oldest first."""
        return [event.type for event in reversed(self.client.v1.events.list({"limit": 100}).data)]


def item_of(subscription: stripe.Subscription) -> stripe.SubscriptionItem:
    item: stripe.SubscriptionItem = subscription["items"].data[0]
    return item


def price_of(subscription: stripe.Subscription) -> str:
    return item_of(subscription).price.id


def dict_of(value: object) -> dict[str, Any]:
    """Objects of the SDK are no dicts any more."""
    assert isinstance(value, stripe.StripeObject)
    found: dict[str, Any] = value.to_dict()
    return found


@pytest.fixture
def shop(client: stripe.StripeClient, stand_in: StandIn) -> Shop:
    basic = client.v1.products.create({"name": "Basic"})
    pro = client.v1.products.create({"name": "Pro"})

    def price(product: stripe.Product, amount: int, interval: Any) -> str:
        return client.v1.prices.create(
            {"product": product.id, "currency": "usd", "unit_amount": amount, "recurring": {"interval": interval}}
        ).id

    return Shop(
        client,
        stand_in,
        basic=price(basic, 1900, "month"),
        pro=price(pro, 4900, "month"),
        pro_yearly=price(pro, 49000, "year"),
        customer=client.v1.customers.create({"email": "alice@example.com", "name": "Alice"}).id,
        products=[basic.id, pro.id],
    )
