"""Products and prices."""

import stripe

from billing.gateway.connection import MISSING, PAGE, client, errors


def product(id: str) -> stripe.Product | None:
    """None when there is none of that id."""
    with errors("read a product"):
        try:
            return client().v1.products.retrieve(id)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None


def rename_product(id: str, *, name: str, description: str) -> stripe.Product:
    with errors("rename a product"):
        return client().v1.products.update(id, {"name": name, "description": description})


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
