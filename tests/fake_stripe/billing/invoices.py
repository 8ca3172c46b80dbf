"""An invoice's life: draft, open, and paid, void or uncollectible."""

from typing import Any

from tests.fake_stripe.billing import discounts, lines, methods, payments, standing
from tests.fake_stripe.billing.customers import set_delinquent
from tests.fake_stripe.billing.periods import DAY, HOUR
from tests.fake_stripe.errors import StripeError, card_error, invalid
from tests.fake_stripe.objects import Object, listing, new_id
from tests.fake_stripe.world import World


def draft_for(world: World, subscription: Object, *, reason: str, of_lines: list[Object], **more: Any) -> Object:
    """On a subscription's terms, less its discounts and its customer's."""
    customer = world.store.get("customer", subscription["customer"])
    given = {"discount_ids": subscription["discounts"], "is_automatic": False} | more
    given["discount_ids"] = [*given["discount_ids"], *([customer["discount"]] if customer["discount"] else [])]
    return draft(
        world,
        customer=customer["id"],
        currency=subscription["currency"],
        reason=reason,
        of_lines=of_lines,
        subscription=subscription,
        collection_method=subscription["collection_method"],
        days_until_due=subscription["days_until_due"],
        **given,
    )


def draft(
    world: World,
    *,
    customer: str,
    currency: str,
    reason: str,
    of_lines: list[Object],
    subscription: Object | None = None,
    start: int | None = None,
    end: int | None = None,
    collection_method: str = "charge_automatically",
    days_until_due: int | None = None,
    discount_ids: list[str] | None = None,
    takes_waiting: bool = True,
    is_automatic: bool = True,
) -> Object:
    """Made and announced, with the invoice items that waited for it. `is_automatic`: finalized in an hour."""
    payer = world.store.get("customer", customer)
    id = new_id("in")
    invoice: Object = {
        "id": id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Stand-in",
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": is_automatic,
        "automatic_tax": _automatic_tax(subscription),
        "automatically_finalizes_at": world.now + HOUR if is_automatic else None,
        "billing_reason": reason,
        "collection_method": collection_method,
        "created": world.now,
        "currency": currency,
        "custom_fields": None,
        "customer": customer,
        "customer_account": None,
        "customer_address": payer["address"],
        "customer_email": payer["email"],
        "customer_name": payer["name"],
        "customer_phone": payer["phone"],
        "customer_shipping": payer["shipping"],
        "customer_tax_exempt": payer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listing([], f"/v1/invoices/{id}/lines"),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_start": world.now if start is None else start,
        "period_end": world.now if end is None else end,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": payer["balance"],
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "test_clock": None,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
        "_days_until_due": days_until_due,
        "_intent": None,
    }
    if subscription is not None:
        details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
        invoice["parent"] = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
        subscription["latest_invoice"] = id
    if collection_method == "send_invoice":
        invoice["due_date"] = world.now + (30 if days_until_due is None else days_until_due) * DAY
    if takes_waiting:
        for pending in lines.waiting(world, customer, currency, subscription["id"] if subscription else None):
            pending["invoice"] = id
            invoice["lines"]["data"].append(lines.of_invoice_item(world, pending))
    for each in of_lines:
        invoice["lines"]["data"].append(each)
    world.store.add(invoice)
    invoice["discounts"] = [one["id"] for one in discounts.in_force(world, discount_ids or [])]
    total(world, invoice)
    if payer["currency"] is None:
        payer["currency"] = currency
    if is_automatic and collection_method == "charge_automatically":
        invoice["next_payment_attempt"] = invoice["automatically_finalizes_at"]
    world.announce("invoice.created", invoice)
    return invoice


def total(world: World, invoice: Object) -> None:
    """The sums again, from the lines and the discounts."""
    rows = invoice["lines"]["data"]
    for row in rows:
        row |= {"invoice": invoice["id"], "discount_amounts": [], "pretax_credit_amounts": []}
    sums = []
    for discount in discounts.in_force(world, invoice["discounts"]):
        parts = discounts.taken_off(world, discount, rows)
        for row, part in zip(rows, parts, strict=True):
            if part:
                row["discount_amounts"].append({"amount": part, "discount": discount["id"]})
                row["pretax_credit_amounts"].append({"amount": part, "discount": discount["id"], "type": "discount"})
        sums.append({"amount": sum(parts), "discount": discount["id"]})
    subtotal = sum(row["amount"] for row in rows)
    amount = subtotal - sum(each["amount"] for each in sums)
    invoice |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": amount,
        "total_excluding_tax": amount,
        "total_discount_amounts": sums,
        "total_pretax_credit_amounts": [each | {"type": "discount"} for each in sums if each["amount"]],
    }
    balance = world.store.get("customer", invoice["customer"])["balance"]
    due = max(0, amount + balance) if amount > 0 else 0
    invoice |= {"amount_due": due, "amount_remaining": due, "starting_balance": balance}


