"""Buying a plan: a Checkout Session at Stripe, never a second subscription beside a live one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.errors import Problem
from accounts.models import Workspace
from accounts.verification import EmailNotVerified
from billing import gateway, sync
from billing.lifecycle import operations, standing
from billing.lifecycle.customers import ensure_customer
from billing.lifecycle.portal import open_portal
from billing.lifecycle.returns import LOOK_AGAIN, SESSION_ID, return_page
from billing.models import Price, StripeOperation, Subscription
from billing.snapshots import Snapshot

# By Stripe's default an open session expires after a day; the operations of the last two are looked at.
SESSION_LIFE = timedelta(days=2)

Kind = StripeOperation.Kind


class AlreadySubscribed(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("This workspace already has a paid plan. Change it instead of buying a second one."), "already_subscribed"
        )


class CurrencyFixed(Problem):
    def __init__(self, currency: str) -> None:
        super().__init__(
            _("This workspace pays in %(currency)s, and all of its payments must be in one currency.")
            % {"currency": currency.upper()},
            "currency_fixed",
            currency=currency,
        )


@dataclass(frozen=True)
class Checkout:
    id: str
    url: str


def start_checkout(
    subscription: Subscription,
    *,
    plan: str,
    interval: str,
    currency: str | None,
    success_url: str,
    cancel_url: str,
    now: datetime,
) -> Checkout:
    """A page at which this workspace can pay; the open one for the same price, where there is one.

    Raises AlreadySubscribed, PaymentRequired, CurrencyFixed, EmailNotVerified, a Problem for a plan
    that is not sold, and what `gateway` raises; then no session was made.
    """
    gateway.client()
    sellable(plan, interval, currency)
    if settings.BUYING_REQUIRES_VERIFIED_EMAIL and not subscription.workspace.owner.is_email_verified:
        # Invoices go there.
        raise EmailNotVerified(_("Confirm your e-mail address first: the invoices go to it."))
    with standing.turn_of(subscription):
        if not Workspace.objects.filter(pk=subscription.workspace_id, closed_at=None).exists():
            # Since this request began; whoever asks next finds nothing there.
            raise Http404
        customer, snapshot = customer_and_snapshot(subscription, now=now)
        refuse_second(subscription, snapshot, now=now)
        if snapshot.currency and currency and currency != snapshot.currency:
            raise CurrencyFixed(snapshot.currency)
        price = price_of(plan, interval, snapshot.currency or currency)
        targets = {"success_url": success_url, "cancel_url": cancel_url}
        for held in snapshot.incomplete:
            # Its first payment was never completed; beside a new checkout it could still be.
            gateway.cancel_now(held.id)
        sync.ring_by(subscription, now + LOOK_AGAIN)
        try:
            again = _open_again(subscription, customer, price, targets)
        except gateway.StripeRefused:
            # One that was to be ended may have been paid in this instant.
            refuse_second(subscription, customer_and_snapshot(subscription, now=now)[1], now=now)
            raise
        return again or _open(subscription, customer, price, targets)


def customer_and_snapshot(subscription: Subscription, *, now: datetime) -> tuple[str, Snapshot]:
    """What Stripe holds now, of a customer that is there: one that was deleted at Stripe is made anew."""
    while True:
        customer = ensure_customer(subscription, now=now)
        snapshot = standing.look(subscription, now=now)
        if snapshot is not None and not snapshot.is_deleted:
            return customer, snapshot


def refuse_second(subscription: Subscription, snapshot: Snapshot, *, now: datetime) -> None:
    """Invariant 10: who has a live subscription is sent to the change, who has a debt to the payment."""
    live = snapshot.live
    if snapshot.debt is not None or (live is not None and live.status in ("past_due", "unpaid")):
        raise payment_required(subscription, snapshot, now=now)
    if live is not None and live.status != "incomplete":
        raise AlreadySubscribed


def payment_required(subscription: Subscription, snapshot: Snapshot, *, now: datetime) -> standing.PaymentRequired:
    """Names the open invoice; where none is open, the portal, which takes another card."""
    url = standing.pay_url(snapshot) or open_portal(subscription, return_url="", now=now).url
    return standing.PaymentRequired(url)


def sellable(plan: str, interval: str, currency: str | None) -> None:
    """Raises Problem (400) naming the field that is wrong."""
    offers = Price.objects.filter(is_active=True, plan__is_public=True)
    for field, value, found in (
        ("plan", plan, offers.filter(plan__slug=plan)),
        ("interval", interval, offers.filter(plan__slug=plan, interval=interval)),
        ("currency", currency, offers.filter(plan__slug=plan, interval=interval, currency=currency)),
    ):
        if value is not None and not found.exists():
            sentence = {
                "plan": _("There is no plan %(value)r that can be bought."),
                "interval": _("%(plan)s is not sold by the %(interval)s."),
                "currency": _("%(plan)s by the %(interval)s is not sold in %(value)r."),
            }[field] % {"plan": plan.upper(), "interval": by_the(interval), "value": value}
            raise Problem(f"{field}: {sentence}", "invalid", status=400, errors={field: [sentence]})


def price_of(plan: str, interval: str, currency: str | None) -> Price:
    """Raises BillingNotConfigured while Stripe does not know the price."""
    price = (
        Price.objects.select_related("plan")
        .filter(plan__slug=plan, interval=interval, currency=currency or settings.DEFAULT_CURRENCY, is_active=True)
        .first()
    )
    if price is None and currency is not None:
        raise CurrencyFixed(currency)
    if price is None or price.stripe_price_id is None:
        text = _("%(plan)s by the %(interval)s has no price at the payment service yet.")
        raise gateway.BillingNotConfigured(text % {"plan": plan.upper(), "interval": by_the(interval)})
    return price


def by_the(interval: str) -> str:
    """In a sentence: PRO by the month."""
    return {"month": pgettext("by the", "month"), "year": pgettext("by the", "year")}.get(interval, interval)


def _open_again(subscription: Subscription, customer: str, price: Price, targets: dict[str, str]) -> Checkout | None:
    """The open session for this price, leading back to where this request wants; every other open one is ended."""
    found = None
    ours = StripeOperation.objects.filter(
        workspace=subscription.workspace_id, kind=Kind.CHECKOUT, created_at__gt=datetime.now(UTC) - SESSION_LIFE
    )
    for session in gateway.open_checkouts(customer):
        made_by = gateway.operation_of(session)
        operation = next((one for one in ours if str(one.pk) == made_by), None)
        if found is None and operation is not None and operation.intent["price"] == price.stripe_price_id:
            operation.intent |= targets
            operation.stripe_id = session.id
            operation.save(update_fields=["intent"])
            if operation.finished_at is None:
                operations.finish(operation, session.id)
            found = Checkout(session.id, session.url or "")
        else:
            gateway.expire_checkout(session.id)
    return found


def _open(subscription: Subscription, customer: str, price: Price, targets: dict[str, str]) -> Checkout:
    workspace = subscription.workspace
    operation = operations.begin(
        Kind.CHECKOUT,
        workspace=workspace,
        intent={"price": price.stripe_price_id, "plan": price.plan.slug, **targets},
        parameters=lambda operation: _checkout_parameters(operation, customer, price),
    )
    session = operations.carry_out(operation)
    return Checkout(session.id, session.url)


def _checkout_parameters(operation: StripeOperation, customer: str, price: Price) -> dict[str, Any]:
    here = {"workspace_id": str(operation.workspace_id), "operation_id": str(operation.pk)}
    parameters: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer,
        "client_reference_id": str(operation.workspace_id),
        "line_items": [{"price": price.stripe_price_id, "quantity": 1}],
        "success_url": f"{return_page(operation)}?session_id={SESSION_ID}",
        "cancel_url": f"{return_page(operation)}?canceled=1",
        "metadata": here,
        "subscription_data": {"metadata": here},
    }
    if settings.STRIPE_PROMOTION_CODES:
        parameters["allow_promotion_codes"] = True
    if settings.STRIPE_AUTOMATIC_TAX:
        parameters["automatic_tax"] = {"enabled": True}
        # Tax is computed from the address, which an existing customer may not have yet.
        parameters["customer_update"] = {"address": "auto"}
    return parameters
