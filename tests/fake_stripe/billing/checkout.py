"""A Checkout Session as its page pays it: a card, perhaps a promotion code, perhaps an authentication step."""

from tests.fake_stripe.billing import discounts, invoices, lines, methods, payments, subscriptions
from tests.fake_stripe.billing.cards import Card
from tests.fake_stripe.billing.customers import new_customer
from tests.fake_stripe.billing.subscriptions import Terms
from tests.fake_stripe.errors import StripeError, card_error, invalid
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World


def amounts(world: World, session: Object) -> None:
    """The session's sums and those of its items, with the discount that is on it."""
    rows = session["_line_items"]
    sums = [
        {
            "amount": row["amount_subtotal"],
            "discountable": True,
            "discount_amounts": [],
            "pricing": {"price_details": {"product": world.store.get("price", row["price"])["product"]}},
        }
        for row in rows
    ]
    taken = [0 for _ in rows]
    for wanted in session["discounts"] or []:
        coupon = wanted["coupon"] or world.store.get("promotion_code", wanted["promotion_code"])["promotion"]["coupon"]
        parts = discounts.taken_off(world, {"source": {"coupon": coupon}}, sums)
        taken = [before + part for before, part in zip(taken, parts, strict=True)]
    for row, part in zip(rows, taken, strict=True):
        row |= {"amount_discount": part, "amount_total": row["amount_subtotal"] - part}
    subtotal, total = sum(row["amount_subtotal"] for row in rows), sum(row["amount_total"] for row in rows)
    if session["_subscription_data"].get("trial_end"):
        subtotal = total = 0
    session |= {"amount_subtotal": subtotal, "amount_total": total}
    session["total_details"] = {"amount_discount": subtotal - total, "amount_shipping": 0, "amount_tax": 0}


def add_promotion_code(world: World, session: Object, code: str) -> None:
    """Raises with a sentence for the buyer."""
    found = next(
        (
            one
            for one in world.store.where("promotion_code", active=True)
            if one["code"].lower() == code.strip().lower()
        ),
        None,
    )
    if found is None:
        raise invalid("This code is invalid.", param="promotion_code")
    wanted = {"coupon": found["promotion"]["coupon"], "promotion_code": found["id"]}
    discounts.check(
        world, wanted, customer=session["customer"], amount=session["amount_subtotal"], currency=session["currency"]
    )
    session["discounts"] = [{"coupon": None, "promotion_code": found["id"]}]
    amounts(world, session)


def remove_promotion_code(world: World, session: Object) -> None:
    session["discounts"] = []
    amounts(world, session)


def asks_for_authentication(card: Card) -> bool:
    return card.authentication is not None


