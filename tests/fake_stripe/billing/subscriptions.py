"""Subscriptions as they are started, changed, paused and resumed, with the invoice that each of these makes."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.fake_stripe.billing import changing, discounts, invoices, lines, methods, payments, periods, standing
from tests.fake_stripe.billing.periods import DAY
from tests.fake_stripe.errors import StripeError, card_error, invalid
from tests.fake_stripe.objects import Object, listing, new_id
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.world import World

TRIAL_ENDS_SOON = 3 * DAY
NO_TRIAL_SETTINGS = {"end_behavior": {"missing_payment_method": "create_invoice"}}


@dataclass
class Terms:
    """What a subscription is started on. `items` have id, price, quantity and metadata."""

    customer: str
    items: list[Object]
    default_payment_method: str | None = None
    trial_end: int | None = None
    trial_settings: Object = field(default_factory=lambda: NO_TRIAL_SETTINGS)
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    discounts: list[Object] = field(default_factory=list)
    payment_behavior: str = "allow_incomplete"
    payment_settings: Object = field(default_factory=dict)
    has_automatic_tax: bool = False
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    anchor: int | None = None
    is_prorated: bool = True
    is_authenticated: bool = False
    is_delayed: bool = False
    checkout: str | None = None


def start(world: World, terms: Terms) -> Object:
    """Make it, and its first invoice. Raises where the first payment fails and must not."""
    customer = world.store.named("customer", terms.customer, "customer")
    prices = [world.store.named("price", item["price"], "items[0][price]") for item in terms.items]
    check_prices(prices)
    currency = prices[0]["currency"]
    check_currency(world, customer, currency)
    now = world.now
    is_trial = terms.trial_end is not None and terms.trial_end > now
    recurring = prices[0]["recurring"]
    anchor = terms.trial_end if is_trial and terms.trial_end else terms.anchor or now
    end = periods.next_boundary(anchor, recurring, now)
    id = new_id("sub")
    subscription: Object = {
        "id": id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": terms.has_automatic_tax,
            "liability": {"type": "self"} if terms.has_automatic_tax else None,
        },
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible", "updated_at": now},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": terms.cancel_at,
        "cancel_at_period_end": terms.cancel_at_period_end,
        "canceled_at": now if terms.cancel_at or terms.cancel_at_period_end else None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": terms.collection_method,
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": terms.days_until_due,
        "default_payment_method": terms.default_payment_method,
        "default_source": None,
        "default_tax_rates": [],
        "description": terms.description,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listing([], f"/v1/subscription_items?subscription={id}"),
        "latest_invoice": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": terms.metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        }
        | terms.payment_settings,
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "trialing" if is_trial else "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": terms.trial_end if is_trial else None,
        "trial_settings": terms.trial_settings,
        "trial_start": now if is_trial else None,
        "_pending": None,
        "_upcoming_for": None,
        "_is_warned": False,
    }
    world.store.add(subscription)
    for wanted in terms.discounts:
        amount = sum(changing.amount_of(world, item) for item in terms.items)
        discounts.check(world, wanted, customer=customer["id"], amount=amount, currency=currency)
        made = discounts.redeem(world, wanted, customer=customer["id"], subscription=id, checkout=terms.checkout)
        subscription["discounts"].append(made)
    of_lines = []
    for item in terms.items:
        full = changing.new_item(world, id, item) | {"current_period_start": now, "current_period_end": end}
        amount = 0 if is_trial else _first_amount(world, item, recurring, now=now, end=end, terms=terms)
        full["_billed"] = changing.net_of(world, subscription["discounts"], amount)
        subscription["items"]["data"].append(full)
        of_lines.append(lines.of_item(world, subscription, full, start=now, end=end, amount=amount))
    if terms.cancel_at_period_end:
        subscription["cancel_at"] = end
    is_sent = terms.collection_method == "send_invoice"
    if is_sent and not is_trial:
        subscription["status"] = "active"
    world.announce("customer.subscription.created", subscription)
    if is_trial and terms.trial_end and terms.trial_end - now <= TRIAL_ENDS_SOON:
        subscription["_is_warned"] = True
        world.announce("customer.subscription.trial_will_end", subscription)
    invoice = invoices.draft_for(
        world,
        subscription,
        reason="subscription_create",
        of_lines=of_lines,
        is_automatic=is_sent and not is_trial,
    )
    if not invoice["auto_advance"]:
        invoices.finalize(world, invoice)
    if invoice["status"] == "open":
        _collect_first(world, subscription, invoice, terms)
    return subscription


def _first_amount(world: World, item: Object, recurring: Object, *, now: int, end: int, terms: Terms) -> int:
    """The part until the anchor, where one was set in the future."""
    whole = changing.amount_of(world, item)
    if terms.anchor is None:
        return whole
    length = periods.after(now, recurring) - now
    return periods.prorated(whole, at=end - min(end - now, length), start=end - length, end=end) * terms.is_prorated


def _collect_first(world: World, subscription: Object, invoice: Object, terms: Terms) -> None:
    method = methods.default_for(world, subscription["customer"], subscription)
    if terms.payment_behavior == "default_incomplete":
        return
    if terms.is_delayed and method is not None:
        # Money that is on its way counts until it turns out not to come.
        invoice["auto_advance"] = True
        payments.await_outcome(world, world.store.get("payment_intent", invoice["_intent"]), method)
        subscription["status"] = "active"
        standing.updated(world, subscription)
        return
    if method is None:
        raise invalid(
            "This customer has no attached payment source or default payment method. Please consider adding a"
            " default payment method.",
            code="resource_missing",
        )
    problem = invoices.collect(world, invoice, method, is_authenticated=terms.is_authenticated)
    if problem is not None and terms.payment_behavior == "error_if_incomplete":
        raise problem


def check_prices(prices: list[Object], *, held: Collection[str] = ()) -> None:
    """`held` are those that the subscription has; they may have become inactive since."""
    for price in prices:
        if price["type"] != "recurring":
            raise invalid(f"The price specified is set to `type=one_time`: {price['id']}", param="items[0][price]")
        if not price["active"] and price["id"] not in held:
            raise invalid(f"The price specified is inactive: {price['id']}.", param="items[0][price]")
    if len({price["currency"] for price in prices}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    if len({str(price["recurring"]) for price in prices}) > 1:
        raise invalid("All prices on a subscription of this stand-in must have the same interval.", param="items")


def check_currency(world: World, customer: Object, currency: str) -> None:
    """A customer cannot hold subscriptions in two currencies."""
    held = [one for one in world.store.all("subscription", customer=customer["id"]) if not has_ended(one)]
    other = next((one["currency"] for one in held if one["currency"] != currency), None)
    if other is not None:
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription,"
            f" subscription schedule, discount, quote, or invoice item with currency {other}.",
            param="currency",
        )


def change(
    world: World,
    subscription: Object,
    items: list[Object],
    *,
    is_reset: bool = False,
    prorations: str = "create_prorations",
    at: int | None = None,
    behavior: str = "allow_incomplete",
    trial_end: int | None = None,
    metadata: dict[str, str] | None = None,
    discount_ids: list[str] | None = None,
    planned_prices: Collection[str] = (),
) -> None:
    """New items, a new anchor or the end of a trial. See Stripe, subscriptions: prorations and pending updates.

    `planned_prices` were active when a schedule took them up.
    """
    if behavior == "pending_if_incomplete" and subscription["collection_method"] == "send_invoice":
        raise invalid(
            "`pending_if_incomplete` is for `collection_method=charge_automatically` only.", param="payment_behavior"
        )
    planned = changing.plan(
        world,
        subscription,
        items,
        is_reset=is_reset,
        at=world.now if at is None else at,
        trial_end=trial_end,
        metadata=metadata,
        discount_ids=discount_ids,
    )
    held = {item["price"] for item in subscription["items"]["data"]} | set(planned_prices)
    check_prices([world.store.named("price", item["price"], "items[0][price]") for item in items], held=held)
    replace_pending(world, subscription)
    invoice = draft_of_change(world, subscription, planned, prorations=prorations)
    if invoice is None:
        changing.apply(world, subscription, planned)
        return
    if behavior != "pending_if_incomplete":
        changing.apply(world, subscription, planned)
        invoices.finalize(world, invoice)
        if invoice["status"] == "open" and behavior != "default_incomplete" and invoice["auto_advance"]:
            problem = invoices.collect(world, invoice, invoices.method_for(world, invoice))
            if problem is not None and behavior == "error_if_incomplete":
                raise problem
        return
    invoice["auto_advance"] = False
    invoices.finalize(world, invoice)
    if invoice["status"] == "paid":
        changing.apply(world, subscription, planned)
        return
    subscription["_pending"] = {"invoice": invoice["id"], "change": planned, "is_told": False}
    subscription["pending_update"] = _shown_pending(world, subscription, planned)
    if invoices.collect(world, invoice, invoices.method_for(world, invoice)) is not None:
        subscription["_pending"]["is_told"] = True
        standing.updated(world, subscription)


def draft_of_change(world: World, subscription: Object, planned: Object, *, prorations: str) -> Object | None:
    """The invoice of a change, or None where its prorations wait for the next one, or nothing is to be billed."""
    of_lines = [] if prorations == "none" else changing.proration_lines(world, subscription, planned)
    if prorations == "create_prorations" and not planned["resets"]:
        for row in of_lines:
            lines.invoice_item(
                world,
                customer=subscription["customer"],
                amount=row["amount"],
                currency=row["currency"],
                description=row["description"],
                start=row["period"]["start"],
                end=row["period"]["end"],
                quantity=row["quantity"],
                price=world.store.find("price", row["pricing"]["price_details"]["price"]),
                subscription=subscription["id"],
                subscription_item=row["parent"]["subscription_item_details"]["subscription_item"],
                is_proration=True,
                is_discountable=False,
            )
        return None
    of_lines += changing.period_lines(world, subscription, planned)
    if not of_lines:
        return None
    applied = subscription["discounts"] if planned["discounts"] is None else planned["discounts"]
    invoice = invoices.draft_for(
        world, subscription, reason="subscription_update", of_lines=of_lines, discount_ids=applied
    )
    invoice["auto_advance"] = subscription["collection_method"] == "charge_automatically"
    invoice["parent"]["subscription_details"]["subscription_proration_date"] = planned["at"]
    return invoice


def replace_pending(world: World, subscription: Object) -> None:
    """A further change takes the place of one that waits for its payment."""
    pending = subscription.get("_pending")
    if pending is not None:
        standing.drop_pending(subscription)
        standing.void(world, world.store.get("invoice", pending["invoice"]))


def _shown_pending(world: World, subscription: Object, planned: Object) -> Object:
    items = []
    for item in planned["items"]:
        shown = changing.new_item(world, subscription["id"], item)
        items.append(shown | {"current_period_start": planned["start"], "current_period_end": planned["end"]})
    return {
        "billing_cycle_anchor": planned["anchor"] if planned["resets"] else None,
        "discounts": planned["discounts"],
        "expires_at": min(
            world.now + standing.PAYABLE_SECONDS,
            max(item["current_period_end"] for item in subscription["items"]["data"]),
        ),
        "metadata": planned["metadata"],
        "subscription_items": items,
        "trial_end": planned["trial_end"],
        "trial_from_plan": None,
    }


def pay(world: World, invoice: Object, method: Object | None, *, is_authenticated: bool = False) -> StripeError | None:
    """By hand: through the API, the hosted page, or a new card."""
    if invoice["status"] == "draft":
        invoices.finalize(world, invoice)
    if invoice["status"] == "paid":
        return None
    problem = invoices.collect(
        world, invoice, method or invoices.method_for(world, invoice), is_authenticated=is_authenticated, by_hand=True
    )
    intent = world.store.get("payment_intent", invoice["_intent"])
    if problem is not None and intent["status"] == "requires_action":
        return card_error(
            "This payment requires additional user action before it can be completed successfully.",
            code="invoice_payment_intent_requires_action",
            decline_code="authentication_required",
        )
    return problem


def resume(world: World, subscription: Object, *, is_reset: bool, prorations: str) -> None:
    """A subscription that the end of its trial has paused."""
    if subscription["status"] != "paused":
        raise invalid("You can only resume a subscription whose status is `paused`.", param="subscription")
    now = world.now
    recurring = world.store.get("price", subscription["items"]["data"][0]["price"])["recurring"]
    if is_reset:
        subscription["billing_cycle_anchor"] = now
    end = periods.next_boundary(subscription["billing_cycle_anchor"], recurring, now)
    of_lines = []
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": now, "current_period_end": end}
        amount = changing.amount_of(world, item)
        if prorations == "none" and not is_reset:
            amount = 0
        item["_billed"] = changing.net_of(world, subscription["discounts"], amount)
        of_lines.append(lines.of_item(world, subscription, item, start=now, end=end, amount=amount))
    invoice = invoices.draft_for(world, subscription, reason="subscription_update", of_lines=of_lines)
    subscription |= {"_resuming": invoice["id"], "_resumes_until": now + standing.PAYABLE_SECONDS}
    invoices.collect_at_once(world, invoice)


def credit_unused(world: World, subscription: Object, *, is_invoiced: bool) -> None:
    """Before it is cancelled now: the unused time of the period, for the next invoice or on one of its own."""
    planned = changing.plan(world, subscription, wanted_items(subscription), is_reset=False, at=world.now)
    invoice = draft_of_change(
        world,
        subscription,
        planned | {"items": []},
        prorations="always_invoice" if is_invoiced else "create_prorations",
    )
    if invoice is not None:
        invoices.collect_at_once(world, invoice)


def schedule_cancellation(world: World, subscription: Object, at: int | None, *, at_period_end: bool) -> None:
    """Set or, with None, taken back."""
    if at is None:
        subscription |= {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
        subscription["cancellation_details"] = {"comment": None, "feedback": None, "reason": None}
        return
    subscription |= {"cancel_at": at, "cancel_at_period_end": at_period_end, "canceled_at": world.now}
    subscription["cancellation_details"] |= {"reason": "cancellation_requested"}


def period_end(subscription: Object) -> int:
    return max(int(item["current_period_end"]) for item in subscription["items"]["data"])


def wanted_items(subscription: Object) -> list[Object]:
    """Its items as they are, to be changed."""
    return [as_wanted(item) for item in subscription["items"]["data"]]


def as_wanted(item: Object) -> dict[str, Any]:
    return {name: item[name] for name in ("id", "price", "quantity", "metadata")}
