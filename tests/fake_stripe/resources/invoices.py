"""Invoices, their lines, and previews of what has not happened."""

from tests.fake_stripe.billing import changing, discounts, invoices, methods, renewal, schedules, subscriptions
from tests.fake_stripe.billing.customers import set_delinquent
from tests.fake_stripe.billing.subscriptions import Terms
from tests.fake_stripe.errors import invalid, missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import has_ended, render
from tests.fake_stripe.resources import customers
from tests.fake_stripe.resources.schedules import made, revise
from tests.fake_stripe.resources.subscriptions import PRORATIONS, change_cancellation, merged
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/invoices")
def create(world: World, params: Params) -> Object:
    """A draft of its own, with the invoice items that wait where `pending_invoice_items_behavior` says so."""
    customer = customers.named(world, params.needed("customer"))
    subscription = world.store.find("subscription", params.string("subscription"))
    is_automatic = params.boolean("auto_advance") is True
    wanted = discounts.read(world, params) or []
    invoice = invoices.draft(
        world,
        customer=customer["id"],
        currency=params.string("currency") or customer["currency"] or "usd",
        reason="manual",
        of_lines=[],
        subscription=None,
        collection_method=params.choice("collection_method", "charge_automatically", "send_invoice")
        or "charge_automatically",
        days_until_due=params.integer("days_until_due"),
        discount_ids=[discounts.redeem(world, each, customer=customer["id"]) for each in wanted],
        takes_waiting=params.choice("pending_invoice_items_behavior", "include", "exclude") == "include",
        is_automatic=is_automatic,
    )
    if subscription is not None:
        details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
        invoice["parent"] = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
    _change(invoice, params)
    return invoice


@answers("GET", "/v1/invoices")
def list_all(world: World, params: Params) -> Object:
    subscription = params.string("subscription")
    return page_of(
        *(world.store, "invoice", params, "/v1/invoices", "customer", "status", "collection_method"),
        wanted=lambda one: subscription is None or _subscription_id(one) == subscription,
    )


@answers("GET", "/v1/invoices/{invoice}")
def retrieve(world: World, params: Params, invoice: str) -> Object:
    return world.store.get("invoice", invoice)


