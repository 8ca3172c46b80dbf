"""Both sides walked, ours and Stripe's: what differs is mended by a sync, what only staff can decide is listed.

Nothing is written here but audit lines and the report: paid state has one writer (invariant 5). Both
sides are read in pages, and of what was read only findings are kept.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import stripe
from django.db import connection
from django.db.models import Count, Q

from accounts.errors import Problem
from accounts.models import User
from billing import audit, gateway, leftovers, proofs, sync
from billing.drift import NOTHING, Difference, differences_of, mend, rows, statuses_of, words
from billing.findings import Drift, Failure, Orphan, Outcome
from billing.models import ReconciliationReport, StripeEvent, StripeOperation, Subscription
from billing.snapshots import CHARGED, ENDED

log = logging.getLogger(__name__)

PAGE: Final = 100
# Of a drift that is larger than this only the beginning is listed; all of it is counted and mended.
MOST_LISTED: Final = 200
# So many failures in a row are no customer's fault: the walk ends.
MOST_FAILURES: Final = 20
# Stripe has forgotten the key of an operation that is older, so that nobody sends it again.
FORGOTTEN_AFTER: Final = timedelta(days=1)

GIVE_BACK: Final = (
    "Refund it again, or pay it in another way and write that into the refund's metadata at Stripe, as `settled`."
)

type Progress = Callable[[str, int, int | None], None]


def silently(_what: str, _done: int, _total: int | None) -> None:
    """For who watches no bar."""


class AlreadyUnderWay(Exception):
    """Another reconciliation has not ended yet."""


class _Stopped(Exception):
    """One failure after the other."""


def reconcile(
    *,
    now: datetime,
    is_dry_run: bool = False,
    only: Collection[UUID] | None = None,
    actor: User | None = None,
    reason: str = "Stripe held something else",
    progress: Progress = silently,
) -> Outcome:
    """Of `only` these workspaces, Stripe's lists are not walked. A dry run writes nothing at all.

    What is mended is written into the audit trail, as the actor's and for the reason.

    Raises BillingNotConfigured and AlreadyUnderWay. What fails at Stripe is part of the outcome.
    """
    gateway.client()
    walk = _Walk(now, is_dry_run, only, actor, reason, progress)
    if is_dry_run:
        walk.go()
        return walk.outcome
    with _turn():
        report = ReconciliationReport.objects.create(started_at=datetime.now(UTC), is_whole=only is None)
        outcome = walk.go()
        report.finished_at = datetime.now(UTC)
        report.workspaces, report.drifted, report.mended = outcome.workspaces, outcome.drifted, outcome.mended
        report.orphans = [asdict(orphan) for orphan in outcome.orphans]
        report.failures = [asdict(failure) for failure in outcome.failures]
        report.save()
    return outcome


def is_under_way() -> bool:
    """Whether one that mends is, by whomever it was begun; a dry run takes no turn."""
    try:
        with _turn():
            return False
    except AlreadyUnderWay:
        return True


@contextmanager
def _turn() -> Iterator[None]:
    with connection.cursor() as cursor:
        # Asked for and not waited for: the other one may go on for hours. With its process it falls.
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended('billing:reconcile', 0))")
        row = cursor.fetchone()
    if not row or not row[0]:
        raise AlreadyUnderWay
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended('billing:reconcile', 0))")


class _Walk:
    def __init__(
        self,
        now: datetime,
        is_dry_run: bool,
        only: Collection[UUID] | None,
        actor: User | None,
        reason: str,
        progress: Progress,
    ) -> None:
        self.now, self.is_dry_run, self.only = now, is_dry_run, only
        self.actor, self.reason, self.progress = actor, reason, progress
        self.outcome = Outcome()
        # By subscription or operation.
        self._drifted: set[UUID] = set()
        self._failures_in_a_row = 0

    def go(self) -> Outcome:
        try:
            self._operations()
            self._workspaces()
            if self.only is None:
                self._list("customers", gateway.all_customers, self._customers)
                self._list("subscriptions", gateway.all_subscriptions, self._subscriptions)
                self._list("refunds", gateway.all_refunds, self._of_charges)
                self._list("disputes", gateway.all_disputes, self._of_charges)
                self._list("open Checkout Sessions", gateway.all_open_checkouts, self._checkouts)
        except _Stopped:
            self._fail("The walk", f"ended before its end, after {MOST_FAILURES} failures in a row.")
        self._charged_in_vain()
        self._owed()
        states = StripeEvent.objects.exclude(state=StripeEvent.State.DONE).values_list("state")
        self.outcome.events = dict(states.annotate(Count("pk")).order_by("state"))
        self.outcome.drifted = len(self._drifted)
        return self.outcome

    # Our side.

    def _operations(self) -> None:
        """What was asked of Stripe a day ago or before, and of which nobody knows what became."""
        left = StripeOperation.objects.filter(finished_at=None, created_at__lt=datetime.now(UTC) - FORGOTTEN_AFTER)
        if self.only is not None:
            left = left.filter(workspace_id__in=self.only)
        # What an act took away is put back once it is known that the act did not come through.
        left = left.annotate(is_restoring=Q(kind=StripeOperation.Kind.RESTORE)).order_by("is_restoring", "pk")
        for operation in left.iterator(chunk_size=PAGE):
            subscription = None
            if operation.workspace_id is not None:
                subscription = rows().get(workspace_id=operation.workspace_id)
            with self._failing(subscription or str(operation)):
                made = leftovers.what_became_of(operation, subscription)
                theirs = made or ("cut short" if operation.kind == StripeOperation.Kind.RESTORE else "not made")
                found = [Difference(f"{operation.kind} asked for", words(operation.created_at), theirs)]
                self._note(operation, subscription, found)
                if not self.is_dry_run:
                    leftovers.settle(operation, subscription, made, now=self.now)
                    self._mended(operation, subscription, found)

    def _workspaces(self) -> None:
        wanted = rows().filter(stripe_customer_id__isnull=False).order_by("pk")
        if self.only is not None:
            wanted = wanted.filter(workspace_id__in=self.only)
        total = wanted.count()
        page = list(wanted[:PAGE])
        while page:
            for subscription in page:
                self.outcome.workspaces += 1
                with self._failing(subscription):
                    if self.only is not None or subscription.stripe_status or _is_gone(subscription):
                        self._look_at(subscription)
                self.progress("workspaces", self.outcome.workspaces, total)
            page = list(wanted.filter(pk__gt=page[-1].pk)[:PAGE])

    def _look_at(self, subscription: Subscription) -> None:
        found = [] if subscription.pk in self._drifted else differences_of(subscription)
        if found:
            self._note(subscription, subscription, found)
            if not self.is_dry_run and mend(subscription, now=self.now):
                self._mended(subscription, subscription, found)

    def _charged_in_vain(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(proofs.CHARGED_IN_VAIN.sql)
            for id, sentence in cursor.fetchall():
                if self.only is None or id in self.only:
                    self._orphan("workspace", str(id), f"{sentence}. Cancel it at Stripe, or give it back its owner.")

    def _owed(self) -> None:
        """By the mirror, which has followed by now."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT owed.id, owed.sentence, c.subscriber_id FROM ({proofs.OWED.sql}) owed (id, sentence)
                JOIN djstripe_refund r ON r.id = owed.id JOIN djstripe_charge g ON g.id = r.charge_id
                JOIN djstripe_customer c ON c.id = g.customer_id
                """  # noqa: S608  (of our own text)
            )
            for id, sentence, workspace in cursor.fetchall():
                if self.only is None or workspace in self.only:
                    self._orphan("refund", id, f"{sentence}. {GIVE_BACK}")

    # Stripe's side.

    def _list(self, what: str, pages: Callable[[], Iterator[list[Any]]], look: Callable[[list[Any]], None]) -> None:
        done = 0
        with self._failing(f"Stripe's {what}"):
            for page in pages():
                look(page)
                done += len(page)
                self.progress(f"{what} at Stripe", done, None)

    def _customers(self, page: list[stripe.Customer]) -> None:
        named = {one.id: id for one in page if (id := _uuid(gateway.workspace_of(one)))}
        owners = {row.workspace_id: row for row in rows().filter(workspace_id__in=named.values())}
        for customer, workspace in named.items():
            row = owners.get(workspace)
            if row is not None and row.stripe_customer_id not in (None, customer):
                self._orphan(
                    "customer",
                    customer,
                    f"is a second one of {_label(row)}, whose customer is {row.stripe_customer_id}."
                    " Give back what it paid, then delete it at Stripe.",
                )

    def _subscriptions(self, page: list[stripe.Subscription]) -> None:
        payers = _rows_of(str(one.customer) for one in page)
        for one in page:
            if str(one.customer) not in payers and one.status not in ENDED:
                self._orphan(
                    "subscription",
                    one.id,
                    f"is {one.status} for {one.customer}, who is no workspace's."
                    " Find out who pays there; cancel it at Stripe if nobody uses it.",
                )
        self._look_at_news([(payers.get(str(one.customer)), one) for one in page])

    def _of_charges(self, page: list[stripe.Refund] | list[stripe.Dispute]) -> None:
        customers = [str(one.charge.customer) if isinstance(one.charge, stripe.Charge) else "" for one in page]
        payers = _rows_of(customers)
        self._look_at_news([(payers.get(customer), one) for customer, one in zip(customers, page, strict=True)])

    def _checkouts(self, page: list[stripe.checkout.Session]) -> None:
        ours = [one for one in page if one.mode == "subscription"]
        payers = _rows_of(str(one.customer) for one in ours)
        for session in ours:
            row = payers.get(str(session.customer))
            if row is None:
                reason = f"is open for {session.customer}, who is no workspace's"
            elif row.workspace.closed_at is not None:
                reason = f"is open for {_label(row)}, which was closed"
            elif row.stripe_status in CHARGED:
                reason = f"is open for {_label(row)}, who pays already"
            else:
                continue
            self._orphan("Checkout Session", session.id, f"{reason}. Expire it at Stripe before somebody pays.")

    def _look_at_news(self, found: list[tuple[Subscription | None, Any]]) -> None:
        """Who has something at Stripe that the mirror has not, or otherwise."""
        known = statuses_of((one.object, one.id) for row, one in found if row is not None)
        for row in {row.pk: row for row, one in found if row and known.get(one.id) != one.status}.values():
            with self._failing(row):
                self._look_at(row)

    # What is found.

    def _note(
        self, thing: Subscription | StripeOperation, subscription: Subscription | None, found: list[Difference]
    ) -> None:
        self._drifted.add(thing.pk)
        self.outcome.differences += len(found)
        label = _label(subscription) if subscription else NOTHING
        free = max(0, MOST_LISTED - len(self.outcome.drifts))
        id = str(subscription.workspace_id) if subscription else ""
        self.outcome.drifts += [Drift(one.what, one.ours, one.theirs, label, id) for one in found[:free]]

    def _mended(
        self, thing: Subscription | StripeOperation, subscription: Subscription | None, found: list[Difference]
    ) -> None:
        self.outcome.mended += 1
        audit.record(
            "reconcile",
            target=thing,
            workspace=subscription.workspace if subscription else None,
            reason=self.reason,
            actor=self.actor,
            now=self.now,
            before={one.what: one.ours for one in found},
            after={one.what: one.theirs for one in found},
        )

    def _orphan(self, kind: str, id: str, sentence: str) -> None:
        self.outcome.orphans.append(Orphan(kind, id, sentence))

    def _fail(self, subject: str, sentence: str) -> None:
        self.outcome.failures.append(Failure(subject, sentence))

    @contextmanager
    def _failing(self, subject: Subscription | str) -> Iterator[None]:
        """One that fails is no reason not to look at the next."""
        try:
            yield
        except _Stopped:
            raise
        except Exception as error:
            label = subject if isinstance(subject, str) else _label(subject)
            if isinstance(error, Problem):
                self._fail(label, f"{error.code}: {getattr(error, 'message', '') or error.detail}")
            elif isinstance(error, sync.Overtaken):
                self._fail(label, "is being synchronised by others again and again.")
            else:
                log.exception("%s could not be reconciled.", label)
                self._fail(label, f"{type(error).__name__}: see the log.")
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= MOST_FAILURES:
                raise _Stopped from error
        else:
            self._failures_in_a_row = 0


def _rows_of(customers: Iterable[str]) -> dict[str, Subscription]:
    found = rows().filter(stripe_customer_id__in=set(customers))
    return {str(row.stripe_customer_id): row for row in found}


def _is_gone(subscription: Subscription) -> bool:
    """One call in place of five, for who never subscribed: if they have since, Stripe's own lists say so."""
    return bool(getattr(gateway.customer(str(subscription.stripe_customer_id)), "deleted", False))


def _label(subscription: Subscription) -> str:
    """As staff know it: the owner's address."""
    owner = subscription.workspace.members.filter(membership__role="owner").first()
    return owner.email if owner and subscription.workspace.is_personal else str(subscription.workspace_id)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
