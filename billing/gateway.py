"""Every call out to Stripe. It writes none of our tables; what Stripe's errors mean for a person is said here."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings

from accounts.errors import Problem
from billing.models import StripeOperation

log = logging.getLogger(__name__)

Kind = StripeOperation.Kind

# More than so many subscriptions or invoices of one customer are not looked at: the newest count.
PAGE = 100
MISSING = "resource_missing"
UNCHANGED = "Nothing was charged or changed."
# What dj-stripe follows of an invoice, and by which payments it was paid, filled in by the same call.
CHARGE_PARTS = [
    *("data.balance_transaction", "data.payment_intent"),
    *("data.refunds", "data.refunds.data.balance_transaction"),
]
INVOICE_PARTS = ["discounts", "lines.data.discounts", "payments"]


class BillingNotConfigured(Problem):
    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail or "Plans cannot be bought here yet: billing is not set up. Everything else works.",
            "billing_not_configured",
            status=503,
            headers={"Retry-After": "3600"},
        )


class StripeUnavailable(Problem):
    """No answer, or none to rely on. Where the call would have made something it may have been made all the same.

    `is_key_spent`: Stripe stored the failure under the idempotency key and would repeat it.
    """

    def __init__(self, *, is_key_spent: bool = False) -> None:
        super().__init__(
            f"The payment service cannot be reached just now. {UNCHANGED} Try again in a minute: it is safe to.",
            "stripe_unavailable",
            status=503,
            headers={"Retry-After": "30"},
        )
        self.is_key_spent = is_key_spent


class StripeRefused(Problem):
    """Stripe answered that it will not. `reason` is its own word, for the code that knows what to do about it."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(
            f"The payment service did not accept this. {UNCHANGED} Write to support if it stays so.",
            "stripe_error",
            status=502,
        )
        self.message = message
        self.reason = reason


class PaymentFailed(Problem):
    """The card was declined or wants authentication. `payment_url` is where the open invoice is paid."""

    def __init__(self, payment_url: str = "", *, reason: str = "") -> None:
        super().__init__(
            f"{reason or 'The payment did not go through: the card was declined or asks for your confirmation.'}"
            " Your plan stays as it is; complete the payment at payment_url.",
            "payment_failed",
            status=402,
            payment_url=payment_url,
        )
        self.payment_url, self.reason = payment_url, reason


@dataclass(frozen=True)
class Held:
    """What Stripe held of a customer when it was asked, as the SDK's own objects."""

    customer: stripe.Customer
    subscriptions: list[stripe.Subscription]
    schedules: list[stripe.SubscriptionSchedule]
    invoices: list[stripe.Invoice]
    charges: list[stripe.Charge]
    disputes: list[stripe.Dispute]
    warnings: list[stripe.radar.EarlyFraudWarning]

    @property
    def objects(self) -> list[stripe.StripeObject]:
        refunds = [refund for charge in self.charges if charge.refunds for refund in charge.refunds.data]
        found: list[stripe.StripeObject] = [self.customer]
        for several in (
            *(self.schedules, self.subscriptions, self.invoices),
            *(self.charges, refunds, self.disputes, self.warnings),
        ):
            found += several
        return found


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def client() -> stripe.StripeClient:
    """Raises BillingNotConfigured without a key."""
    if not is_configured():
        raise BillingNotConfigured
    return _client(
        settings.STRIPE_SECRET_KEY,
        settings.STRIPE_API_BASE,
        settings.STRIPE_TIMEOUT_SECONDS,
        settings.STRIPE_RETRIES,
    )


