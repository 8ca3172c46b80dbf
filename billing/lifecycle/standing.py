"""Before and after an act: one at a time for each workspace, on what Stripe holds at that instant."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.errors import Problem
from accounts.models import User
from accounts.turns import TurnNotCome, turn
from billing import gateway, quotas, sync
from billing.models import Subscription, SubscriptionChange
from billing.snapshots import Held, Snapshot


class Busy(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("Another change of this workspace's plan is under way. Try again in a minute."),
            "billing_busy",
            headers={"Retry-After": "30"},
        )


class NotSubscribed(Problem):
    def __init__(self) -> None:
        super().__init__(_("This workspace has no paid plan to change. Choose a plan and check out."), "not_subscribed")


class NoChange(Problem):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, "no_change")


class PaymentRequired(Problem):
    def __init__(self, payment_url: str) -> None:
        super().__init__(
            _("A payment of this workspace is open. Complete it at payment_url first."),
            "payment_required",
            payment_url=payment_url,
        )


class NotShownYet(Problem):
    """The act is done at Stripe, and Stripe fell silent before our rows could follow."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "The payment service took the change, and could not be reached after it."
                " Your plan shows it in a moment."
            ),
            "stripe_unavailable",
            status=503,
            headers={"Retry-After": "30"},
        )


@contextmanager
def turn_of(subscription: Subscription) -> Iterator[None]:
    """Raises Busy after a long wait. No row is held meanwhile, and no run is ever kept waiting by it."""
    try:
        with turn(f"billing:{subscription.workspace_id}"):
            yield
    except TurnNotCome as error:
        raise Busy from error


def look(subscription: Subscription, *, now: datetime) -> Snapshot | None:
    """What Stripe holds now, with our rows brought to it; None for a workspace without a customer."""
    subscription.refresh_from_db(fields=["stripe_customer_id"])
    return _synced(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=None)


def live(subscription: Subscription, *, now: datetime) -> tuple[Snapshot, Held]:
    """What Stripe holds now, and the subscription that counts. Raises NotSubscribed where none is live."""
    snapshot = look(subscription, now=now)
    if snapshot is None or snapshot.live is None:
        raise NotSubscribed
    return snapshot, snapshot.live


def confirm(subscription: Subscription, *, now: datetime, cause: str, actor: User | None) -> Snapshot | None:
    """After an act: our rows follow, with who did it. Raises NotShownYet; a worker then sees to it."""
    try:
        return _synced(subscription, now=now, cause=cause, actor=actor)
    except (gateway.StripeUnavailable, gateway.StripeRefused, Busy) as error:
        raise NotShownYet from error


def pay_url(snapshot: Snapshot) -> str:
    """Where the oldest debt, or the first payment that is not complete, is paid; empty when nothing is open."""
    invoice = snapshot.debt
    if invoice is None and snapshot.live is not None:
        invoice = snapshot.invoice(snapshot.live.data["latest_invoice"])
    return str(invoice["hosted_invoice_url"] or "") if invoice and invoice["status"] == "open" else ""


def _synced(subscription: Subscription, *, now: datetime, cause: str, actor: User | None) -> Snapshot | None:
    gateway.client()
    customer = subscription.stripe_customer_id
    if customer is None:
        return None
    try:
        snapshot = sync.sync_customer(customer, now=now, cause=cause, actor=actor, insist=True)
    except sync.Overtaken as error:
        raise Busy from error
    subscription.refresh_from_db(from_queryset=Subscription.objects.with_plans())
    quotas.forget_counters(subscription)
    return snapshot
