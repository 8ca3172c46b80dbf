"""A customer as it begins, made through the API or by Checkout."""

from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World


def set_delinquent(world: World, id: str, is_delinquent: bool) -> None:
    """After the latest change of any invoice of the customer."""
    customer = world.store.get("customer", id)
    if customer["delinquent"] != is_delinquent:
        customer["delinquent"] = is_delinquent
        world.announce("customer.updated", customer)


def new_customer(world: World, *, email: str | None, name: str | None) -> Object:
    """Not yet announced."""
    id = new_id("cus", 14)
    return world.store.add(
        {
            "id": id,
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": world.now,
            "currency": None,
            "customer_account": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": email,
            "invoice_prefix": id[-8:].upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": {},
            "name": name,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }
    )
