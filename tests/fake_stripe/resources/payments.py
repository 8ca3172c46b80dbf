"""Payment intents, charges, refunds, invoice payments and balance transactions."""

from tests.fake_stripe.billing import disputes, methods, payments, subscriptions
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.resources import customers
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/payment_intents")
def create_intent(world: World, params: Params) -> Object:
    customer = params.string("customer")
    method = params.string("payment_method")
    amount = params.integer("amount")
    if amount is None or amount <= 0:
        raise invalid("Invalid positive integer", param="amount")
    params.without_effect("automatic_payment_methods", "payment_method_types", "setup_future_usage", "off_session")
    intent = payments.make_intent(
        world,
        amount=amount,
        currency=params.needed("currency"),
        customer=customers.named(world, customer)["id"] if customer else None,
        description=params.string("description"),
        invoice=None,
    )
    intent["metadata"] = params.metadata()
    if params.boolean("confirm"):
        _confirm(world, intent, method)
    return intent


@answers("GET", "/v1/payment_intents")
def list_intents(world: World, params: Params) -> Object:
    return page_of(world.store, "payment_intent", params, "/v1/payment_intents", "customer")


@answers("GET", "/v1/payment_intents/{intent}")
def retrieve_intent(world: World, params: Params, intent: str) -> Object:
    params.without_effect("client_secret")
    return world.store.get("payment_intent", intent)


@answers("POST", "/v1/payment_intents/{intent}")
def update_intent(world: World, params: Params, intent: str) -> Object:
    found = world.store.get("payment_intent", intent)
    if "description" in params:
        found["description"] = params.string("description")
    found["metadata"] = params.metadata(found["metadata"])
    return found


@answers("POST", "/v1/payment_intents/{intent}/confirm")
def confirm_intent(world: World, params: Params, intent: str) -> Object:
    found = world.store.get("payment_intent", intent)
    params.without_effect("off_session", "return_url", "setup_future_usage")
    _confirm(world, found, params.string("payment_method"))
    return found


@answers("POST", "/v1/payment_intents/{intent}/cancel")
def cancel_intent(world: World, params: Params, intent: str) -> Object:
    found = world.store.get("payment_intent", intent)
    if found["_invoice"] is not None:
        raise invalid("This PaymentIntent belongs to an invoice; void the invoice instead.")
    if found["status"] in ("succeeded", "canceled"):
        raise invalid(
            f"You cannot cancel this PaymentIntent because it has a status of {found['status']}.",
            code="payment_intent_unexpected_state",
        )
    payments.cancel(world, found, params.string("cancellation_reason") or "requested_by_customer")
    return found


def _confirm(world: World, intent: Object, method: str | None) -> None:
    if intent["status"] in ("succeeded", "canceled"):
        raise invalid(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    chosen = methods.resolve(world, method) if method else world.store.find("payment_method", intent["payment_method"])
    invoice = world.store.find("invoice", intent["_invoice"])
    if invoice is not None:
        problem = subscriptions.pay(world, invoice, chosen)
    elif chosen is None:
        raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method.")
    else:
        problem = payments.attempt(world, intent, chosen)
    if problem is not None and intent["status"] != "requires_action":
        problem.keeps_effects = True
        raise problem


@answers("GET", "/v1/charges")
def list_charges(world: World, params: Params) -> Object:
    return page_of(world.store, "charge", params, "/v1/charges", "customer", "payment_intent")


@answers("GET", "/v1/charges/{charge}")
def retrieve_charge(world: World, params: Params, charge: str) -> Object:
    return world.store.get("charge", charge)


@answers("POST", "/v1/charges/{charge}")
def update_charge(world: World, params: Params, charge: str) -> Object:
    found = world.store.get("charge", charge)
    if "description" in params:
        found["description"] = params.string("description")
    found["metadata"] = params.metadata(found["metadata"])
    world.announce("charge.updated", found)
    return found


@answers("POST", "/v1/refunds")
def create_refund(world: World, params: Params) -> Object:
    intent, charge = params.string("payment_intent"), params.string("charge")
    if intent is not None:
        charge = world.store.named("payment_intent", intent, "payment_intent")["latest_charge"]
        if charge is None:
            raise invalid(f"This PaymentIntent ({intent}) does not have a successful charge to refund.")
    if charge is None:
        raise invalid("One of the following params should be provided: payment_intent or charge.")
    return disputes.refund(
        world,
        world.store.named("charge", charge, "charge"),
        params.integer("amount"),
        reason=params.choice("reason", "duplicate", "fraudulent", "requested_by_customer"),
        metadata=params.metadata(),
    )


@answers("GET", "/v1/refunds")
def list_refunds(world: World, params: Params) -> Object:
    return page_of(world.store, "refund", params, "/v1/refunds", "charge", "payment_intent")


@answers("GET", "/v1/refunds/{refund}")
def retrieve_refund(world: World, params: Params, refund: str) -> Object:
    return world.store.get("refund", refund)


@answers("POST", "/v1/refunds/{refund}")
def update_refund(world: World, params: Params, refund: str) -> Object:
    found = world.store.get("refund", refund)
    found["metadata"] = params.metadata(found["metadata"] or {})
    world.announce("refund.updated", found)
    return found


@answers("GET", "/v1/invoice_payments")
def list_invoice_payments(world: World, params: Params) -> Object:
    payment = params.nested("payment")
    intent = payment.string("payment_intent") if payment else None
    if payment is not None:
        payment.without_effect("type")
    return page_of(
        *(world.store, "invoice_payment", params, "/v1/invoice_payments", "invoice", "status"),
        wanted=lambda each: intent in (None, each["payment"]["payment_intent"]),
    )


@answers("GET", "/v1/invoice_payments/{payment}")
def retrieve_invoice_payment(world: World, params: Params, payment: str) -> Object:
    return world.store.get("invoice_payment", payment)


@answers("GET", "/v1/balance_transactions")
def list_balance_transactions(world: World, params: Params) -> Object:
    names = ("source", "type", "currency")
    return page_of(world.store, "balance_transaction", params, "/v1/balance_transactions", *names)


@answers("GET", "/v1/balance_transactions/{transaction}")
def retrieve_balance_transaction(world: World, params: Params, transaction: str) -> Object:
    return world.store.get("balance_transaction", transaction)