def finalize(world: World, invoice: Object) -> None:
    """Open it, with a number and, where money is due, a payment intent. What owes nothing is paid at once."""
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    total(world, invoice)
    customer = world.store.get("customer", invoice["customer"])
    # A negative total becomes credit; credit, which is a negative balance, pays before the card does.
    owed = invoice["total"]
    after = customer["balance"] + (owed if owed < 0 else owed - invoice["amount_due"])
    if after != customer["balance"]:
        customer["balance"] = after
        world.announce("customer.updated", customer)
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    url = f"{world.settings.base_url}/i/{invoice['id']}"
    invoice |= {
        "status": "open",
        "last_finalization_error": None,
        "number": number,
        "effective_at": world.now,
        "ending_balance": after,
        "automatically_finalizes_at": None,
        "next_payment_attempt": None,
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
    }
    invoice["status_transitions"]["finalized_at"] = world.now
    if invoice["amount_due"] > 0:
        intent = payments.make_intent(
            world,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            description=f"Invoice {number}",
            invoice=invoice["id"],
        )
        invoice["_intent"] = intent["id"]
        world.store.add(_payment(world, invoice, intent["id"]))
    world.announce("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _mark_paid(world, invoice)


def fail_finalization(world: World, invoice: Object) -> None:
    """As where automatic tax finds no address. It is tried again in an hour."""
    if invoice["status"] != "draft":
        raise invalid("Only the finalization of a draft can fail.")
    invoice["last_finalization_error"] = {
        "code": "customer_tax_location_invalid",
        "message": "The customer's location isn't recognized. Set a valid customer address.",
        "type": "invalid_request_error",
    }
    if invoice["auto_advance"]:
        invoice["automatically_finalizes_at"] = world.now + HOUR
    world.announce("invoice.finalization_failed", invoice)


def collect(
    world: World,
    invoice: Object,
    method: Object | None,
    *,
    is_authenticated: bool = False,
    by_hand: bool = False,
    refusal: str | None = None,
) -> StripeError | None:
    """Try the payment method. None when the invoice is paid; else why not, with everything that follows from it.

    An attempt by hand after the first leaves the plan of the automatic ones alone.
    """
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"Invoice is already {invoice['status']}." if invoice["status"] != "draft" else "Not finalized.")
    intent = world.store.get("payment_intent", invoice["_intent"])
    if method is None:
        problem: StripeError | None = card_error(
            "There is no default payment method set on this Customer or Invoice.", code="missing"
        )
    else:
        problem = payments.attempt(world, intent, method, is_authenticated=is_authenticated, refusal=refusal)
    counts = not by_hand or not invoice["attempted"]
    invoice["attempted"] = True
    invoice["attempt_count"] += counts
    if problem is None:
        _mark_paid(world, invoice)
        return None
    if not by_hand:
        set_delinquent(world, invoice["customer"], True)
    if counts:
        standing.not_paid(world, invoice)
    if intent["status"] == "requires_action":
        world.announce("invoice.payment_action_required", invoice)
    world.announce("invoice.payment_failed", invoice)
    world.announce("invoice.updated", invoice)
    return problem


def collect_at_once(world: World, invoice: Object) -> StripeError | None:
    """Finalize it, and where something is due, try the payment method that it has."""
    finalize(world, invoice)
    return collect(world, invoice, method_for(world, invoice)) if invoice["status"] == "open" else None


def pay_out_of_band(world: World, invoice: Object) -> None:
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    intent = world.store.find("payment_intent", invoice["_intent"])
    if intent is not None:
        payments.cancel(world, intent, "automatic")
    _mark_paid(world, invoice)


def void(world: World, invoice: Object) -> None:
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only pass in open or uncollectible invoices. This invoice is {invoice['status']}.")
    standing.void(world, invoice)
    standing.voided(world, invoice)


def mark_uncollectible(world: World, invoice: Object) -> None:
    if invoice["status"] != "open":
        raise invalid(f"You can only mark open invoices as uncollectible. This invoice is {invoice['status']}.")
    invoice |= {"status": "uncollectible", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["marked_uncollectible_at"] = world.now
    world.announce("invoice.marked_uncollectible", invoice)


def _mark_paid(world: World, invoice: Object) -> None:
    invoice |= {
        "status": "paid",
        "attempted": True,
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "auto_advance": False,
        "next_payment_attempt": None,
    }
    invoice["status_transitions"]["paid_at"] = world.now
    for payment in world.store.where("invoice_payment", invoice=invoice["id"], status="open"):
        payment |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment["status_transitions"]["paid_at"] = world.now
        world.announce("invoice_payment.paid", payment)
    subscription = standing.subscription_of(world, invoice)
    if subscription is not None:
        subscription["discounts"] = discounts.use_up(world, subscription["discounts"])
    set_delinquent(world, invoice["customer"], False)
    world.announce("invoice.paid", invoice)
    world.announce("invoice.payment_succeeded", invoice)
    standing.paid(world, invoice)


def _payment(world: World, invoice: Object, intent: str) -> Object:
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": world.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent, "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def _automatic_tax(subscription: Object | None) -> Object:
    is_on = subscription is not None and subscription["automatic_tax"]["enabled"]
    return {
        "disabled_reason": None,
        "enabled": is_on,
        "liability": {"type": "self"} if is_on else None,
        "provider": "stripe" if is_on else None,
        "status": "complete" if is_on else None,
    }


def method_for(world: World, invoice: Object) -> Object | None:
    if invoice["default_payment_method"] is not None:
        return world.store.get("payment_method", invoice["default_payment_method"])
    return methods.default_for(world, invoice["customer"], standing.subscription_of(world, invoice))