def create(operation: StripeOperation) -> Any:
    """Make what the operation describes, once: Stripe knows a repetition by the operation's key."""
    options: Any = {"idempotency_key": operation.key}
    v1 = client().v1
    creations: dict[str, Callable[..., Any]] = {
        Kind.CUSTOMER: v1.customers.create,
        Kind.CHECKOUT: v1.checkout.sessions.create,
        Kind.PORTAL: v1.billing_portal.sessions.create,
        Kind.PORTAL_CONFIGURATION: v1.billing_portal.configurations.create,
        Kind.UPGRADE: lambda params, options: v1.subscriptions.update(
            operation.intent["subscription"], params, options
        ),
        Kind.SCHEDULE: v1.subscription_schedules.create,
        Kind.REFUND: v1.refunds.create,
        Kind.PRODUCT: v1.products.create,
        Kind.PRICE: v1.prices.create,
    }
    with errors(f"create a {operation.kind}"):
        return creations[operation.kind](operation.parameters, options)


def held_of(customer: str) -> Held:
    """Four calls: the customer, its subscriptions whatever their status, its invoices, its charges.

    A fifth for who was ever charged, and one for each charge that was ever disputed.
    """
    with errors("read a customer"):
        v1 = client().v1
        found = v1.customers.retrieve(customer)
        if getattr(found, "deleted", False):
            return Held(found, [], [], [], [], [], [])
        subscriptions = v1.subscriptions.list(
            {"customer": customer, "status": "all", "limit": PAGE, "expand": ["data.schedule"]}
        ).data
        invoices = v1.invoices.list(
            {"customer": customer, "limit": PAGE, "expand": [f"data.{part}" for part in INVOICE_PARTS]}
        ).data
        charges = v1.charges.list({"customer": customer, "limit": PAGE, "expand": CHARGE_PARTS}).data
        paid = [charge for charge in charges if charge.paid]
        disputes = [
            dispute
            for charge in paid
            if charge.disputed
            for dispute in v1.disputes.list({"charge": charge.id, "limit": PAGE}).data
        ]
        warnings = v1.radar.early_fraud_warnings.list({"charge": paid[0].id, "limit": PAGE}).data if paid else []
    schedules = [one.schedule for one in subscriptions if isinstance(one.schedule, stripe.SubscriptionSchedule)]
    return Held(found, subscriptions, schedules, invoices, charges, disputes, warnings)


def customer_made_by(operation: StripeOperation) -> stripe.Customer | None:
    """What a creation left behind whose key Stripe has forgotten, found by its metadata."""
    with errors("look for a customer"):
        listed = client().v1.customers.list({"email": operation.parameters["email"], "limit": PAGE})
    return next((one for one in listed.data if operation_of(one) == str(operation.pk)), None)


def operation_of(made: stripe.Customer | stripe.checkout.Session | stripe.Refund) -> str:
    """The id of the operation that made it; empty where none of ours did."""
    return str((made.to_dict()["metadata"] or {}).get("operation_id", ""))


def workspace_of(customer: stripe.Customer) -> str:
    """The workspace for which it was made, by its own word, which anybody in the dashboard may have written."""
    return str((customer.to_dict()["metadata"] or {}).get("workspace_id", ""))


def open_checkouts(customer: str) -> list[stripe.checkout.Session]:
    with errors("list the open Checkout Sessions"):
        return client().v1.checkout.sessions.list({"customer": customer, "status": "open", "limit": PAGE}).data


def checkout(session: str) -> stripe.checkout.Session:
    with errors("read a Checkout Session"):
        return client().v1.checkout.sessions.retrieve(session)


def expire_checkout(session: str) -> None:
    """Raises StripeRefused when it was completed meanwhile."""
    with errors("expire a Checkout Session"):
        client().v1.checkout.sessions.expire(session)


def update_portal_configuration(configuration: str, parameters: dict[str, Any]) -> None:
    with errors("change the portal's configuration"):
        client().v1.billing_portal.configurations.update(configuration, parameters)  # type: ignore[arg-type]


def preview(parameters: dict[str, Any]) -> stripe.Invoice:
    """The invoice that a change would make; nothing is made."""
    with errors("preview an invoice"):
        return client().v1.invoices.create_preview(parameters)  # type: ignore[arg-type]


def schedule_cancel(subscription: str, *, reason: str = "") -> None:
    """At the end of the period."""
    change: Any = {"cancel_at_period_end": True}
    if reason:
        change["cancellation_details"] = {"comment": reason}
    with errors("schedule a cancel"):
        client().v1.subscriptions.update(subscription, change)