@answers("POST", "/v1/invoices/{invoice}")
def update(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    _change(found, params)
    if "default_payment_method" in params:
        method = params.string("default_payment_method")
        found["default_payment_method"] = (
            methods.of_customer(world, found["customer"], method)["id"] if method else None
        )
    advance = params.boolean("auto_advance")
    if advance is not None:
        found["auto_advance"] = advance
        if advance and found["status"] == "draft":
            found["automatically_finalizes_at"] = world.now + 3600
    world.announce("invoice.updated", found)
    return found


@answers("DELETE", "/v1/invoices/{invoice}")
def delete(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    if found["status"] != "draft":
        raise invalid("You can only delete draft invoices.")
    for item in world.store.where("invoiceitem", invoice=invoice):
        item["invoice"] = None
    world.store.remove(found)
    world.announce("invoice.deleted", found)
    return {"id": invoice, "object": "invoice", "deleted": True}


@answers("GET", "/v1/invoices/{invoice}/lines")
def list_lines(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    return page(reversed(found["lines"]["data"]), params, f"/v1/invoices/{invoice}/lines")


@answers("POST", "/v1/invoices/{invoice}/finalize")
def finalize(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    advance = params.boolean("auto_advance")
    invoices.finalize(world, found)
    found["auto_advance"] = found["auto_advance"] if advance is None else advance
    return found


@answers("POST", "/v1/invoices/{invoice}/pay")
def pay(world: World, params: Params, invoice: str) -> Object:
    """What a declined card has done stays: the attempt, its charge and its events."""
    found = world.store.get("invoice", invoice)
    if found["status"] == "paid":
        raise invalid("Invoice is already paid")
    if found["status"] == "void":
        raise invalid("This invoice is void and cannot be paid.")
    method = params.string("payment_method")
    params.without_effect("off_session", "forgive")
    if params.boolean("paid_out_of_band"):
        if found["status"] == "draft":
            invoices.finalize(world, found)
        invoices.pay_out_of_band(world, found)
        return found
    chosen = world.store.named("payment_method", method, "payment_method") if method else None
    problem = subscriptions.pay(world, found, chosen)
    if problem is not None:
        problem.keeps_effects = True
        raise problem
    return found


@answers("POST", "/v1/invoices/{invoice}/send")
def send(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    if found["status"] == "draft":
        invoices.finalize(world, found)
    world.announce("invoice.sent", found)
    return found


@answers("POST", "/v1/invoices/{invoice}/void")
def void(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    invoices.void(world, found)
    return found


@answers("POST", "/v1/invoices/{invoice}/mark_uncollectible")
def mark_uncollectible(world: World, params: Params, invoice: str) -> Object:
    found = world.store.get("invoice", invoice)
    invoices.mark_uncollectible(world, found)
    set_delinquent(world, found["customer"], False)
    return found


@answers("POST", "/v1/invoices/create_preview")
def create_preview(world: World, params: Params) -> Object:
    """What would be billed: the change or the renewal is carried out, looked at, and undone."""
    customer, schedule = params.string("customer"), params.string("schedule")
    details, schedule_details = params.nested("subscription_details"), params.nested("schedule_details")
    held = world.store.find("subscription", params.string("subscription"))
    if params.string("subscription") and held is None:
        raise missing("subscription", str(params.string("subscription")), param="subscription", status=400)
    wanted = discounts.read(world, params)
    params.without_effect("automatic_tax", "currency")
    is_recurring = params.choice("preview_mode", "next", "recurring") == "recurring"
    if schedule is not None or schedule_details is not None:
        if held is not None or details is not None:
            raise invalid("`schedule` cannot be used with `subscription`.", param="schedule")
        return _preview_schedule(world, schedule, customer, schedule_details, is_recurring=is_recurring)
    if details is None:
        return renewal.upcoming(world, held or _next_to_renew(world, customer), is_recurring=is_recurring)
    if held is None:
        return _preview_new(world, customers.named(world, customer or "")["id"], details, wanted or [])
    return _preview_change(world, held, details, wanted, is_recurring=is_recurring)


def _next_to_renew(world: World, customer: str | None) -> Object:
    owner = customers.named(world, customer or "")["id"]
    live = [one for one in world.store.where("subscription", customer=owner) if not has_ended(one)]
    found = min(live, key=subscriptions.period_end, default=None)
    if found is None:
        raise renewal.no_upcoming(owner)
    return found


def _preview_change(
    world: World, subscription: Object, details: Params, wanted: list[Object] | None, *, is_recurring: bool
) -> Object:
    prorations = details.choice("proration_behavior", *PRORATIONS) or "create_prorations"
    is_reset = details.choice("billing_cycle_anchor", "now", "unchanged") == "now"
    at = details.integer("proration_date")
    trial_end = details.instant("trial_end", now=world.now)
    is_cancelled = details.boolean("cancel_now") is True
    if has_ended(subscription):
        raise renewal.no_upcoming(subscription["customer"])
    items = subscriptions.wanted_items(subscription)
    for entry in details.each("items") or []:
        items = merged(world, items, entry)
    with world.store.rehearsal():
        subscriptions.replace_pending(world, subscription)
        change_cancellation(world, subscription, details)
        ids = None
        if wanted is not None:
            ids = [discounts.redeem(world, each, customer=subscription["customer"]) for each in wanted]
        planned = changing.plan(
            world,
            subscription,
            items,
            is_reset=is_reset,
            at=world.now if at is None else at,
            trial_end=trial_end,
            discount_ids=ids,
        )
        if is_cancelled:
            planned |= {"items": [], "resets": False}
            prorations = "always_invoice"
        invoice = None
        if not is_recurring:
            invoice = subscriptions.draft_of_change(world, subscription, planned, prorations=prorations)
        if invoice is not None:
            return renewal.as_preview(render(world.store, invoice), reason="subscription_update")
        if is_cancelled:
            raise renewal.no_upcoming(subscription["customer"])
        changing.apply(world, subscription, planned)
        return renewal.upcoming(world, subscription, is_recurring=is_recurring)


def _preview_new(world: World, customer: str, details: Params, wanted: list[Object]) -> Object:
    items = [merged(world, [], entry)[0] for entry in details.each("items") or []]
    trial_end = details.instant("trial_end", now=world.now)
    details.without_effect("proration_behavior")
    with world.store.rehearsal():
        terms = Terms(
            customer=customer,
            items=items,
            trial_end=trial_end,
            discounts=wanted,
            payment_behavior="default_incomplete",
        )
        return _first_invoice(world, subscriptions.start(world, terms))


def _preview_schedule(
    world: World, id: str | None, customer: str | None, details: Params | None, *, is_recurring: bool
) -> Object:
    """The first invoice of a schedule that has not begun, else the next, with `details` as if they had been sent."""
    with world.store.rehearsal():
        if id is not None:
            schedule = world.store.named("subscription_schedule", id, "schedule")
            if details is not None:
                revise(world, schedule, details)
        else:
            assert details is not None
            schedule = made(world, details, customers.named(world, customer or "")["id"], start=world.now)
        if schedule["status"] == "not_started":
            with world.clock.at(max(world.now, schedule["phases"][0]["start_date"])):
                schedules.begin(world, schedule)
            return _first_invoice(world, world.store.get("subscription", schedule["subscription"]))
        return renewal.upcoming(
            world,
            world.store.get("subscription", schedule["subscription"] or schedule["released_subscription"]),
            is_recurring=is_recurring,
        )


def _first_invoice(world: World, subscription: Object) -> Object:
    invoice = render(world.store, world.store.get("invoice", subscription["latest_invoice"]))
    never = {"number": None, "status": "draft", "hosted_invoice_url": None, "invoice_pdf": None, "effective_at": None}
    return renewal.as_preview(invoice, reason="subscription_create") | never


def _change(invoice: Object, params: Params) -> None:
    for name in ("description", "footer"):
        if name in params:
            invoice[name] = params.string(name)
    invoice["metadata"] = params.metadata(invoice["metadata"])
    due = params.integer("due_date")
    invoice["due_date"] = invoice["due_date"] if due is None else due


def _subscription_id(invoice: Object) -> str | None:
    details: Object = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")
