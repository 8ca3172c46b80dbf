"""Payment methods: made from a card, attached to a customer, and found for a payment."""

from typing import Any

from tests.fake_stripe.billing import cards
from tests.fake_stripe.billing.cards import Card
from tests.fake_stripe.errors import card_error, invalid
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World

NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def make(
    world: World, card: Card, *, month: int = 12, year: int = 2034, billing: dict[str, Any] | None = None
) -> Object:
    return world.store.add(
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {"address": NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}
            | (billing or {}),
            "card": {
                "brand": card.brand,
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": "US",
                "display_brand": card.brand,
                "exp_month": month,
                "exp_year": year,
                "fingerprint": f"standin{card.number[-9:]}",
                "funding": "credit",
                "generated_from": None,
                "last4": card.number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": world.now,
            "customer": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
            "_number": card.number,
            "_is_set_up": False,
        }
    )


def resolve(world: World, named: str, param: str = "payment_method") -> Object:
    """An id, or one of the `pm_card_*` names, each use of which is a new payment method."""
    if named in cards.BY_NAME:
        return make(world, cards.by_name(named))
    return world.store.named("payment_method", named, param)


def attach(world: World, method: Object, customer: Object) -> None:
    card = card_of(method)
    if method["customer"] == customer["id"]:
        return
    if method["customer"] is not None or method.get("_is_detached"):
        raise invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a"
            " Customer, and may not be used again."
        )
    if not card.is_attachable and card.refusal is not None:
        code, message = cards.refusal(card.refusal)
        raise card_error(message, code=code, decline_code=card.refusal, payment_method_type="card")
    method["customer"] = customer["id"]
    world.announce("payment_method.attached", method)


def update_automatically(world: World, method: Object, card: Object) -> None:
    """The bank has given out a new card, and the network has told of it."""
    method["card"] |= card
    world.announce("payment_method.automatically_updated", method)


def detach(world: World, method: Object) -> None:
    customer = world.store.find("customer", method["customer"])
    if customer is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    method["customer"] = None
    method["_is_detached"] = True
    world.announce("payment_method.detached", method)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
        world.announce("customer.updated", customer)
    of = {"customer": customer["id"], "default_payment_method": method["id"]}
    for subscription in world.store.where("subscription", **of):
        subscription["default_payment_method"] = None
        world.announce("customer.subscription.updated", subscription)


def of_customer(world: World, customer: str, method: str, param: str = "default_payment_method") -> Object:
    found = resolve(world, method, param)
    if found["customer"] != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {method}. The payment method must be attached"
            " to the customer.",
            param=param,
            code="resource_missing",
        )
    return found


def default_for(world: World, customer: str, subscription: Object | None) -> Object | None:
    """The subscription's own, else the customer's."""
    if subscription is not None and subscription["default_payment_method"] is not None:
        return world.store.get("payment_method", subscription["default_payment_method"])
    settings = world.store.get("customer", customer)["invoice_settings"]
    return world.store.find("payment_method", settings["default_payment_method"])


def card_of(method: Object) -> Card:
    return cards.BY_NUMBER[method["_number"]]
