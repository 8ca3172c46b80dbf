"""What billing leaves to the worker."""

import logging

from django.db import InterfaceError, OperationalError, transaction
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts import clock
from accounts.jobs import HOUSEKEEPING_QUEUE
from billing import gateway, lifecycle, proofs, sync
from billing.models import Subscription

log = logging.getLogger(__name__)

# What waits for Stripe waits here, and keeps neither runs nor mails waiting.
BILLING_QUEUE = "billing"
# After 3, 9, 27 ... seconds; about a day in all.
UNTIL_STRIPE_ANSWERS = RetryStrategy(
    max_attempts=11,
    exponential_wait=3,
    retry_exceptions=[
        gateway.StripeUnavailable,
        lifecycle.NotShownYet,
        lifecycle.Busy,
        OperationalError,
        InterfaceError,
    ],
)


@app.task(queue=BILLING_QUEUE, retry=UNTIL_STRIPE_ANSWERS)
def create_customer(*, workspace_id: str) -> None:
    """After sign-up, so that Checkout finds it; Checkout itself makes it where this has not come through."""
    if gateway.is_configured():
        lifecycle.ensure_customer(_subscription(workspace_id), now=clock.now())


@app.task(queue=BILLING_QUEUE)
def sync_customer(*, customer: str) -> None:
    """One that fails ends here, and is due again soon: see `sync.claim_due`."""
    try:
        sync.sync_customer(customer, now=clock.now())
    except (gateway.StripeUnavailable, gateway.StripeRefused, gateway.BillingNotConfigured) as error:
        log.warning("The customer %s was not synchronised: %s", customer, error.code)


@app.task(queue=BILLING_QUEUE, retry=UNTIL_STRIPE_ANSWERS)
def mend_double_purchase(*, workspace_id: str) -> None:
    lifecycle.mend_double_purchase(_subscription(workspace_id), now=clock.now())


@app.periodic(cron="* * * * * */15")
@app.task(queue=HOUSEKEEPING_QUEUE)
def ring_what_is_due(timestamp: int) -> None:
    """Every 15 seconds: edges of paid periods, and whatever is not settled, though no delivery came (invariant 9)."""
    if gateway.is_configured():
        with transaction.atomic():
            for customer in sync.claim_due(now=clock.now()):
                sync_customer.defer(customer=customer)


@app.periodic(cron="43 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def check_billing(timestamp: int) -> None:
    """Nightly: what is off is logged as an error, one line each."""
    for finding in proofs.find():
        log.error("check_billing: %s: %s: %s", finding.proof, finding.id, finding.sentence)


def _subscription(workspace_id: str) -> Subscription:
    return Subscription.objects.with_plans().get(workspace_id=workspace_id)
