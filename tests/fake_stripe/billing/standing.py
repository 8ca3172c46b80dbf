"""A subscription's status: what becomes of it when an invoice is paid, is not paid, or is void, and when it ends."""

from tests.fake_stripe.billing import changing, payments
from tests.fake_stripe.billing.periods import DAY
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.world import World

#: How long the first payment, or that of a pending update, may take.
PAYABLE_SECONDS = 23 * 3600


def subscription_of(world: World, invoice: Object) -> Object | None:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return world.store.find("subscription", details.get("subscription"))


def updated(world: World, subscription: Object) -> None:
    world.announce("customer.subscription.updated", subscription)


def paid(world: World, invoice: Object) -> None:
    """The first invoice starts a subscription, that of a pending update applies it, the last open one recovers."""
    subscription = subscription_of(world, invoice)
    if subscription is None or has_ended(subscription):
        return
    pending = subscription.get("_pending")
    if pending is not None and pending["invoice"] == invoice["id"]:
        changing.apply(world, subscription, pending["change"])
        drop_pending(subscription)
        if pending["is_told"]:
            world.announce("customer.subscription.pending_update_applied", subscription)
    elif subscription["status"] == "incomplete":
        subscription["status"] = "trialing" if subscription["trial_end"] else "active"
    elif subscription["status"] == "paused" and subscription.get("_resuming") == invoice["id"]:
        subscription |= {"status": "active", "_resumes_until": None}
        updated(world, subscription)
        world.announce("customer.subscription.resumed", subscription)
        return
    elif subscription["status"] in ("past_due", "unpaid") and not _owes(world, subscription):
        subscription["status"] = "active"
    updated(world, subscription)


def not_paid(world: World, invoice: Object) -> None:
    """After a failed attempt: the next one is planned, or, after the last, the subscription ends as configured."""
    subscription = subscription_of(world, invoice)
    if subscription is None or has_ended(subscription) or subscription["status"] in ("incomplete", "paused"):
        return
    pending = subscription.get("_pending")
    if pending is not None and pending["invoice"] == invoice["id"]:
        return
    if subscription["status"] in ("active", "trialing"):
        subscription["status"] = "past_due"
    days = world.options["retry_days"]
    attempts = invoice["attempt_count"]
    if attempts <= len(days) and invoice["auto_advance"]:
        invoice["next_payment_attempt"] = world.now + days[max(attempts, 1) - 1] * DAY
        updated(world, subscription)
        return
    invoice["next_payment_attempt"] = None
    end = world.options["dunning_end"]
    if end == "canceled":
        invoice["auto_advance"] = False
        cancel(world, subscription, reason="payment_failed")
        return
    if end == "unpaid":
        subscription["status"] = "unpaid"
    updated(world, subscription)


def voided(world: World, invoice: Object) -> None:
    """The invoice of a pending update takes the update with it; that of an incomplete subscription ends it."""
    subscription = subscription_of(world, invoice)
    if subscription is None or has_ended(subscription):
        return
    pending = subscription.get("_pending")
    if pending is not None and pending["invoice"] == invoice["id"]:
        drop_pending(subscription)
        updated(world, subscription)
    elif subscription["status"] == "incomplete":
        expire(world, subscription)
    elif subscription["status"] in ("past_due", "unpaid") and not _owes(world, subscription):
        subscription["status"] = "active"
        updated(world, subscription)


def cancel(world: World, subscription: Object, *, reason: str, feedback: Object | None = None) -> None:
    """End it now. Its schedule goes with it, and its drafts are no longer finalized by themselves."""
    now = world.now
    pending = subscription.get("_pending")
    details = subscription["cancellation_details"] | (feedback or {})
    if details["reason"] is None:
        details["reason"] = reason
    subscription |= {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or now,
        "ended_at": now,
        "cancellation_details": details,
    }
    if reason == "payment_failed":
        subscription["cancellation_details"]["reason"] = reason
    drop_pending(subscription)
    is_unpaid = reason == "payment_failed"
    _end_schedule(world, subscription, f"subscription_schedule.{'aborted' if is_unpaid else 'canceled'}")
    for invoice in world.store.where("invoice", customer=subscription["customer"], status="draft"):
        if _is_of(invoice, subscription) and invoice["auto_advance"]:
            invoice |= {"auto_advance": False, "automatically_finalizes_at": None, "next_payment_attempt": None}
            world.announce("invoice.updated", invoice)
    for invoice in world.store.where("invoice", customer=subscription["customer"], status="open"):
        if _is_of(invoice, subscription) and (
            invoice["billing_reason"] == "subscription_create" or (pending and pending["invoice"] == invoice["id"])
        ):
            void(world, invoice)
        elif _is_of(invoice, subscription):
            invoice |= {"auto_advance": False, "next_payment_attempt": None}
    world.announce("customer.subscription.deleted", subscription)


def expire(world: World, subscription: Object) -> None:
    """The first payment did not come in time."""
    subscription |= {"status": "incomplete_expired", "ended_at": world.now}
    for invoice in world.store.where("invoice", customer=subscription["customer"], status="open"):
        if _is_of(invoice, subscription):
            void(world, invoice)
    _end_schedule(world, subscription, "subscription_schedule.aborted")
    updated(world, subscription)


def expire_pending(world: World, subscription: Object) -> None:
    invoice = world.store.get("invoice", subscription["_pending"]["invoice"])
    drop_pending(subscription)
    if invoice["status"] == "open":
        void(world, invoice)
    world.announce("customer.subscription.pending_update_expired", subscription)
    updated(world, subscription)


def expire_resumption(world: World, subscription: Object) -> None:
    """Not paid in time: it stays paused."""
    subscription["_resumes_until"] = None
    void(world, world.store.get("invoice", subscription["_resuming"]))


def drop_pending(subscription: Object) -> None:
    subscription["pending_update"] = None
    subscription["_pending"] = None


def _end_schedule(world: World, subscription: Object, event: str) -> None:
    schedule = world.store.find("subscription_schedule", subscription["schedule"])
    if schedule is not None:
        schedule |= {"status": "canceled", "canceled_at": world.now, "current_phase": None}
        world.announce(event, schedule)


def void(world: World, invoice: Object) -> None:
    """By what happened to the subscription or by hand; credit that it used goes back to the customer."""
    invoice |= {"status": "void", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = world.now
    used = (invoice["ending_balance"] or 0) - (invoice["starting_balance"] or 0)
    if used:
        customer = world.store.get("customer", invoice["customer"])
        customer["balance"] -= used
        world.announce("customer.updated", customer)
    intent = world.store.find("payment_intent", invoice["_intent"])
    if intent is not None:
        payments.cancel(world, intent, "void_invoice")
    for payment in world.store.where("invoice_payment", invoice=invoice["id"], status="open"):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = world.now
    world.announce("invoice.voided", invoice)


def _owes(world: World, subscription: Object) -> bool:
    """Whether its latest invoice is still open: that one decides."""
    latest = world.store.get("invoice", subscription["latest_invoice"])
    return bool(latest["status"] == "open" and latest["attempted"])


def _is_of(invoice: Object, subscription: Object) -> bool:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return bool(details.get("subscription") == subscription["id"])
