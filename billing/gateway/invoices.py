"""What is done to an open invoice."""

import stripe

from billing.gateway.connection import client, errors


def pay_invoice(id: str) -> stripe.Invoice:
    """By the method that its subscription or customer has, who is not there to confirm it. Raises PaymentFailed."""
    with errors("pay an invoice"):
        return client().v1.invoices.pay(id)


def void_invoice(id: str) -> stripe.Invoice:
    """As if it had never been asked for."""
    with errors("void an invoice"):
        return client().v1.invoices.void_invoice(id)


def give_up_invoice(id: str) -> stripe.Invoice:
    """It stays owed, and nobody goes on asking for it."""
    with errors("mark an invoice uncollectible"):
        return client().v1.invoices.mark_uncollectible(id)
