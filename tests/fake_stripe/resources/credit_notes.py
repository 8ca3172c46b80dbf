"""Credit notes: less owed on an open invoice, or money back on a paid one."""

from tests.fake_stripe.billing import disputes, invoices
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object, listing, new_id
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

REASONS = ("duplicate", "fraudulent", "order_change", "product_unsatisfactory")


@answers("POST", "/v1/credit_notes")
def create(world: World, params: Params) -> Object:
    invoice = world.store.named("invoice", params.needed("invoice"), "invoice")
    if invoice["status"] not in ("open", "paid"):
        raise invalid("Credit notes can only be created for open or paid invoices.", param="invoice")
    rows = _rows(invoice, params)
    amount = sum(row["amount"] for row in rows)
    is_paid = invoice["status"] == "paid"
    before = invoice["post_payment_credit_notes_amount"] + invoice["pre_payment_credit_notes_amount"]
    if amount + before > invoice["total"]:
        raise invalid("The credit notes of an invoice cannot be more than its total.", param="amount")
    refunded, credited = params.integer("refund_amount"), params.integer("credit_amount")
    outside, linked = params.integer("out_of_band_amount"), params.each("refunds") or []
    refunds = [_linked(world, entry) for entry in linked]
    if (
        is_paid
        and (refunded or 0) + (credited or 0) + (outside or 0) + sum(each["amount_refunded"] for each in refunds)
        != amount
    ):
        raise invalid("The sum of refund, credit and out of band amount must equal the credit note's amount.")
    params.without_effect("email_type")
    if refunded:
        intent = world.store.get("payment_intent", invoice["_intent"])
        charge = world.store.get("charge", intent["latest_charge"])
        refund = disputes.refund(world, charge, refunded)
        refunds.append(
            {"amount_refunded": refunded, "payment_record_refund": None, "refund": refund["id"], "type": "refund"}
        )
    if credited:
        customer = world.store.get("customer", invoice["customer"])
        customer["balance"] -= credited
        world.announce("customer.updated", customer)
    id = new_id("cn")
    count = len(list(world.store.all("credit_note", invoice=invoice["id"]))) + 1
    number = f"{invoice['number']}-CN-{count:02d}"
    note = world.store.add(
        {
            "id": id,
            "object": "credit_note",
            "amount": amount,
            "amount_shipping": 0,
            "created": world.now,
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "customer_account": None,
            "customer_balance_transaction": None,
            "discount_amount": 0,
            "discount_amounts": [],
            "effective_at": world.now,
            "invoice": invoice["id"],
            "lines": listing(rows, f"/v1/credit_notes/{id}/lines"),
            "livemode": False,
            "memo": params.string("memo"),
            "metadata": params.metadata(),
            "number": number,
            "out_of_band_amount": outside,
            "pdf": f"{world.settings.base_url}/i/{invoice['id']}/pdf",
            "post_payment_amount": amount if is_paid else 0,
            "pre_payment_amount": 0 if is_paid else amount,
            "pretax_credit_amounts": [],
            "reason": params.choice("reason", *REASONS),
            "refunds": refunds,
            "shipping_cost": None,
            "status": "issued",
            "subtotal": amount,
            "subtotal_excluding_tax": amount,
            "total": amount,
            "total_excluding_tax": amount,
            "total_taxes": [],
            "type": "post_payment" if is_paid else "pre_payment",
            "voided_at": None,
        }
    )
    world.announce("credit_note.created", note)
    if is_paid:
        invoice["post_payment_credit_notes_amount"] += amount
    else:
        _owe_less(world, invoice, amount)
    world.announce("invoice.updated", invoice)
    return note


def _owe_less(world: World, invoice: Object, amount: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += amount
    left = max(0, invoice["amount_due"] - amount)
    invoice |= {"amount_due": left, "amount_remaining": left}
    if left == 0:
        invoices.pay_out_of_band(world, invoice)
        return
    world.store.get("payment_intent", invoice["_intent"])["amount"] = left


@answers("GET", "/v1/credit_notes")
def list_all(world: World, params: Params) -> Object:
    return page_of(world.store, "credit_note", params, "/v1/credit_notes", "customer", "invoice")


@answers("GET", "/v1/credit_notes/{note}")
def retrieve(world: World, params: Params, note: str) -> Object:
    return world.store.get("credit_note", note)


@answers("GET", "/v1/credit_notes/{note}/lines")
def list_lines(world: World, params: Params, note: str) -> Object:
    return page(world.store.get("credit_note", note)["lines"]["data"], params, f"/v1/credit_notes/{note}/lines")


def _rows(invoice: Object, params: Params) -> list[Object]:
    """The lines that are credited; of an amount alone, one."""
    given = params.each("lines")
    amount = params.integer("amount")
    if given is None:
        wanted = amount if amount is not None else invoice["total"]
        return [_row(wanted, description="Credit", line=None)]
    rows = []
    for entry in given:
        kind = entry.choice("type", "invoice_line_item", "custom_line_item")
        line = next((one for one in invoice["lines"]["data"] if one["id"] == entry.string("invoice_line_item")), None)
        if kind == "invoice_line_item" and line is None:
            raise invalid("No such invoice line item.", param=entry.name("invoice_line_item"))
        quantity, unit = entry.integer("quantity"), entry.integer("unit_amount")
        value = entry.integer("amount")
        if value is None:
            value = (quantity or 1) * unit if unit is not None else line["amount"] if line else 0
        described = entry.string("description") or (line["description"] if line else "Credit")
        rows.append(_row(value, description=described, line=line))
    return rows


def _row(amount: int, *, description: str, line: Object | None) -> Object:
    if amount <= 0:
        raise invalid("A credit note needs a positive amount.", param="amount")
    row: Object = {
        "id": new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": description,
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "invoice_line_item" if line else "custom_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    return row | {"invoice_line_item": line["id"]} if line else row


def _linked(world: World, entry: Params) -> Object:
    refund = world.store.named("refund", entry.needed("refund"), entry.name("refund"))
    amount = entry.integer("amount_refunded")
    entry.choice("type", "refund")
    return {
        "amount_refunded": refund["amount"] if amount is None else amount,
        "payment_record_refund": None,
        "refund": refund["id"],
        "type": "refund",
    }
