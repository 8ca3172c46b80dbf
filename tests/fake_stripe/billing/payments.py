"""Payment intents and their charges: each attempt to take money, and how it ends."""

from tests.fake_stripe.billing import cards, methods
from tests.fake_stripe.errors import StripeError, card_error
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World

DISPUTED_AFTER = 24 * 3600
FEE_PERCENT, FEE_FIXED = 3, 30


def make_intent(
    world: World, *, amount: int, currency: str, customer: str | None, description: str | None, invoice: str | None
) -> Object:
    id = new_id("pi")
    intent = world.store.add(
        {
            "id": id,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": new_id(f"{id}_secret"),
            "confirmation_method": "automatic",
            "created": world.now,
            "currency": currency,
            "customer": customer,
            "customer_account": None,
            "description": description,
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {
                "card": {
                    "installments": None,
                    "mandate_options": None,
                    "network": None,
                    "request_three_d_secure": "automatic",
                }
            },
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": "off_session" if invoice else None,
            "shipping": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
            "_invoice": invoice,
        }
    )
    world.announce("payment_intent.created", intent)
    return intent


def await_outcome(world: World, intent: Object, method: Object) -> None:
    """As with a bank debit: days go by before anybody knows."""
    intent |= {"status": "processing", "payment_method": method["id"]}
    world.announce("payment_intent.processing", intent)


def attempt(
    world: World, intent: Object, method: Object, *, is_authenticated: bool = False, refusal: str | None = None
) -> StripeError | None:
    """Try to take the money. None when it was taken; else what to tell, the intent saying how to go on.

    With `refusal`, a decline code, it is refused whatever the card.
    """
    card = methods.card_of(method)
    intent["payment_method"] = method["id"]
    intent["next_action"] = None
    if card.authentication and not is_authenticated and not _is_exempt(card.authentication, method):
        intent["status"] = "requires_action"
        url = f"{world.settings.base_url}/i/{intent['_invoice']}" if intent["_invoice"] else world.settings.base_url
        intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"return_url": None, "url": url}}
        world.announce("payment_intent.requires_action", intent)
        return card_error(
            "Your card was declined. This transaction requires authentication.",
            code="authentication_required",
            decline_code="authentication_required",
        )
    refusal = refusal or card.refusal
    if refusal is not None:
        return _refuse(world, intent, method, refusal)
    if is_authenticated:
        method["_is_set_up"] = True
    charge = _charge(world, intent, method)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "last_payment_error": None,
    }
    world.announce("charge.succeeded", charge)
    world.announce("payment_intent.succeeded", intent)
    return None


def cancel(world: World, intent: Object, reason: str) -> None:
    if intent["status"] in ("succeeded", "canceled"):
        return
    intent |= {"status": "canceled", "canceled_at": world.now, "cancellation_reason": reason, "next_action": None}
    world.announce("payment_intent.canceled", intent)


def _is_exempt(authentication: str, method: Object) -> bool:
    return authentication == "unless_set_up" and bool(method["_is_set_up"])


def _refuse(world: World, intent: Object, method: Object, decline_code: str) -> StripeError:
    code, message = cards.refusal(decline_code)
    charge = _charge(world, intent, method, decline_code)
    intent["latest_charge"] = charge["id"]
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    shown = {name: value for name, value in method.items() if not name.startswith("_")}
    intent["last_payment_error"] = {
        "charge": charge["id"],
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "payment_method": shown,
        "type": "card_error",
    }
    world.announce("charge.failed", charge)
    world.announce("payment_intent.payment_failed", intent)
    return card_error(message, code=code, decline_code=decline_code, charge=charge["id"])


def _charge(world: World, intent: Object, method: Object, decline_code: str | None = None) -> Object:
    id = new_id("ch")
    card = methods.card_of(method)
    is_paid = decline_code is None
    amount = intent["amount"]
    code, message = cards.refusal(decline_code) if decline_code else (None, None)
    look = method["card"]
    charge = {
        "id": id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if is_paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "STAND-IN",
        "captured": is_paid,
        "created": world.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": code,
        "failure_message": message,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if is_paid else "declined_by_network",
            "reason": decline_code,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete." if is_paid else "The bank did not return any further details.",
            "type": "authorized" if is_paid else "issuer_declined",
        },
        "paid": is_paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "amount_authorized": amount if is_paid else None,
                "authorization_code": None,
                "brand": look["brand"],
                "checks": look["checks"],
                "country": look["country"],
                "exp_month": look["exp_month"],
                "exp_year": look["exp_year"],
                "fingerprint": look["fingerprint"],
                "funding": look["funding"],
                "installments": None,
                "last4": look["last4"],
                "mandate": None,
                "network": look["brand"],
                "network_token": {"used": False},
                "network_transaction_id": None,
                "regulated_status": look["regulated_status"],
                "three_d_secure": None,
                "wallet": None,
            },
        },
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if is_paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
        "_dispute_at": world.now + DISPUTED_AFTER if is_paid and card.is_disputed else None,
        "_warn_at": world.now + DISPUTED_AFTER if is_paid and card.is_suspicious else None,
    }
    if is_paid:
        fee = amount * FEE_PERCENT // 100 + FEE_FIXED
        charge["balance_transaction"] = book(world, "charge", amount, charge, fee=fee)["id"]
    return world.store.add(charge)


def book(world: World, type: str, amount: int, source: Object, *, fee: int = 0) -> Object:
    """A balance transaction: what an amount did to the account's balance."""
    description = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return world.store.add(
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": world.now + 2 * 24 * 3600,
            "balance_type": "payments",
            "created": world.now,
            "currency": source["currency"],
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [description] if fee else [],
            "net": amount - fee,
            "reporting_category": "dispute" if type == "adjustment" else type,
            "source": source["id"],
            "status": "pending",
            "type": type,
        }
    )
