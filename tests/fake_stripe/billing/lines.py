"""Lines of an invoice, and the invoice items that wait for one."""

from datetime import UTC, datetime

from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World


def line(
    world: World,
    *,
    amount: int,
    currency: str,
    description: str,
    start: int,
    end: int,
    price: Object | None = None,
    quantity: int = 1,
    subscription: str | None = None,
    subscription_item: str | None = None,
    invoice_item: str | None = None,
    is_proration: bool = False,
    is_discountable: bool = True,
    metadata: dict[str, str] | None = None,
) -> Object:
    details: Object = {
        "proration": is_proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if subscription_item is not None:
        parent: Object = {
            "invoice_item_details": None,
            "subscription_item_details": details
            | {"invoice_item": invoice_item, "subscription_item": subscription_item},
            "type": "subscription_item_details",
        }
    else:
        parent = {
            "invoice_item_details": details | {"invoice_item": invoice_item or new_id("ii")},
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": is_discountable,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": metadata or {},
        "parent": parent,
        "period": {"start": start, "end": end},
        "pretax_credit_amounts": [],
        "pricing": pricing(price),
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [],
    }


def pricing(price: Object | None) -> Object | None:
    if price is None:
        return None
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def of_item(world: World, subscription: Object, item: Object, *, start: int, end: int, amount: int) -> Object:
    """The line of a period in full."""
    price = world.store.get("price", item["price"])
    recurring = price["recurring"]
    count = recurring["interval_count"]
    each = recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s"
    description = f"{item['quantity']} \u00d7 {product_name(world, price)} (at {money(price)} / {each})"
    if amount == 0 and price["unit_amount"]:
        description = f"Trial period for {product_name(world, price)}"
    return line(
        world,
        amount=amount,
        currency=price["currency"],
        description=description,
        start=start,
        end=end,
        price=price,
        quantity=item["quantity"],
        subscription=subscription["id"],
        subscription_item=item["id"],
        metadata=dict(subscription["metadata"]),
    )


def of_proration(
    world: World, subscription: Object, item: Object, *, amount: int, at: int, end: int, is_credit: bool
) -> Object:
    price = world.store.get("price", item["price"])
    quantity = f"{item['quantity']} \u00d7 " if item["quantity"] != 1 else ""
    what = "Unused time on" if is_credit else "Remaining time on"
    day = datetime.fromtimestamp(at, UTC)
    return line(
        world,
        amount=amount,
        currency=price["currency"],
        description=f"{what} {quantity}{product_name(world, price)} after {day.day} {day:%b %Y}",
        start=at,
        end=end,
        price=price,
        quantity=item["quantity"],
        subscription=subscription["id"],
        subscription_item=item["id"],
        is_proration=True,
        is_discountable=False,
    )


def of_invoice_item(world: World, pending: Object) -> Object:
    details = (pending["parent"] or {}).get("subscription_details") or {}
    price = world.store.find("price", ((pending["pricing"] or {}).get("price_details") or {}).get("price"))
    return line(
        world,
        amount=pending["amount"],
        currency=pending["currency"],
        description=pending["description"] or "Invoice item",
        start=pending["period"]["start"],
        end=pending["period"]["end"],
        price=price,
        quantity=pending["quantity"],
        subscription=details.get("subscription"),
        subscription_item=details.get("subscription_item"),
        invoice_item=pending["id"],
        is_proration=pending["proration"],
        is_discountable=pending["discountable"],
        metadata=dict(pending["metadata"]),
    )


def invoice_item(
    world: World,
    *,
    customer: str,
    amount: int,
    currency: str,
    description: str | None,
    start: int,
    end: int,
    quantity: int = 1,
    price: Object | None = None,
    subscription: str | None = None,
    subscription_item: str | None = None,
    invoice: str | None = None,
    is_proration: bool = False,
    is_discountable: bool = True,
    metadata: dict[str, str] | None = None,
) -> Object:
    parent: Object | None = None
    if subscription is not None:
        details = {"subscription": subscription}
        if subscription_item is not None:
            details["subscription_item"] = subscription_item
        parent = {"subscription_details": details, "type": "subscription_details"}
    made = world.store.add(
        {
            "id": new_id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": currency,
            "customer": customer,
            "customer_account": None,
            "date": world.now,
            "description": description,
            "discountable": is_discountable,
            "discounts": [],
            "invoice": invoice,
            "livemode": False,
            "metadata": metadata or {},
            "net_amount": amount,
            "parent": parent,
            "period": {"start": start, "end": end},
            "pricing": pricing(price),
            "proration": is_proration,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": [],
            "test_clock": None,
        }
    )
    world.announce("invoiceitem.created", made)
    return made


def waiting(world: World, customer: str, currency: str, subscription: str | None) -> list[Object]:
    """The invoice items that the next invoice takes along: the subscription's, and those of none."""
    return [
        pending
        for pending in world.store.where("invoiceitem", customer=customer, currency=currency, invoice=None)
        if pending["parent"] is None or pending["parent"]["subscription_details"]["subscription"] == subscription
    ]


def product_name(world: World, price: Object) -> str:
    return str(world.store.get("product", price["product"])["name"])


def money(price: Object) -> str:
    return f"{in_words(price['unit_amount'], price['currency'])}"


#: Currencies without a smaller unit, of those that Stripe takes.
WHOLE = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}


def in_words(amount: int, currency: str) -> str:
    """Minor units as a person reads them: $49.00, -€3.10, 500 JPY."""
    sign = "-" if amount < 0 else ""
    if currency in WHOLE:
        return f"{sign}{abs(amount):,} {currency.upper()}"
    number = f"{abs(amount) // 100:,}.{abs(amount) % 100:02}"
    symbol = {"usd": "$", "eur": "€", "gbp": "£"}.get(currency)
    return f"{sign}{symbol}{number}" if symbol else f"{sign}{number} {currency.upper()}"