def keep(subscription: str, *, is_by_flag: bool) -> None:
    """Take a scheduled cancel back. The portal sets `cancel_at` and leaves the flag alone."""
    change: Any = {"cancel_at_period_end": False} if is_by_flag else {"cancel_at": ""}
    with errors("take back a cancel"):
        client().v1.subscriptions.update(subscription, change)


def cancel_now(subscription: str, *, reason: str = "") -> None:
    details: Any = {"cancellation_details": {"comment": reason}} if reason else {}
    with errors("cancel a subscription"):
        client().v1.subscriptions.cancel(subscription, details)


def resume_paused(subscription: str) -> stripe.Subscription:
    """Of one that its trial's end paused."""
    with errors("resume a paused subscription"):
        return client().v1.subscriptions.resume(
            subscription, {"billing_cycle_anchor": "now", "expand": ["latest_invoice"]}
        )


def pause_collection(subscription: str, *, until: datetime | None = None) -> None:
    """The status stays active and no money is taken: invoices meanwhile are void."""
    pause: Any = {"behavior": "void"} | ({"resumes_at": int(until.timestamp())} if until else {})
    with errors("pause collection"):
        client().v1.subscriptions.update(subscription, {"pause_collection": pause})


def unpause_collection(subscription: str) -> None:
    with errors("unpause collection"):
        client().v1.subscriptions.update(subscription, {"pause_collection": ""})


def schedule(id: str) -> stripe.SubscriptionSchedule:
    with errors("read a schedule"):
        return client().v1.subscription_schedules.retrieve(id)


def set_phases(id: str, phases: list[dict[str, Any]], metadata: dict[str, str]) -> None:
    """After the last phase the subscription goes on by itself."""
    parameters: Any = {
        "phases": phases,
        "end_behavior": "release",
        "proration_behavior": "none",
        "metadata": metadata,
    }
    with errors("change a schedule"):
        client().v1.subscription_schedules.update(id, parameters)


def release_schedule(id: str) -> None:
    with errors("release a schedule"):
        client().v1.subscription_schedules.release(id)


def payments_of(invoice: str) -> list[stripe.InvoicePayment]:
    """Those that went through."""
    with errors("list an invoice's payments"):
        return client().v1.invoice_payments.list({"invoice": invoice, "status": "paid", "limit": PAGE}).data


def refunds_of(payment_intent: str) -> list[stripe.Refund]:
    with errors("list refunds"):
        return client().v1.refunds.list({"payment_intent": payment_intent, "limit": PAGE}).data


def customer_of(id: str) -> str | None:
    """Of a charge or a payment intent; None where it names none."""
    with errors("find a customer"):
        if id.startswith("ch_"):
            customer = client().v1.charges.retrieve(id).customer
        elif id.startswith("pi_"):
            customer = client().v1.payment_intents.retrieve(id).customer
        else:
            return None
    return customer if isinstance(customer, str) or customer is None else customer.id


def newest_event() -> str | None:
    with errors("read the newest event"):
        found = client().v1.events.list({"limit": 1}).data
    return found[0].id if found else None


def events_after(event: str) -> tuple[list[stripe.Event] | None, bool]:
    """The page right after an event, oldest first, and whether there is more; None when it is forgotten."""
    with errors("read on in the events"):
        try:
            listed = client().v1.events.list({"ending_before": event, "limit": PAGE})
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None, False
    return listed.data[::-1], listed.has_more


def customer(id: str) -> stripe.Customer:
    """A deleted one answers too, with little in it."""
    with errors("read a customer"):
        return client().v1.customers.retrieve(id)


def checkouts_of(customer: str) -> list[stripe.checkout.Session]:
    """The newest, whatever became of them."""
    with errors("list a customer's Checkout Sessions"):
        return client().v1.checkout.sessions.list({"customer": customer, "limit": PAGE}).data


