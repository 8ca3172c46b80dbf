"""A person who pays: what they do through the API, and what happens at Stripe's pages."""

from dataclasses import dataclass
from typing import Any

import stripe

from accounts import clock
from billing import lifecycle, sync
from billing.models import Price, Subscription
from tests.fake_stripe.running import StandIn
from tests.people import Person

GOOD, DECLINED, LATER_DECLINED = "4242424242424242", "4000000000000002", "4000000000000341"
ASKS_ONCE, ASKS_EACH_TIME = "4000002500003155", "4000002760003184"
REFUND_FAILS = "4000000000005126"


@dataclass
class Payer:
    person: Person
    stand_in: StandIn
    client: stripe.StripeClient

    @property
    def row(self) -> Subscription:
        return self.person.subscription

    @property
    def customer(self) -> str:
        assert self.row.stripe_customer_id is not None
        return self.row.stripe_customer_id

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.person.post(f"/billing/{path}", body, **headers)

    def sees(self) -> dict[str, Any]:
        """GET /billing/subscription."""
        answer = self.person.get("/billing/subscription")
        assert answer.status_code == 200, answer.content
        shape: dict[str, Any] = answer.json()
        return shape

    def checkout(self, plan: str, **more: str) -> str:
        """The id of the Checkout Session."""
        answer = self.post("create-checkout-session", {"plan": plan, **more})
        assert answer.status_code == 200, answer.content
        session: str = answer.json()["checkout_session_id"]
        return session

    def pay(self, session: str, card: str = GOOD, **more: Any) -> Any:
        """At Stripe's page, and back; the answer of the page that they come back to."""
        self.stand_in.pay(session, card, **more)
        return self.come_back(session)

    def come_back(self, session: str) -> Any:
        url = self.client.v1.checkout.sessions.retrieve(session).success_url
        assert url is not None
        return self.follow(url.replace("{CHECKOUT_SESSION_ID}", session))

    def follow(self, url: str) -> Any:
        assert url.startswith("http://127.0.0.1:8000/billing/return/"), url
        self.person.client.credentials()
        answer = self.person.client.get(url.removeprefix("http://127.0.0.1:8000"))
        self.person.sign_in()
        return answer

    def buy_at_checkout(self, plan: str, **more: str) -> None:
        answer = self.pay(self.checkout(plan, **more))
        assert answer.status_code in (200, 302), answer.content
        assert self.sees()["plan"] == plan

    def buy(self, plan: str, *, interval: str = "month", currency: str = "usd") -> None:
        """What is left at Stripe and here when it was bought at Checkout, without the way there and back."""
        customer = lifecycle.ensure_customer(self.row, now=clock.now())
        method = self.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
        price = Price.objects.get(plan__slug=plan, interval=interval, currency=currency, is_active=True)
        self.client.v1.subscriptions.create(
            {
                "customer": customer,
                "items": [{"price": str(price.stripe_price_id)}],
                "default_payment_method": method.id,
                "metadata": {"workspace_id": str(self.person.workspace.pk)},
            }
        )
        self.sync()
        assert Subscription.objects.filter(pk=self.row.pk, paid_plan__slug=plan).exists()

    def run(self, count: int = 1) -> None:
        """Start so many sessions; each costs a run."""
        for _ in range(count):
            answer = self.person.post("/sessions", {"title": "Counted"})
            assert answer.status_code == 201, answer.content

    def travel(self, **ahead: float) -> None:
        """Both clocks; tokens are the wall clock's and stay."""
        self.stand_in.advance(**ahead)  # type: ignore[arg-type]

    def sync(self) -> None:
        sync.sync_customer(self.customer, now=clock.now())

    def card(self, name: str) -> None:
        """Pay with it from now on, as the portal has it."""
        method = self.client.v1.payment_methods.attach(name, {"customer": self.customer})
        self.client.v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": method.id}})
        for subscription in self.at_stripe:
            if subscription.status not in ("canceled", "incomplete_expired"):
                self.client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})

    @property
    def at_stripe(self) -> list[stripe.Subscription]:
        """Every subscription of the customer, newest first."""
        return self.client.v1.subscriptions.list({"customer": self.customer, "status": "all", "limit": 100}).data

    @property
    def one(self) -> stripe.Subscription:
        (found,) = self.at_stripe
        return found

    @property
    def invoices(self) -> list[stripe.Invoice]:
        return self.client.v1.invoices.list({"customer": self.customer}).data

    @property
    def refunds(self) -> list[stripe.Refund]:
        return self.client.v1.refunds.list().data
