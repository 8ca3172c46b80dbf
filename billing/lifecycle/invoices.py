"""What staff do about an open invoice: have it tried again, give it up, or remind the owner of it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import stripe
from django.db import transaction

from accounts.models import User
from billing import audit, dunning, gateway, sync
from billing.lifecycle import standing
from billing.models import AuditEntry, Subscription, SubscriptionChange
from billing.money import amount_in_words

SENT: Final = "send pay link"


def collect_now(subscription: Subscription, *, invoice: str, reason: str, actor: User | None, now: datetime) -> None:
    """Try its payment at once. Raises PaymentFailed, and then the try was made and our rows know of it.

    This and the next two raise ValueError for what is no invoice of this workspace, NoChange for one that
    is not open any more, and what `gateway` raises.
    """
    _settle("retry payment", gateway.pay_invoice, subscription, invoice, reason=reason, actor=actor, now=now)


def void(subscription: Subscription, *, invoice: str, reason: str, actor: User | None, now: datetime) -> None:
    """Nothing is owed by it any more; its period stays unpaid."""
    _settle("void invoice", gateway.void_invoice, subscription, invoice, reason=reason, actor=actor, now=now)


def give_up(subscription: Subscription, *, invoice: str, reason: str, actor: User | None, now: datetime) -> None:
    """It stays owed in the books, as a loss, and Stripe tries no more."""
    _settle("give up invoice", gateway.give_up_invoice, subscription, invoice, reason=reason, actor=actor, now=now)


def send_pay_link(subscription: Subscription, *, invoice: str, reason: str, actor: User | None, now: datetime) -> None:
    """A mail to the owner with the page at which it is paid; of each invoice one a day, however often it is asked for.

    Raises ValueError for what is, by the mirror, no open invoice of this workspace, NoChange for a second mail.
    """
    from billing import jobs  # which import this package

    with transaction.atomic():
        subscription.lock()
        found = next((one for one in dunning.open_of(subscription) if one.id == invoice), None)
        if found is None or not found.url:
            raise ValueError(f"{invoice} is no open invoice of this workspace.")
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if AuditEntry.objects.filter(target=_named(invoice), action=SENT, at__gte=today).exists():
            raise standing.NoChange("The link for this invoice was sent today already.")
        owed = amount_in_words(found.amount, found.currency)
        _audit(SENT, subscription, invoice, {}, {"owed": owed}, reason=reason, actor=actor, now=now)
        jobs.send_pay_link.defer(workspace_id=str(subscription.workspace_id), invoice=invoice)


def _settle(
    action: str,
    act: Callable[[str], stripe.Invoice],
    subscription: Subscription,
    invoice: str,
    *,
    reason: str,
    actor: User | None,
    now: datetime,
) -> None:
    """Whatever reached Stripe leaves its line, also where no answer came: asked again, it is looked at first."""
    by: dict[str, Any] = {"reason": reason, "actor": actor, "now": now}
    with standing.turn_of(subscription):
        snapshot = standing.look(subscription, now=now)
        found = snapshot.invoice(invoice) if snapshot else None
        if found is None:
            raise ValueError(f"{invoice} is no invoice of this workspace.")
        if found["status"] != "open":
            raise standing.NoChange(f"This invoice is {found['status']} already.")
        before = {"status": "open", "owed": amount_in_words(found["amount_remaining"], found["currency"])}
        sync.ring_by(subscription, now)
        try:
            after = {"status": act(invoice).status}
        except gateway.PaymentFailed as error:
            _audit(action, subscription, invoice, before, {"status": "open", "declined": error.reason}, **by)
            # A worker sees to our rows where this one cannot.
            with suppress(standing.NotShownYet):
                standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=actor)
            raise
        except gateway.StripeUnavailable:
            _audit(action, subscription, invoice, before, {"status": "not known, Stripe gave no answer"}, **by)
            raise
        _audit(action, subscription, invoice, before, after, **by)
        standing.confirm(subscription, now=now, cause=SubscriptionChange.STRIPE, actor=actor)


def _audit(
    action: str,
    subscription: Subscription,
    invoice: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    reason: str,
    actor: User | None,
    now: datetime,
) -> None:
    audit.record(
        action,
        target=_named(invoice),
        workspace=subscription.workspace,
        reason=reason,
        actor=actor,
        now=now,
        before=before,
        after=after,
    )


def _named(invoice: str) -> str:
    return f"stripe:{invoice}"