# All that Stripe holds of a kind, newest first, a page at a time: what was read is not kept.


def all_customers() -> Iterator[list[stripe.Customer]]:
    """Those that are deleted are not listed."""
    return _pages("list the customers", client().v1.customers.list)


def all_subscriptions() -> Iterator[list[stripe.Subscription]]:
    return _pages("list the subscriptions", client().v1.subscriptions.list, status="all")


def all_refunds() -> Iterator[list[stripe.Refund]]:
    """With their charges, which name the customers."""
    return _pages("list the refunds", client().v1.refunds.list, expand=["data.charge"])


def all_disputes() -> Iterator[list[stripe.Dispute]]:
    """With their charges, which name the customers."""
    return _pages("list the disputes", client().v1.disputes.list, expand=["data.charge"])


def all_open_checkouts() -> Iterator[list[stripe.checkout.Session]]:
    return _pages("list the open Checkout Sessions", client().v1.checkout.sessions.list, status="open")


def _pages(act: str, read: Callable[[Any], Any], **parameters: Any) -> Iterator[list[Any]]:
    parameters["limit"] = PAGE
    while True:
        with errors(act):
            listed = read(parameters)
        if listed.data:
            yield listed.data
        if not listed.has_more:
            return
        parameters["starting_after"] = listed.data[-1].id


def events_before(event: str | None) -> tuple[list[stripe.Event], bool]:
    """The page right before an event, or the newest, newest first; and whether there is more."""
    parameters: Any = {"limit": PAGE} | ({"starting_after": event} if event else {})
    with errors("read back in the events"):
        listed = client().v1.events.list(parameters)
    return listed.data, listed.has_more


def webhook_endpoints() -> list[stripe.WebhookEndpoint]:
    with errors("list the webhook endpoints"):
        return client().v1.webhook_endpoints.list({"limit": PAGE}).data


def product(id: str) -> stripe.Product | None:
    """None when there is none of that id."""
    with errors("read a product"):
        try:
            return client().v1.products.retrieve(id)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None


def price(id: str) -> stripe.Price | None:
    with errors("read a price"):
        try:
            return client().v1.prices.retrieve(id)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None


def prices_by_lookup_key(keys: list[str]) -> dict[str, stripe.Price]:
    """Active ones."""
    found: dict[str, stripe.Price] = {}
    with errors("list prices"):
        # Stripe takes ten keys at once.
        for start in range(0, len(keys), 10):
            some = keys[start : start + 10]
            listed = client().v1.prices.list({"lookup_keys": some, "active": True, "limit": PAGE})
            found |= {one.lookup_key: one for one in listed.data if one.lookup_key}
    return found


@lru_cache(maxsize=4)
def _client(key: str, base: str, timeout: float, retries: int) -> stripe.StripeClient:
    # Given the address, because the client does not read `stripe.api_base`.
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout),
    )


@contextmanager
def errors(act: str) -> Iterator[None]:
    """Stripe's errors as ours. The log gets what a person cannot use: Stripe's words, code and request id."""
    try:
        yield
    except stripe.CardError as error:
        log.info("Stripe declined a card, to %s: %s (request %s)", act, error.code, error.request_id)
        raise PaymentFailed(reason=error.user_message or "") from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        log.warning("Stripe is out of reach, to %s: %s", act, type(error).__name__)
        raise StripeUnavailable from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("Stripe refuses our key, to %s (request %s)", act, error.request_id)
        raise StripeRefused(type(error).__name__, reason="key") from error
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        if error.http_status == 409:
            # The first call with this key is still under way.
            raise StripeUnavailable from error
        log.error("Stripe refused to %s: %s (%s, request %s)", act, error.user_message, error.code, error.request_id)
        raise StripeRefused(error.user_message or "", reason=error.code or "") from error
    except stripe.StripeError as error:
        log.warning("Stripe failed to %s: %s (request %s)", act, error.http_status, error.request_id)
        raise StripeUnavailable(is_key_spent=(error.http_status or 0) >= 500) from error