def complete(
    world: World,
    session: Object,
    card: Card,
    *,
    is_authenticated: bool,
    name: str | None = None,
    email: str | None = None,
    month: int = 12,
    year: int = 2034,
    is_delayed: bool = False,
) -> None:
    """Pay. Raises card_error where the card is declined or its authentication is missing; then nothing was made.

    With `is_delayed` as by bank debit: the session is complete, and `settle` tells what came of the money.
    """
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.")
    if card.authentication is not None and not is_authenticated:
        raise card_error(
            "Your card's authentication failed. Please try again.",
            code="payment_intent_authentication_failure",
            decline_code="authentication_required",
        )
    customer = _customer(world, session, email=email, name=name)
    billing = {"email": customer["email"], "name": name}
    method = methods.make(world, card, month=month, year=year, billing=billing)
    methods.attach(world, method, customer)
    method["_is_set_up"] = card.authentication == "unless_set_up"
    if session["mode"] == "subscription":
        _subscribe(world, session, customer, method, is_authenticated=is_authenticated, is_delayed=is_delayed)
    elif is_delayed:
        raise invalid("Only the payment of a subscription can be delayed here.")
    else:
        _charge(world, session, customer, method, is_authenticated=is_authenticated)
    is_free = session["amount_total"] == 0
    session |= {
        "status": "complete",
        "payment_status": "no_payment_required" if is_free else "unpaid" if is_delayed else "paid",
        "customer": customer["id"],
        "url": None,
        "customer_details": {
            "address": methods.NO_ADDRESS | {"country": "US"},
            "business_name": None,
            "email": customer["email"],
            "individual_name": None,
            "name": name or customer["name"],
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
    }
    if session["_customer_update"].get("address") == "auto":
        customer["address"] = methods.NO_ADDRESS | {"country": "US"}
    if session["_customer_update"].get("name") == "auto" and name:
        customer["name"] = name
    world.announce("customer.updated", customer)
    world.announce("checkout.session.completed", session)


def settle(world: World, session: Object, *, has_come: bool) -> None:
    """What came of a payment that was delayed."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise invalid("Nothing is on its way for this Checkout Session.")
    invoice = world.store.get("invoice", session["invoice"])
    refusal = None if has_come else "generic_decline"
    problem = invoices.collect(world, invoice, invoices.method_for(world, invoice), refusal=refusal)
    if problem is None:
        session["payment_status"] = "paid"
    world.announce(f"checkout.session.async_payment_{'failed' if problem else 'succeeded'}", session)


def _customer(world: World, session: Object, *, email: str | None, name: str | None) -> Object:
    if session["customer"] is not None:
        return world.store.get("customer", session["customer"])
    customer = new_customer(world, email=email or session["customer_email"], name=name)
    world.announce("customer.created", customer)
    return customer


def _subscribe(
    world: World, session: Object, customer: Object, method: Object, *, is_authenticated: bool, is_delayed: bool
) -> None:
    data = session["_subscription_data"]
    wanted = []
    for entry in session["discounts"] or []:
        promotion = world.store.find("promotion_code", entry["promotion_code"])
        coupon = promotion["promotion"]["coupon"] if promotion else entry["coupon"]
        wanted.append({"coupon": coupon, "promotion_code": entry["promotion_code"]})
    terms = Terms(
        customer=customer["id"],
        items=[
            {"id": new_id("si", 14), "price": row["price"], "quantity": row["quantity"], "metadata": {}}
            for row in session["_line_items"]
        ],
        default_payment_method=method["id"],
        trial_end=data.get("trial_end"),
        metadata=dict(data.get("metadata") or {}),
        description=data.get("description"),
        discounts=wanted,
        payment_behavior="error_if_incomplete",
        has_automatic_tax=session["automatic_tax"]["enabled"],
        is_authenticated=is_authenticated,
        is_delayed=is_delayed,
        checkout=session["id"],
    )
    if data.get("trial_settings"):
        terms.trial_settings = data["trial_settings"]
    subscription = subscriptions.start(world, terms)
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def _charge(world: World, session: Object, customer: Object, method: Object, *, is_authenticated: bool) -> None:
    """A single payment, with an invoice where the session asks for one."""
    if session["invoice_creation"]["enabled"]:
        rows = [
            lines.line(
                world,
                amount=row["amount_total"],
                currency=row["currency"],
                description=row["description"],
                start=world.now,
                end=world.now,
                price=world.store.get("price", row["price"]),
                quantity=row["quantity"],
            )
            for row in session["_line_items"]
        ]
        invoice = invoices.draft(
            world,
            customer=customer["id"],
            currency=session["currency"],
            reason="manual",
            of_lines=rows,
            takes_waiting=False,
            is_automatic=False,
        )
        invoice["metadata"] = dict(session["metadata"])
        invoices.finalize(world, invoice)
        session["invoice"] = invoice["id"]
        problem: StripeError | None = None
        if invoice["status"] == "open":
            problem = invoices.collect(world, invoice, method, is_authenticated=is_authenticated)
        session["payment_intent"] = invoice["_intent"]
    elif session["amount_total"]:
        intent = payments.make_intent(
            world,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=customer["id"],
            description=None,
            invoice=None,
        )
        intent["metadata"] = dict(session["_payment_intent_data"].get("metadata") or {})
        problem = payments.attempt(world, intent, method, is_authenticated=is_authenticated)
        session["payment_intent"] = intent["id"]
    else:
        problem = None
    if problem is not None:
        raise problem


def expire(world: World, session: Object) -> None:
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a'
            f" status of {session['status']}."
        )
    session |= {"status": "expired", "url": None}
    world.announce("checkout.session.expired", session)
