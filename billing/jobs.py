"""What billing leaves to the worker."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import InterfaceError, OperationalError, transaction
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts import clock
from accounts.errors import Problem
from accounts.jobs import HOUSEKEEPING_QUEUE, MAIL_QUEUE, harmless, send
from accounts.models import User
from accounts.turns import turn
from billing import deliveries, dunning, gateway, lifecycle, mirror, proofs, refusals, sync
from billing.lifecycle import operations
from billing.models import Batch, Subscription
from billing.reports import daily

log = logging.getLogger(__name__)

# What waits for Stripe waits here, and keeps neither runs nor mails waiting.
BILLING_QUEUE = "billing"
# For as long as Stripe keeps its own events.
NOTES_KEPT: Final = timedelta(days=30)
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


@app.task(queue=BILLING_QUEUE, retry=UNTIL_STRIPE_ANSWERS)
def address_invoices(*, workspace_id: str) -> None:
    """After a transfer, or a new address of the owner's."""
    if gateway.is_configured():
        lifecycle.address_invoices(_subscription(workspace_id))


@app.task(queue=BILLING_QUEUE)
def sync_customer(*, customer: str) -> None:
    """One that fails ends here, and is due again soon: see `sync.claim_due`."""
    try:
        sync.sync_customer(customer, now=clock.now())
    except (gateway.StripeUnavailable, gateway.StripeRefused, gateway.BillingNotConfigured) as error:
        log.warning("The customer %s was not synchronised: %s", customer, error.code)


# For the next two `lock` is the customer: its looks follow one another. What fails is written on the
# events, and the job ends well; no job is retried, so no lock is left behind but a dead worker's.
@app.task(queue=BILLING_QUEUE)
def look_at_customer(*, customer: str, event: str = "") -> None:
    deliveries.look_at_customer(customer, now=clock.now(), event=event)


@app.task(queue=BILLING_QUEUE)
def look_at_event(*, event: str) -> None:
    deliveries.look_at_event(event, now=clock.now())


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
            for workspace in lifecycle.unsettled():
                settle_act.defer(workspace_id=workspace)
            customers, events = deliveries.due()
            for customer in customers:
                look_at_customer.configure(lock=customer).defer(customer=customer)
            for event in events:
                look_at_event.defer(event=event)


@app.periodic(cron="*/5 * * * *")
@app.task(queue=BILLING_QUEUE)
def catch_up(timestamp: int) -> None:
    """Every five minutes."""
    # Imported here, because receiving events defers the jobs above.
    from billing import catch_up as reading

    if gateway.is_configured():
        try:
            reading.catch_up(now=clock.now())
        except (gateway.StripeUnavailable, gateway.StripeRefused) as error:
            log.warning("Stripe's list of events could not be read: %s", error.code)


@app.periodic(cron="53 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def forget_old_events(timestamp: int) -> None:
    """Nightly: what was noted down in passing. What money went where is never forgotten."""
    before = datetime.now(UTC) - NOTES_KEPT
    deliveries.forget_old(before=before)
    mirror.forget_old(before=before)
    operations.forget_old(before=before)


@app.periodic(cron="58 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def forget_old_refusals(timestamp: int) -> None:
    """Nightly."""
    refusals.forget_old(clock.now())


@app.periodic(cron="17 4 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def make_figures(timestamp: int) -> None:
    """Nightly: a row of figures for each day that is over and has none."""
    daily.make_missing(now=clock.now(), offset=clock.offset())


@app.periodic(cron="43 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def check_billing(timestamp: int) -> None:
    """Nightly: what is off is logged as an error, one line each."""
    for finding in proofs.find():
        log.error("check_billing: %s: %s: %s", finding.proof, finding.id, finding.sentence)


@app.periodic(cron="23 2 * * *")
@app.task(queue=BILLING_QUEUE)
def reconcile(timestamp: int) -> None:
    """Nightly, before the proofs, which read its report. What is left for staff is logged as an error, a line each."""
    # Imported here, because what it mends with defers the jobs above.
    from billing import reconciliation

    if not gateway.is_configured():
        return
    try:
        outcome = reconciliation.reconcile(now=clock.now())
    except reconciliation.AlreadyUnderWay:
        log.warning("reconcile: another one is under way.")
        return
    for orphan in outcome.orphans:
        log.error("reconcile: the %s %s %s", orphan.kind, orphan.id, orphan.sentence)
    for failure in outcome.failures:
        log.error("reconcile: %s: %s", failure.subject, failure.sentence)
    log.log(
        logging.INFO if outcome.is_clean else logging.ERROR,
        "reconcile: %s workspaces, %s drifts, %s mended, %s orphans, %s failures.",
        outcome.workspaces,
        outcome.drifted,
        outcome.mended,
        len(outcome.orphans),
        len(outcome.failures),
    )


@app.task(queue=BILLING_QUEUE)
def reconcile_as_asked(*, asked: str, reason: str, actor_id: str) -> None:
    """By staff, who see what came of it; one that fails ends here, and can be asked for again."""
    # Imported here, because what it mends with defers the jobs above.
    from billing import reconciling

    reconciling.carry_out(asked, reason=reason, actor=User.objects.get(pk=actor_id), now=clock.now())


@app.task(queue=BILLING_QUEUE)
def settle_act(*, workspace_id: str) -> None:
    """One that fails ends here, and is rung again soon."""
    try:
        lifecycle.settle(_subscription(workspace_id), now=clock.now())
    except Problem as problem:
        log.warning("What was scheduled for workspace %s was not put back yet: %s", workspace_id, problem.code)


@app.task(queue=BILLING_QUEUE, retry=UNTIL_STRIPE_ANSWERS)
def end_after_lost_dispute(*, workspace_id: str) -> None:
    lifecycle.end_after_lost_dispute(_subscription(workspace_id), now=clock.now())


@app.task(queue=BILLING_QUEUE, retry=UNTIL_STRIPE_ANSWERS)
def carry_out_batch(*, batch_id: str) -> None:
    """An act of staff on many workspaces; what was done of it stays done when this one dies."""
    from billing import acts
    from billing.acts import batches

    batch = Batch.objects.select_related("actor").get(pk=batch_id)
    with turn(f"batch:{batch_id}"):
        batches.carry_out(batch, acts.WORKSPACE[batch.act], now=clock.now())


@app.task(queue=MAIL_QUEUE, retry=5)
def send_pay_link(*, workspace_id: str, invoice: str) -> None:
    """To the owner, unless it was paid or given up since somebody asked for the mail."""
    subscription, now = _subscription(workspace_id), clock.now()
    found = next((one for one in dunning.open_of(subscription) if one.id == invoice), None)
    if found is None or found.owner is None or not found.owner.is_active:
        return
    workspace = found.subscription.workspace
    keeps_until = found.grace_end
    send(
        found.owner,
        "pay_link",
        open=found,
        workspace="" if workspace.is_personal else harmless(workspace.name),
        keeps_until=keeps_until if keeps_until and keeps_until > now else None,
    )


def _subscription(workspace_id: str) -> Subscription:
    return Subscription.objects.with_plans().get(workspace_id=workspace_id)
