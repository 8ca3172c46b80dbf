"""Paying an invoice by hand, with a new card or by authenticating the one that is there."""

from tests.fake_stripe.billing import invoices, methods, subscriptions
from tests.fake_stripe.billing.cards import Card
from tests.fake_stripe.errors import StripeError, card_error, invalid
from tests.fake_stripe.objects import Object
from tests.fake_stripe.world import World


def pay_invoice(
    world: World, invoice: Object, card: Card | None, *, is_authenticated: bool, name: str | None = None
) -> None:
    """Raises with effects kept where the card is declined. A new card becomes the customer's default."""
    if invoice["status"] != "open":
        raise invalid(f"This invoice is {invoice['status']}.")
    customer = world.store.get("customer", invoice["customer"])
    method = present_method(world, invoice)
    if card is not None:
        method = methods.make(world, card, billing={"email": customer["email"], "name": name})
        methods.attach(world, method, customer)
    if method is None:
        raise invalid("There is no card to pay with.")
    asked = methods.card_of(method).authentication is not None
    problem: StripeError | None
    if asked and not is_authenticated:
        problem = card_error("Your card's authentication failed. Please try again.", code="authentication_required")
    else:
        problem = subscriptions.pay(world, invoice, method, is_authenticated=asked)
    if problem is not None:
        problem.keeps_effects = True
        raise problem
    if card is not None:
        customer["invoice_settings"]["default_payment_method"] = method["id"]
        world.announce("customer.updated", customer)


def present_method(world: World, invoice: Object) -> Object | None:
    """The card of the attempt that waits for authentication, else the default."""
    intent = world.store.find("payment_intent", invoice["_intent"])
    waiting = world.store.find("payment_method", intent["payment_method"]) if intent else None
    return waiting or invoices.method_for(world, invoice)
