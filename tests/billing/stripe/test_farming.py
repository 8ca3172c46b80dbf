"""Invariant 7, searched: whatever a customer does to a subscription, they run no more than was paid for or given."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import clock
from billing import proofs, publishing
from billing.models import LedgerEntry, Plan, Price, UsagePeriod
from sessions_app.proofs import RUN_PROOFS
from tests.billing.meter import consume_all
from tests.billing.meter import plan as edited
from tests.billing.stripe.payer import GOOD, Payer
from tests.fake_stripe.running import StandIn
from tests.people import Person

LIMITS = {Plan.FREE: 2, Plan.TRIAL: 3, Plan.BASIC: 5, Plan.PRO: 9, Plan.ENTERPRISE: None}
# Of a period whose invoice is not paid; never under FREE's.
UNPAID = 2
GRACE = timedelta(days=7)
RANKS = {Plan.FREE: 0, Plan.TRIAL: 1, Plan.BASIC: 2, Plan.PRO: 3}
ENDED = ("canceled", "incomplete_expired")
FOREIGN_PROOFS = {proof.name for proof in RUN_PROOFS}

plans = st.sampled_from([Plan.BASIC, Plan.PRO])
intervals = st.sampled_from(["month", "year"])


@dataclass(frozen=True)
class Span:
    """A month, or a month of a year, of which Stripe has an invoice; and the runs that it gives."""

    start: datetime
    end: datetime
    runs: int


def months_later(start: datetime, count: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def spans_of(subscription: stripe.Subscription, invoices: list[stripe.Invoice], runs: dict[str, int]) -> Iterator[Span]:
    """From the lines for whole periods, each until the next one begins or the subscription ends.

    A span that is cut short keeps its end: what follows before that end is no new one.
    """
    billed = []
    for invoice in invoices:
        parent = invoice.parent
        details = parent.subscription_details if parent else None
        if details is None or details.subscription != subscription.id:
            continue
        is_offer = invoice.billing_reason == "subscription_update" and invoice.status != "paid"
        is_first = invoice.billing_reason == "subscription_create" and invoice.status != "paid"
        for line in invoice.lines.data:
            parent_of_line = line.parent
            item = parent_of_line.subscription_item_details if parent_of_line else None
            if item is None or item.proration or is_offer or is_first:
                continue
            assert line.pricing is not None
            assert line.pricing.price_details is not None
            allowed = runs[str(line.pricing.price_details.price)]
            billed.append((at(line.period.start), at(line.period.end), allowed if invoice.status == "paid" else UNPAID))
    billed.sort()
    for number, (start, end, allowed) in enumerate(billed):
        stops = min([at(subscription.ended_at)] if subscription.ended_at else [], default=end)
        if number + 1 < len(billed):
            stops = min(stops, billed[number + 1][0])
        if end - start < timedelta(days=40):
            yield Span(start, end, allowed)
            continue
        count = 0
        # The first also where all of it was within one second of Stripe's.
        while (month := months_later(start, count)) < min(end, stops) or count == 0:
            yield Span(month, min(months_later(start, count + 1), end), allowed)
            count += 1


def chains(spans: list[Span]) -> list[Span]:
    """Spans of which each begins before the end of the one before, as one that gives what the largest gives."""
    joined: list[Span] = []
    last_end = datetime.min.replace(tzinfo=UTC)
    for span in sorted(spans, key=lambda one: one.start):
        if joined and span.start < last_end:
            before = joined[-1]
            joined[-1] = Span(before.start, max(before.end, span.end), max(before.runs, span.runs))
        else:
            joined.append(span)
        last_end = span.end
    return joined


class Farm(RuleBasedStateMachine):
    """bob, who wants more than he pays for; and beside him what Stripe was paid."""

    bob: Person
    stand_in: StandIn
    client: stripe.StripeClient

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint_create()
        self.stand_in.control("POST", "reset")
        self.payer = Payer(self.bob, self.stand_in, self.client)
        self.is_fresh = True

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.savepoint)
        assert self.stand_in.violations() == []

    @initialize(is_greedy=st.booleans(), is_tried=st.booleans(), plan=plans, interval=intervals)
    def a_shop_with_small_plans(self, is_greedy: bool, is_tried: bool, plan: str, interval: str) -> None:
        for slug, limit in LIMITS.items():
            edited(slug, runs_limit=limit, grace_days=GRACE.days)
        publishing.reflect(publishing.publish())
        self.granted = {
            str(price.stripe_price_id): LIMITS[price.plan.slug] or 0
            for price in Price.objects.exclude(stripe_price_id=None).select_related("plan")
        }
        self.slugs = {
            str(price.stripe_price_id): price.plan.slug
            for price in Price.objects.exclude(stripe_price_id=None).select_related("plan")
        }
        self.is_greedy = is_greedy
        if is_tried:
            self.acts("activate-trial")
        self.wants(plan, interval)

    # What the customer does.

    @rule(plan=plans, interval=intervals)
    def wants(self, plan: str, interval: str) -> None:
        """By a change of what they have, or by buying."""
        body = {"plan": plan, "interval": interval}
        if self.live:
            self.acts("change-plan", body)
            return
        answer = self.acts("create-checkout-session", body)
        if answer.status_code == 200:
            self.payer.pay(answer.json()["checkout_session_id"], GOOD)
            self.takes()

    @rule(path=st.sampled_from(["cancel", "resume", "activate-trial"]))
    def does(self, path: str) -> None:
        self.acts(path)

    @rule(at_most=st.integers(1, 4))
    def runs(self, at_most: int) -> None:
        consume_all(self.bob.workspace, clock.now(), at_most=at_most)

    def takes(self) -> None:
        """Whatever there is, wherever it came from."""
        if self.is_greedy:
            consume_all(self.bob.workspace, clock.now())

    @precondition(lambda self: self.live)
    @rule(is_good=st.booleans())
    def takes_another_card(self, is_good: bool) -> None:
        self.payer.card("pm_card_visa" if is_good else "pm_card_chargeCustomerFail")

    @precondition(lambda self: self.live)
    @rule()
    def pays_what_is_open(self) -> None:
        for invoice in self.payer.invoices:
            if invoice.status == "open":
                self.stand_in.control("POST", f"invoices/{invoice.id}/pay", card=GOOD)
        self.rings()

    # What happens at Stripe, by the portal or by staff.

    @precondition(lambda self: self.live)
    @rule(is_refunded=st.booleans())
    def ends_at_once(self, is_refunded: bool) -> None:
        for one in self.live:
            self.client.v1.subscriptions.cancel(one.id)
        if is_refunded:
            self.is_refunded()
        self.rings()

    @precondition(lambda self: self.live)
    @rule()
    def is_refunded(self) -> None:
        for invoice in self.payer.invoices:
            if invoice.status == "paid" and invoice.amount_paid:
                self.refund(invoice)
                break
        self.rings()

    @precondition(lambda self: self.live)
    @rule(days=st.integers(1, 40))
    def is_to_end(self, days: int) -> None:
        for one in self.live:
            if one.schedule is None:
                at = int((clock.now() + timedelta(days=days)).timestamp())
                self.client.v1.subscriptions.update(one.id, {"cancel_at": at})
        self.rings()

    @precondition(lambda self: self.live)
    @rule(is_paused=st.booleans())
    def collection_is_paused(self, is_paused: bool) -> None:
        for one in self.live:
            self.client.v1.subscriptions.update(one.id, {"pause_collection": {"behavior": "void"} if is_paused else ""})
        self.rings()

    @rule(hours=st.sampled_from([1, 30, 80, 8 * 24, 20 * 24, 33 * 24, 75 * 24]), is_rung=st.booleans())
    def time_passes(self, hours: int, is_rung: bool) -> None:
        self.passes(timedelta(hours=hours), is_rung=is_rung)

    @precondition(lambda self: self.live)
    # A little before, and well past: while an example runs, time goes on.
    @rule(seconds=st.sampled_from([-600, 0, 600, 3600, 7200]), is_rung=st.booleans())
    def the_period_ends(self, seconds: int, is_rung: bool) -> None:
        end = at(self.live[0]["items"].data[0].current_period_end) + timedelta(seconds=seconds)
        if end > clock.now():
            self.passes(end - clock.now(), is_rung=is_rung)

    @rule()
    def rings(self) -> None:
        if self.bob.subscription.stripe_customer_id is None:
            return
        before = dict(UsagePeriod.objects.values_list("id", "used"))
        self.payer.sync()
        after = dict(UsagePeriod.objects.values_list("id", "used"))
        # What was used stays used; at most one more bucket opens, with its predecessor's.
        assert {id: after[id] for id in before} == before
        self.is_fresh = True
        self.takes()

    # What must hold.

    @invariant()
    def the_books_are_right(self) -> None:
        with connection.cursor() as cursor:
            for proof in proofs.PROOFS:
                if proof.name not in FOREIGN_PROOFS:
                    cursor.execute(proof.sql)
                    assert cursor.fetchall() == [], proof.name

    @invariant()
    def no_more_was_run_than_was_paid_for_or_given(self) -> None:
        lines = LedgerEntry.objects.filter(kind="consume").values_list("created_at", "period__source")
        of: dict[str, list[datetime]] = {"free": [], "trial": [], "paid": []}
        for created_at, source in lines:
            of[source].append(created_at)
        assert len(of["trial"]) <= LIMITS[Plan.TRIAL]  # type: ignore[operator]
        for month in {(moment.year, moment.month) for moment in of["free"]}:
            ran = [moment for moment in of["free"] if (moment.year, moment.month) == month]
            assert len(ran) <= LIMITS[Plan.FREE], month  # type: ignore[operator]
        paid_for = chains(self.spans()) if of["paid"] else []
        for chain in paid_for:
            ran = [moment for moment in of["paid"] if chain.start <= moment < chain.end]
            assert len(ran) <= chain.runs, (chain, ran)
        outside = [moment for moment in of["paid"] if not any(one.start <= moment < one.end for one in paid_for)]
        assert not outside

    @invariant()
    def the_plan_is_what_stripe_holds_and_never_more(self) -> None:
        seen = self.payer.sees()
        if seen["source"] == "free":
            assert seen["plan"] == Plan.FREE
        if seen["source"] == "trial":
            assert seen["plan"] == Plan.TRIAL
        owned = max((self.held(one) for one in self.live), key=RANKS.__getitem__, default=Plan.FREE)
        if seen["source"] == "paid" and self.is_fresh:
            assert RANKS[seen["plan"]] <= RANKS[owned]
        if self.is_fresh and RANKS[owned] > RANKS[Plan.TRIAL]:
            assert (seen["plan"], seen["source"]) == (owned, "paid")

    @invariant()
    def the_row_is_what_stripe_holds(self) -> None:
        row = self.bob.subscription
        if not self.is_fresh or row.stripe_customer_id is None:
            return
        of_customer = self.payer.at_stripe
        assert len(self.live) <= 1
        if not of_customer:
            assert row.stripe_status == ""
            return
        one = self.live[0] if self.live else max(of_customer, key=lambda found: found.created)
        item = one["items"].data[0]
        if self.live:
            assert row.stripe_subscription_id == one.id
        assert row.stripe_status == one.status
        if self.live:
            assert row.paid_plan is not None
            assert row.paid_plan.slug == self.slugs[item.price.id]
            assert row.paid_interval == item.price.recurring.interval
            assert (row.paid_start, row.paid_end) == (at(item.current_period_start), at(item.current_period_end))
            assert row.is_collection_paused == (one.pause_collection is not None)
            assert row.cancel_at == (at(one.cancel_at) if one.cancel_at else None)

    # How.

    def acts(self, path: str, body: Any = None) -> Any:
        self.bob.sign_in()
        answer = self.payer.post(path, body)
        assert answer.status_code in (200, 402, 409), answer.content
        if answer.status_code == 200 and path != "activate-trial":
            self.is_fresh = True
        self.takes()
        return answer

    def passes(self, span: timedelta, *, is_rung: bool) -> None:
        self.stand_in.advance(seconds=int(span.total_seconds()) + 1)
        self.is_fresh = False
        if is_rung:
            self.rings()
        self.takes()

    def refund(self, invoice: stripe.Invoice) -> None:
        assert invoice.id is not None
        for payment in self.client.v1.invoice_payments.list({"invoice": invoice.id, "status": "paid"}).data:
            intent = payment.payment.payment_intent
            if isinstance(intent, str) and not self.client.v1.refunds.list({"payment_intent": intent}).data:
                self.client.v1.refunds.create({"payment_intent": intent})

    @property
    def live(self) -> list[stripe.Subscription]:
        if self.bob.subscription.stripe_customer_id is None:
            return []
        return [one for one in self.payer.at_stripe if one.status not in ENDED]

    def held(self, one: stripe.Subscription) -> str:
        """What Stripe entitles to."""
        now = clock.now()
        is_over = one.cancel_at is not None and at(one.cancel_at) <= now
        slug = self.slugs[one["items"].data[0].price.id]
        if is_over:
            return Plan.FREE
        if one.status == "trialing" or (one.status == "active" and one.pause_collection is None):
            return slug
        if one.status == "past_due":
            unpaid = [invoice for invoice in self.payer.invoices if invoice.status == "open"]
            since = min((at(invoice.created) for invoice in unpaid), default=None)
            start = at(one["items"].data[0].current_period_start)
            return slug if now < (since or start) + GRACE else Plan.FREE
        return Plan.FREE

    def spans(self) -> list[Span]:
        invoices = self.payer.invoices
        return [span for one in self.payer.at_stripe for span in spans_of(one, invoices, self.granted)]


def test_no_act_on_a_subscription_farms_runs(
    bob: Person, stripe_stand_in: StandIn, stripe_client: stripe.StripeClient
) -> None:
    farmer = bob

    class BobsFarm(Farm):
        bob = farmer
        stand_in = stripe_stand_in
        client = stripe_client

    run_state_machine_as_test(
        BobsFarm,
        settings=settings(max_examples=8, stateful_step_count=12, suppress_health_check=list(HealthCheck)),
    )
