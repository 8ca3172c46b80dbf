"""What Stripe holds of one customer."""

from dataclasses import dataclass, field
from typing import Any

import stripe

from billing.gateway.connection import MISSING, PAGE, client, errors

# What dj-stripe follows, and by which payments an invoice was paid, filled in by the same call.
CHARGE_PARTS = [
    *("data.balance_transaction", "data.payment_intent"),
    *("data.refunds", "data.refunds.data.balance_transaction"),
]
INVOICE_PARTS = ["discounts", "lines.data.discounts", "payments"]
# By which a discount says how much it takes off what: four levels, which is as deep as Stripe goes, so that a list,
# where `data` is one of them, does not reach it.
DISCOUNT_PARTS = "source.coupon.applies_to"
# By which card is paid: the subscription's own, else its customer's.
SUBSCRIPTION_PARTS = ["schedule", "default_payment_method", "customer.invoice_settings.default_payment_method"]
ENDED = ("canceled", "incomplete_expired")


type Object = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """What Stripe held of a customer when it was asked, each object as its JSON has it."""

    customer: Object
    subscriptions: list[Object] = field(default_factory=list)
    schedules: list[Object] = field(default_factory=list)
    invoices: list[Object] = field(default_factory=list)
    charges: list[Object] = field(default_factory=list)
    # By which subscriptions are paid, and by which open invoices were tried to be.
    methods: list[Object] = field(default_factory=list)
    intents: list[Object] = field(default_factory=list)
    disputes: list[Object] = field(default_factory=list)
    warnings: list[Object] = field(default_factory=list)

    @property
    def objects(self) -> list[Object]:
        refunds = [refund for charge in self.charges if charge["refunds"] for refund in charge["refunds"]["data"]]
        found = [self.customer]
        for several in (
            *(self.methods, self.schedules, self.subscriptions, self.invoices),
            *(self.intents, self.charges, refunds, self.disputes, self.warnings),
        ):
            found += several
        return found


def held_of(customer: str) -> Held:
    """Four calls: the customer, its subscriptions whatever their status, its invoices, its charges.

    A fifth for who was ever charged, a sixth for who has a discount, and one for each charge that was ever disputed
    and for each open invoice whose payment never came as far as a charge.
    """
    with errors("read a customer"):
        v1 = client().v1
        found = v1.customers.retrieve(customer)
        if getattr(found, "deleted", False):
            return Held(_plain(found))
        if found.discount:
            found = v1.customers.retrieve(customer, {"expand": [f"discount.{DISCOUNT_PARTS}"]})
        subscriptions = v1.subscriptions.list(
            {
                "customer": customer,
                "status": "all",
                "limit": PAGE,
                "expand": [f"data.{part}" for part in SUBSCRIPTION_PARTS],
            }
        ).data
        subscriptions = [_with_discounts(one) for one in subscriptions]
        methods = _methods_out_of(subscriptions)
        invoices = v1.invoices.list(
            {"customer": customer, "limit": PAGE, "expand": [f"data.{part}" for part in INVOICE_PARTS]}
        ).data
        charges = v1.charges.list({"customer": customer, "limit": PAGE, "expand": CHARGE_PARTS}).data
        intents = _intents_of(invoices, charges)
        paid = [charge for charge in charges if charge.paid]
        disputes = [
            dispute
            for charge in paid
            if charge.disputed
            for dispute in v1.disputes.list({"charge": charge.id, "limit": PAGE}).data
        ]
        warnings = v1.radar.early_fraud_warnings.list({"charge": paid[0].id, "limit": PAGE}).data if paid else []
    schedules = [one.schedule for one in subscriptions if isinstance(one.schedule, stripe.SubscriptionSchedule)]
    several = (subscriptions, schedules, invoices, charges, methods, intents, disputes, warnings)
    return Held(_plain(found), *([_plain(one) for one in objects] for objects in several))


def _plain(found: stripe.StripeObject) -> Object:
    return found.to_dict(for_json=True)


def _with_discounts(subscription: stripe.Subscription) -> stripe.Subscription:
    """The same, with the discounts that make it cheaper in full."""
    if not subscription.discounts or subscription.status in ENDED:
        return subscription
    return client().v1.subscriptions.retrieve(
        subscription.id, {"expand": [*SUBSCRIPTION_PARTS, f"discounts.{DISCOUNT_PARTS}"]}
    )


def _methods_out_of(subscriptions: list[stripe.Subscription]) -> list[stripe.PaymentMethod]:
    """Those that were filled in; in their places are their ids again, as everybody else knows them."""
    found = []
    for one in subscriptions:
        if isinstance(one.customer, stripe.Customer):
            settings = one.customer.invoice_settings
            found.append(settings.default_payment_method if settings else None)
            one.customer = one.customer.id
        if isinstance(one.default_payment_method, stripe.PaymentMethod):
            found.append(one.default_payment_method)
            one.default_payment_method = one.default_payment_method.id
    return list({one.id: one for one in found if isinstance(one, stripe.PaymentMethod)}.values())


def _intents_of(invoices: list[stripe.Invoice], charges: list[stripe.Charge]) -> list[stripe.PaymentIntent]:
    """How it stands with the payments of open invoices, and why they failed."""
    intents = (charge.payment_intent for charge in charges)
    charged = {intent.id: intent for intent in intents if isinstance(intent, stripe.PaymentIntent)}
    found = []
    for invoice in invoices:
        for paying in invoice.payments.data if invoice.status == "open" and invoice.payments else ():
            id = paying.payment.payment_intent
            if isinstance(id, str):
                found.append(charged.get(id) or client().v1.payment_intents.retrieve(id))
    return found


def address_customer(id: str, email: str) -> None:
    """Where Stripe sends invoices and receipts. One that was deleted gets none."""
    with errors("change a customer's address"):
        try:
            client().v1.customers.update(id, {"email": email})
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise


def workspace_of(customer: stripe.Customer) -> str:
    """The workspace for which it was made, by its own word, which anybody in the dashboard may have written."""
    return str((customer.to_dict()["metadata"] or {}).get("workspace_id", ""))


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


def customer(id: str) -> stripe.Customer:
    """A deleted one answers too, with little in it."""
    with errors("read a customer"):
        return client().v1.customers.retrieve(id)
