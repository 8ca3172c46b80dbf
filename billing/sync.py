"""The one writer of paid state: what Stripe holds of a customer now becomes the facts of our Subscription.

Invariant 5. Who rings, how often and in which order makes no difference. A sync takes a number,
fetches, and writes only while the number is still its own; no row is held across a call to Stripe.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from accounts.models import User
from accounts.turns import TurnNotCome, turn
from billing import gateway, mirror, quotas
from billing.entitlements import EDGE, entitlement
from billing.models import Price, Source, Subscription, SubscriptionChange, UsagePeriod
from billing.snapshots import CHARGED, KNOWN, Snapshot

log = logging.getLogger(__name__)

# A sync that was due and did not come through is due again after this.
DUE_AGAIN = timedelta(minutes=10)
# Who needs what they just did in our rows fetches again when another sync overtook; so often, and no more.
MOST_TRIES = 5


class Overtaken(Exception):
    """Others began a sync before this one could write, each time; theirs are the later fetches."""


def sync_customer(
    customer: str,
    *,
    now: datetime,
    cause: str = SubscriptionChange.STRIPE,
    actor: User | None = None,
    insist: bool = False,
) -> Snapshot | None:
    """Bring our rows to what Stripe holds; the snapshot, or None where the customer is no workspace's.

    When another sync begins meanwhile this one writes nothing: the other fetches later. With
    `insist` it then begins anew, after others who do, and raises Overtaken in the end. Raises what
    `gateway` raises, and then nothing was written.
    """
    snapshot = None
    for attempt in range(MOST_TRIES if insist else 1):
        with _alone(customer) if attempt else nullcontext():
            number = _take_number(customer)
            if number is None:
                log.warning("The Stripe customer %s belongs to no workspace.", customer)
                return None
            held = gateway.held_of(customer)
            snapshot, objects = snapshot_of(held), held.objects
            with gateway.errors("fill the mirror"):
                mirror.prepare(objects, api_key=settings.STRIPE_SECRET_KEY)
            if _write(customer, number, objects, snapshot, now=now, cause=cause, actor=actor):
                return snapshot
    if insist:
        raise Overtaken(customer)
    return snapshot


@contextmanager
def _alone(customer: str) -> Iterator[None]:
    """Two that begin anew as soon as they were overtaken would overtake each other until both give up."""
    try:
        with turn(f"sync:{customer}"):
            yield
    except TurnNotCome as error:
        raise Overtaken(customer) from error


def claim_due(*, now: datetime, most: int = 500) -> list[str]:
    """The customers of whom Stripe must be asked again, each handed out once a DUE_AGAIN. Call in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH due AS MATERIALIZED ( -- once: a subquery with SKIP LOCKED could be run for every row
                SELECT id FROM billing_subscription WHERE sync_due_at <= %(now)s AND stripe_customer_id IS NOT NULL
                ORDER BY sync_due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
            )
            UPDATE billing_subscription s SET sync_due_at = %(again)s FROM due WHERE s.id = due.id
            RETURNING stripe_customer_id, workspace_id, stripe_status, paid_end
            """,
            {"now": now, "again": now + DUE_AGAIN, "most": most},
        )
        rows = cursor.fetchall()
    for _, workspace, status, end in rows:
        # Invariant 9: for so long the plan went on by itself.
        if status in CHARGED and end is not None and end + EDGE <= now:
            log.error(
                "The paid period of workspace %s ended at %s, and Stripe has not been heard of since: it is on FREE.",
                workspace,
                end.isoformat(),
            )
    return [row[0] for row in rows]


def ring_by(subscription: Subscription, at: datetime) -> None:
    """See that Stripe is asked at `at`, if not before. One statement; holds also if this process dies now."""
    Subscription.objects.filter(pk=subscription.pk).exclude(sync_due_at__lte=at).update(sync_due_at=at)


def _take_number(customer: str) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_subscription SET sync_number = sync_number + 1 WHERE stripe_customer_id = %s"
            " RETURNING sync_number",
            [customer],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def snapshot_of(held: gateway.Held) -> Snapshot:
    """What was fetched, with those of our prices that it names; one statement."""
    ids = {item["price"]["id"] for one in held.subscriptions for item in one["items"]["data"]}
    for schedule in held.schedules:
        ids |= {str(item["price"]) for phase in schedule["phases"] for item in phase["items"]}
    prices = Price.objects.filter(stripe_price_id__in=ids).select_related("plan")
    return Snapshot(
        customer=held.customer,
        data=tuple(held.subscriptions),
        invoices=tuple(held.invoices),
        prices={str(price.stripe_price_id): price for price in prices},
        disputes=tuple(held.disputes),
        warnings=tuple(held.warnings),
        methods={one["id"]: one for one in held.methods},
    )


@transaction.atomic
def _write(
    customer: str,
    number: int,
    objects: Sequence[mirror.Found],
    snapshot: Snapshot,
    *,
    now: datetime,
    cause: str,
    actor: User | None,
) -> bool:
    """False when another sync has begun since, whose fetch is the later one."""
    locked = Subscription.objects.with_plans().select_for_update(of=("self",))
    subscription = locked.filter(stripe_customer_id=customer, sync_number=number).first()
    if subscription is None:
        return False
    _reflect(subscription, customer, objects)
    facts = snapshot.facts(subscription)
    if snapshot.is_deleted:
        facts["stripe_customer_id"] = None
    changed = {name: value for name, value in facts.items() if getattr(subscription, name) != value}
    if changed:
        subscription.change(cause=cause, now=now, actor=actor, **changed)
    Subscription.objects.filter(pk=subscription.pk).update(synced_at=now, sync_due_at=snapshot.due_at(now))
    _keep_buckets(subscription, now=now)
    _tell(subscription, snapshot, now)
    _leave_to_worker(subscription, snapshot, now)
    return True


def _leave_to_worker(subscription: Subscription, snapshot: Snapshot, now: datetime) -> None:
    """What Stripe's state asks of us, and takes calls of its own."""
    from billing import jobs  # which import this module

    if snapshot.bought_twice(now):
        jobs.mend_double_purchase.defer(workspace_id=str(subscription.workspace_id))
    if snapshot.is_lost:
        jobs.end_after_lost_dispute.defer(workspace_id=str(subscription.workspace_id))


