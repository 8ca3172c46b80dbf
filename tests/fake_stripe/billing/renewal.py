"""The end of a period: the next one begins at once, and its invoice is a draft for an hour."""

from tests.fake_stripe.billing import changing, invoices, lines, periods, schedules, standing
from tests.fake_stripe.billing.customers import set_delinquent
from tests.fake_stripe.billing.methods import default_for
from tests.fake_stripe.billing.periods import HOUR
from tests.fake_stripe.billing.subscriptions import period_end
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import has_ended, render
from tests.fake_stripe.world import World


def renew(world: World, subscription: Object) -> None:
    """At the period's end, or the trial's. See Stripe, subscription invoices: the draft hour."""
    is_trial_over = subscription["status"] == "trialing"
    if is_trial_over:
        if default_for(world, subscription["customer"], subscription) is None:
            behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
            if behavior == "cancel":
                standing.cancel(world, subscription, reason="payment_failed")
                return
            if behavior == "pause":
                subscription["status"] = "paused"
                standing.updated(world, subscription)
                world.announce("customer.subscription.paused", subscription)
                return
        subscription["status"] = "active"
    draft_next(world, subscription)
    standing.updated(world, subscription)


def draft_next(world: World, subscription: Object, *, takes_waiting: bool = True) -> Object:
    """Move the period and draft its invoice."""
    items = subscription["items"]["data"]
    now = period_end(subscription)
    recurring = world.store.get("price", items[0]["price"])["recurring"]
    end = periods.next_boundary(subscription["billing_cycle_anchor"], recurring, now)
    before = min(item["current_period_start"] for item in items)
    of_lines = []
    for item in items:
        amount = changing.amount_of(world, item)
        item |= {
            "current_period_start": now,
            "current_period_end": end,
            "_billed": changing.net_of(world, subscription["discounts"], amount),
        }
        of_lines.append(lines.of_item(world, subscription, item, start=now, end=end, amount=amount))
    paused = subscription["pause_collection"]
    is_automatic = subscription["status"] != "unpaid" and not (paused and paused["behavior"] == "keep_as_draft")
    return invoices.draft_for(
        world,
        subscription,
        reason="subscription_cycle",
        of_lines=of_lines,
        start=before,
        end=now,
        takes_waiting=takes_waiting,
        is_automatic=is_automatic,
    )


def end_of_draft(world: World, invoice: Object) -> None:
    """The hour is over: finalized and collected, or given up where collection is paused."""
    subscription = standing.subscription_of(world, invoice)
    paused = subscription["pause_collection"] if subscription else None
    invoices.finalize(world, invoice)
    if invoice["status"] != "open":
        return
    if paused and paused["behavior"] == "void":
        standing.void(world, invoice)
    elif paused and paused["behavior"] == "mark_uncollectible":
        invoices.mark_uncollectible(world, invoice)
    elif invoice["collection_method"] == "send_invoice":
        world.announce("invoice.sent", invoice)
    else:
        invoices.collect(world, invoice, invoices.method_for(world, invoice))


def retry(world: World, invoice: Object) -> None:
    """A later attempt at an invoice whose payment failed."""
    invoice["next_payment_attempt"] = None
    invoices.collect(world, invoice, invoices.method_for(world, invoice))


def become_overdue(world: World, invoice: Object) -> None:
    """An invoice that was sent and is not paid by its due date."""
    invoice["_is_overdue"] = True
    set_delinquent(world, invoice["customer"], True)
    world.announce("invoice.overdue", invoice)
    subscription = standing.subscription_of(world, invoice)
    if subscription is not None and subscription["status"] == "active":
        subscription["status"] = "past_due"
        standing.updated(world, subscription)


def announce_upcoming(world: World, subscription: Object) -> None:
    """Told a week before the renewal, with the invoice as it would be."""
    subscription["_upcoming_for"] = period_end(subscription)
    world.announce("invoice.upcoming", upcoming(world, subscription))


def upcoming(world: World, subscription: Object, *, is_recurring: bool = False) -> Object:
    """The next invoice, which is not there yet; `is_recurring`, without what is billed but once.

    Raises where there will be none.
    """
    at = max(world.now, period_end(subscription))
    with world.store.rehearsal(), world.clock.at(at):
        copy = world.store.get("subscription", subscription["id"])
        schedule = world.store.find("subscription_schedule", copy["schedule"])
        if schedule is not None and schedule["current_phase"] and schedule["current_phase"]["end_date"] <= at:
            schedules.advance(world, schedule)
        ends = copy["cancel_at"]
        if has_ended(copy) or copy["status"] == "paused" or (ends is not None and ends <= at):
            raise no_upcoming(copy["customer"])
        invoice = render(world.store, draft_next(world, copy, takes_waiting=not is_recurring))
    return as_preview(invoice, reason="upcoming")


def no_upcoming(customer: str) -> StripeError:
    return StripeError(404, f"No upcoming invoices for customer: '{customer}'", code="invoice_upcoming_none")


def as_preview(invoice: Object, *, reason: str) -> Object:
    """An invoice that will never be retrieved by its id."""
    return invoice | {
        "id": f"upcoming_{invoice['id']}",
        "billing_reason": reason,
        "next_payment_attempt": invoice["period_end"] + HOUR,
        "automatically_finalizes_at": None,
        "latest_revision": None,
    }
