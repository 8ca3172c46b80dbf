"""The way back from Stripe's pages: our rows are brought up to date, whoever opens it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from billing import gateway
from billing.lifecycle import standing
from billing.models import StripeOperation, Subscription

# What was done at Stripe's pages shows by itself, also when nobody comes back from them and nothing rings.
LOOK_AGAIN = timedelta(minutes=5)
#: What Stripe puts a Checkout Session's id in place of.
SESSION_ID = "{CHECKOUT_SESSION_ID}"


def return_page(operation: StripeOperation) -> str:
    """Where Stripe's pages lead back to: our rows are brought up to date before anybody reads them."""
    return f"{settings.SITE_URL}{reverse('billing:return', args=[operation.pk])}"


@dataclass(frozen=True)
class Return:
    """Somebody came back from Stripe's pages. `status` is the Checkout Session's, None from the portal."""

    subscription: Subscription
    target: str
    status: str | None


def returned(operation: StripeOperation, *, is_canceled: bool, now: datetime) -> Return | None:
    """Brings our rows up to date; None when what Stripe holds under this id is not this workspace's.

    Nothing that the address carries is believed: the session is the one that was made here, and
    its customer is compared.
    """
    subscription = Subscription.objects.with_plans().get(workspace=operation.workspace_id)
    status = None
    target = operation.intent.get("return_url", "")
    if operation.kind == StripeOperation.Kind.CHECKOUT:
        session = gateway.checkout(operation.stripe_id)
        if str(session.customer) != subscription.stripe_customer_id:
            return None
        status = "canceled" if is_canceled and session.status == "open" else session.status
        target = operation.intent["cancel_url" if is_canceled else "success_url"]
        target = target.replace(SESSION_ID, operation.stripe_id)
    standing.look(subscription, now=now)
    return Return(subscription, target, status)