def _reflect(subscription: Subscription, customer: str, objects: Sequence[mirror.Found]) -> None:
    """What nobody is entitled by must not stand in the way of what they are: one that fails is loud, no more."""
    try:
        with transaction.atomic():
            mirror.store(objects, api_key=settings.STRIPE_SECRET_KEY)
            mirror.attach(customer, subscription.workspace)
    except Exception:
        log.exception("The mirror could not take what Stripe holds of %s.", customer)


def _keep_buckets(subscription: Subscription, *, now: datetime) -> None:
    """The bucket of the paid period follows it: opened where the period moved, with its predecessor's use carried."""
    quotas.forget_counters(subscription)
    held = entitlement(subscription, now)
    if held.bucket_source != Source.PAID:
        return
    quota = quotas.quota_for(subscription, now=now)
    if quota.bucket is None:
        quotas.open_period(quota, now=now)
    else:
        # The end can move without the start: a trial at Stripe that staff extended.
        UsagePeriod.objects.filter(pk=quota.bucket.id).exclude(ends_at=held.period.end).update(ends_at=held.period.end)


def _tell(subscription: Subscription, snapshot: Snapshot, now: datetime) -> None:
    mendable = [held.id for held in snapshot.bought_twice(now)]
    for held in snapshot.charged[1:]:
        if held.id not in mendable:
            log.error(
                "Workspace %s has a second live subscription, %s, which is not ours to end: staff must look.",
                subscription.workspace_id,
                held.id,
            )
    for price in snapshot.unknown_prices():
        log.error(
            "Workspace %s pays by %s, which is no price of ours: its plan stays as it was.",
            subscription.workspace_id,
            price,
        )
    if subscription.stripe_status and subscription.stripe_status not in KNOWN:
        log.error(
            "Workspace %s has the status %s at Stripe, which was never seen before: it counts as not paid.",
            subscription.workspace_id,
            subscription.stripe_status,
        )
