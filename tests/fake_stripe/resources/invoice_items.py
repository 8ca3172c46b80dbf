"""Invoice items: what waits for the next invoice."""

from tests.fake_stripe.billing import invoices, lines
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.resources import customers
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/invoiceitems")
def create(world: World, params: Params) -> Object:
    customer = customers.named(world, params.needed("customer"))
    priced = params.nested("pricing")
    price = world.store.named("price", priced.needed("price"), "pricing[price]") if priced else None
    quantity = params.integer("quantity")
    quantity = 1 if quantity is None else quantity
    amount, decimal = params.integer("amount"), params.string("unit_amount_decimal")
    if price is not None:
        amount = price["unit_amount"] * quantity
    elif decimal is not None:
        amount = round(float(decimal) * quantity)
    if amount is None:
        raise invalid("You must pass `amount`, `pricing` or `unit_amount_decimal`.", param="amount")
    invoice = params.string("invoice")
    period = params.nested("period")
    discountable = params.boolean("discountable")
    made = lines.invoice_item(
        world,
        customer=customer["id"],
        amount=amount,
        currency=price["currency"] if price else params.string("currency") or customer["currency"] or "usd",
        description=params.string("description"),
        start=(period.integer("start") if period else None) or world.now,
        end=(period.integer("end") if period else None) or world.now,
        quantity=quantity,
        price=price,
        subscription=params.string("subscription"),
        is_discountable=discountable is not False,
        metadata=params.metadata(),
    )
    if invoice is not None:
        draft = world.store.named("invoice", invoice, "invoice")
        if draft["status"] != "draft":
            raise invalid("This invoice is no longer editable.", param="invoice", code="invoice_not_editable")
        made["invoice"] = invoice
        draft["lines"]["data"].append(lines.of_invoice_item(world, made))
        invoices.total(world, draft)
        world.announce("invoice.updated", draft)
    return made


@answers("GET", "/v1/invoiceitems")
def list_all(world: World, params: Params) -> Object:
    pending = params.boolean("pending")
    return page_of(
        *(world.store, "invoiceitem", params, "/v1/invoiceitems", "customer", "invoice"),
        wanted=lambda each: pending in (None, each["invoice"] is None),
    )


@answers("GET", "/v1/invoiceitems/{item}")
def retrieve(world: World, params: Params, item: str) -> Object:
    return world.store.get("invoiceitem", item)


@answers("DELETE", "/v1/invoiceitems/{item}")
def delete(world: World, params: Params, item: str) -> Object:
    found = world.store.get("invoiceitem", item)
    if found["invoice"] is not None:
        raise invalid("You cannot delete an invoice item that is on an invoice.")
    world.store.remove(found)
    world.announce("invoiceitem.deleted", found)
    return {"id": item, "object": "invoiceitem", "deleted": True}
