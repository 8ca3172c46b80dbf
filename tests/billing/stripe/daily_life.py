"""What two customers, Stripe, its post and our worker may do of a day, each act by its name; for the machine."""

import contextlib
import math
import random
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest
import stripe
from django.db import connection, transaction
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts import clock
from billing import catch_up, jobs, publishing, quotas, reconciliation
from billing.models import Plan, Price
from billing.quotas import Making, QuotaExceeded
from tests.billing.meter import line
from tests.billing.meter import plan as edited
from tests.billing.stripe import mailbag
from tests.billing.stripe.expected import Object, at, is_live, listed
from tests.billing.stripe.mailbag import Event, Mailbag
from tests.billing.stripe.payer import GOOD, LATER_DECLINED, Payer
from tests.billing.stripe.tally import CLOCK, CUSTOMERS, POST, STRIPE, WORKER, Tally
from tests.fake_stripe.running import Refused, StandIn
from tests.people import Person

# Small, so that they are reached.
LIMITS: Final = {Plan.FREE: 10, Plan.TRIAL: 12, Plan.BASIC: 25, Plan.PRO: 50, Plan.ENTERPRISE: None}
GRACE_RUNS: Final = 12
#: Before months of every length, and always the same days, so that what is found today is found again tomorrow.
BEGINNINGS: Final = [
    datetime(2035, 1, 30, 12, tzinfo=UTC),
    datetime(2036, 1, 31, 9, tzinfo=UTC),
    datetime(2035, 10, 31, 23, 30, tzinfo=UTC),
]
# Stripe keeps its events for thirty days.
READABLE: Final = timedelta(days=29)
LONGEST_HOP: Final = timedelta(days=20)
# Longer than any act takes, however busy the machine.
BETWEEN_ACTS: Final = timedelta(minutes=1)
# More than any chain of what follows from what.
MOST_ROUNDS: Final = 12

# LATER_DECLINED is declined at Checkout too, at its first charge; without a card they leave the page.
DISPUTED_LATER: Final = "4000000000000259"
BOUGHT: Final[list[tuple[str, str, str | None]]] = [
    (Plan.PRO, "month", GOOD),
    (Plan.BASIC, "month", GOOD),
    (Plan.PRO, "month", GOOD),
    (Plan.BASIC, "year", GOOD),
    (Plan.PRO, "year", GOOD),
    (Plan.PRO, "month", DISPUTED_LATER),
    (Plan.PRO, "month", LATER_DECLINED),
    (Plan.BASIC, "month", None),
]
RUN, GIVE_BACK, BUY, RENEWAL, RENAME = "run", "give back", "buy", "renewal", "rename a price"
ASKED: Final = {"ask to cancel": "cancel", "ask to resume": "resume", "ask for a trial": "activate-trial"}
CARDS: Final = {
    "good card": "pm_card_visa",
    "bad card": "pm_card_chargeCustomerFail",
    "card that asks": "pm_card_authenticationRequired",
}
# The portal moves the anchor, staff do not.
CHANGES: Final = ["change plan", "change plan by staff", "cancel", "keep", "end", "pause", "unpause"]
BANK: Final = ["needs_response", "won", "lost", "fraud_warning"]
MONEY: Final[dict[str, dict[str, int]]] = {"refund": {}, "refund in part": {"amount": 100}}
REFUND_FAILS: Final = "refund fails"
INVOICES: Final = ["pay", "void", "mark_uncollectible"]
HOURS: Final = {"an hour": 1, "a day": 26, "three days": 80, "a week": 8 * 24, "a month": 30 * 24}

#: What may happen at Stripe, and rings.
AT_STRIPE: Final = [*CARDS, *CHANGES, *BANK, *MONEY, REFUND_FAILS, *INVOICES, RENEWAL]
#: All that may happen of a day; more often what is done more often.
EVERYTHING: Final = [*[RUN] * 12, *[GIVE_BACK] * 4, *[BUY] * 3, *ASKED, *AT_STRIPE, RENAME, *HOURS]

#: What may become of deliveries.
ARRIVE, TWICE, AGAIN, WAIT, LATE, LOST = "arrive", "come twice", "come again", "wait", "arrive late", "are lost"
FATES: Final = [ARRIVE, TWICE, AGAIN, WAIT, LATE, LOST]
#: What may be done about them.
NOTHING, JOBS, SWEEP, LIST = "nothing", "jobs", "sweep", "list"


class DailyLife:
    """What had an effect is counted. `held` and `dropped` are deliveries that were taken out of the bag."""

    def __init__(
        self,
        people: tuple[Person, ...],
        stand_in: StandIn,
        client: stripe.StripeClient,
        tally: Tally,
        *,
        begin: datetime,
        dunning_end: str,
    ) -> None:
        self.stand_in, self.client, self.tally = stand_in, client, tally
        stand_in.control("POST", "reset")
        self.present = begin
        self.time_goes_on(timedelta(0))
        stand_in.control("POST", "dunning", end=dunning_end)
        for slug, limit in LIMITS.items():
            edited(slug, runs_limit=limit, grace_runs=GRACE_RUNS)
        publishing.reflect(publishing.publish())
        self.prices = {
            (price.plan.slug, price.interval): str(price.stripe_price_id)
            for price in Price.objects.exclude(stripe_price_id=None).select_related("plan")
        }
        self.sold = {id: sold for sold, id in self.prices.items()}
        self.bag = Mailbag(client)
        catch_up.catch_up(now=clock.now())
        self.payers = [Payer(person, stand_in, client) for person in people]
        for payer in self.payers:
            payer.person.sign_in()
            jobs.create_customer(workspace_id=str(payer.person.workspace.pk))
        self.customers = [payer.customer for payer in self.payers]
        ProcrastinateJob.objects.all().delete()
        self.runs: list[uuid.UUID] = []
        # By bucket, what was run and given back since somebody looked.
        self.moved: Counter[uuid.UUID] = Counter()
        self.held: list[Event] = []
        self.dropped: list[Event] = []

    def happens(self, what: str, who: int, which: int) -> None:
        """`which` of their payments, of what can be bought; or how many. What Stripe refuses changes nothing."""
        self.time_goes_on(BETWEEN_ACTS)
        if what == RUN:
            self.runs_agents(who, at_most=which + 1)
        elif what == GIVE_BACK:
            self.gives_back(which)
        elif what == BUY:
            self.buys(who, *BOUGHT[which])
        elif what in ASKED:
            self.asks(who, ASKED[what])
        elif what in HOURS:
            self.passes(timedelta(hours=HOURS[what]), what)
        elif what == RENEWAL:
            self.passes_the_end(who, hours=which)
        elif what == RENAME:
            name: Any = {"nickname": f"Renamed to {which}"}
            self.does(STRIPE, what, partial(self.client.v1.prices.update, self.prices[Plan.PRO, "month"], name))
        elif what in CARDS:
            self.does(STRIPE, what, partial(self.takes_card, who, CARDS[what]))
        elif what in INVOICES:
            for invoice in listed(self.client, "invoices", customer=self.customers[who], status="open"):
                self.does(STRIPE, f"{what} an invoice", partial(self.end_invoice, invoice["id"], what))
        elif what in CHANGES:
            for one in self.live(who):
                self.does(STRIPE, what, partial(self.change, one, what))
        elif charge := self.charge(who, which):
            self.does(STRIPE, what, partial(self.of_charge, charge, what))

    def befalls(self, fate: str, picks: list[int]) -> None:
        """Of the picks 99 is the newest; what comes twice comes the second time in reverse."""
        if fate == LATE:
            self.arrive(shuffled(self.take_held(), picks[0]))
        elif fate == AGAIN:
            if known := self.bag.delivered:
                self.arrive([known[pick % len(known)] for pick in picks])
        else:
            some = self.bag.take([-1 if pick == 99 else pick for pick in picks])
            if fate == WAIT:
                self.held += some
                self.tally.add(POST, "held", len(some))
            elif fate == LOST:
                self.lose(some)
            else:
                self.arrive([*some, *reversed(some)] if fate == TWICE else some)

    def is_done_about_them(self, what: str, picks: list[int], failures: int) -> None:
        if what == JOBS:
            self.work(picks, failures)
        elif what == SWEEP:
            jobs.ring_what_is_due(timestamp=0)
        elif what == LIST:
            self.read_the_list()

    # The customers.

    def asks(self, who: int, path: str, body: Any = None) -> Any:
        answer = self.payers[who].post(path, body)
        assert answer.status_code in (200, 402, 409), answer.content
        if answer.status_code == 200:
            self.tally.add(CUSTOMERS, path)
        return answer

    def buys(self, who: int, plan: str, interval: str, card: str | None) -> None:
        """By a change of what they have, or by paying at Checkout, from where they do not come back."""
        body = {"plan": plan, "interval": interval}
        if self.live(who):
            self.asks(who, "change-plan", body)
            return
        answer = self.asks(who, "create-checkout-session", body)
        if answer.status_code == 200 and card:
            session = answer.json()["checkout_session_id"]
            self.does(CUSTOMERS, "pay at Checkout", partial(self.stand_in.pay, session, card))

    def runs_agents(self, who: int, at_most: int) -> None:
        subscription, now = self.payers[who].row, clock.now()
        before = quotas.quota_for(subscription, now=now)
        assert before.left is not None
        assert before.remaining is not None
        count = min(at_most, before.remaining)
        for run in [uuid.uuid4() for _ in range(count)]:
            quotas.consume(subscription, Making.of(run), now=now)
            self.runs.append(run)
        if count < at_most:
            with pytest.raises(QuotaExceeded), transaction.atomic():
                quotas.consume(subscription, Making.of(uuid.uuid4()), now=now)
        after = quotas.quota_for(subscription, now=now)
        assert after.remaining == before.remaining - count
        if after.bucket:
            self.moved[after.bucket.id] += min(count, before.left)
        self.tally.add(CUSTOMERS, "run", count)

    def gives_back(self, most: int) -> None:
        """As of runs that failed, the oldest first."""
        for run in self.runs[:most]:
            bucket, now = line(run).period, clock.now()
            assert quotas.refund(run_id=run, now=now)
            if bucket is not None and bucket.ends_at > now:
                self.moved[bucket.id] -= 1
            self.tally.add(CUSTOMERS, "run given back")
        del self.runs[:most]

    # Stripe.

    def does(self, who: str, what: str, act: Callable[[], Any]) -> None:
        with contextlib.suppress(Refused, stripe.InvalidRequestError, stripe.CardError):
            act()
            self.tally.add(who, what)

    def takes_card(self, who: int, name: str) -> None:
        """Paid with from now on, as the portal has it."""
        method = self.client.v1.payment_methods.attach(name, {"customer": self.customers[who]}).id
        self.client.v1.customers.update(self.customers[who], {"invoice_settings": {"default_payment_method": method}})
        for one in self.live(who):
            self.client.v1.subscriptions.update(one["id"], {"default_payment_method": method})

    def change(self, one: Object, what: str) -> None:
        item = one["items"]["data"][0]
        plan, interval = self.sold[item["price"]["id"]]
        price = self.prices[Plan.BASIC if plan == Plan.PRO else Plan.PRO, interval]
        to: dict[str, Any] = {
            "items": [{"id": item["id"], "price": price}],
            "proration_behavior": "always_invoice",
        }
        changes: dict[str, Any] = {
            "change plan": to | {"billing_cycle_anchor": "now"},
            "change plan by staff": to,
            "cancel": {"cancel_at_period_end": True},
            "keep": {"cancel_at_period_end": False},
            "pause": {"pause_collection": {"behavior": "void"}},
            "unpause": {"pause_collection": ""},
        }
        if what == "end":
            self.client.v1.subscriptions.cancel(one["id"])
        else:
            self.client.v1.subscriptions.update(one["id"], changes[what])

    def end_invoice(self, id: str, what: str) -> None:
        if what == "pay":
            self.stand_in.control("POST", f"invoices/{id}/pay", card=GOOD)
        elif what == "void":
            self.client.v1.invoices.void_invoice(id)
        else:
            self.client.v1.invoices.mark_uncollectible(id)

    def of_charge(self, charge: str, what: str) -> None:
        if what in BANK:
            self.stand_in.control("POST", "disputes", charge=charge, outcome=what)
        elif what == REFUND_FAILS:
            refunds = listed(self.client, "refunds", charge=charge)
            id = refunds[0]["id"] if refunds else "none"
            self.stand_in.control("POST", f"refunds/{id}/fail")
            # Staff give it back by another way, and so it is owed no more.
            self.client.v1.refunds.update(id, {"metadata": {"settled": "In cash"}})
        else:
            refund: Any = {"charge": charge} | MONEY[what]
            self.client.v1.refunds.create(refund)

    def passes_the_end(self, who: int, hours: int) -> None:
        """By so many hours; of a year only its beginning is here."""
        for one in self.live(who):
            end = at(one["items"]["data"][0]["current_period_end"])
            if end - self.present < timedelta(days=40):
                self.passes(end - self.present + timedelta(hours=hours), "to the end of a period")

    def passes(self, span: timedelta, what: str) -> None:
        """In hops, so that no event is forgotten at Stripe before it was seen."""
        while span > timedelta(0):
            hop = min(span, LONGEST_HOP)
            self.time_goes_on(hop)
            # Something is new in every hop, of which nobody here is told.
            self.client.v1.coupons.create({"percent_off": 1, "duration": "once"})
            self.bag.collect()
            span -= hop
        self.tally.add(CLOCK, what)

    def time_goes_on(self, span: timedelta) -> None:
        """To an instant that follows from the acts alone: what an upgrade costs must not hang on how long they took."""
        self.present += span
        ahead = self.present - clock.now()
        if ahead > timedelta(0):
            self.stand_in.advance(seconds=math.ceil(ahead.total_seconds()))

    def live(self, who: int) -> list[Object]:
        found = listed(self.client, "subscriptions", customer=self.customers[who], status="all")
        return [one for one in found if is_live(one)]

    def charge(self, who: int, which: int) -> str | None:
        """The newest first."""
        found = listed(self.client, "charges", customer=self.customers[who])
        paid = [charge["id"] for charge in found if charge["paid"]]
        return paid[which % len(paid)] if paid else None

    # The post, and our side.

    def take_held(self) -> list[Event]:
        held, self.held = self.held, []
        return held

    def arrive(self, events: list[Event]) -> None:
        known = len(self.bag.accepted)
        self.bag.deliver(events)
        fresh = len(self.bag.accepted) - known
        self.tally.add(POST, "delivered", fresh)
        self.tally.add(POST, "delivered again, or of no interest", len(events) - fresh)

    def lose(self, events: list[Event]) -> None:
        self.dropped += events
        self.tally.add(POST, "lost", len(events))

    def work(self, picks: list[int] | None, failures: int) -> None:
        """While so many of Stripe's next answers fail."""
        if failures:
            self.stand_in.control("POST", "faults", path=".", status=500, times=failures)
        self.tally.add(WORKER, "jobs while Stripe fails" if failures else "jobs", mailbag.work(picks))
        if failures:
            self.stand_in.control("DELETE", "faults")

    def work_off(self) -> None:
        """With what follows from it: a lost dispute ends a subscription, of which Stripe tells again."""
        for _ in range(MOST_ROUNDS):
            self.arrive(self.bag.take_all())
            self.work(None, 0)
            mailbag.ring_what_paused()
            if not self.bag.collect() and not mailbag.are_jobs_left():
                return
        raise AssertionError("It goes on and on.")

    def read_the_list(self) -> None:
        catch_up.catch_up(now=clock.now())
        known = len(self.bag.accepted)
        self.bag.note_what_was_caught_up()
        self.tally.add(POST, "read from the list", len(self.bag.accepted) - known)

    def walk_both_sides(self) -> None:
        outcome = reconciliation.reconcile(now=clock.now())
        assert outcome.is_clean, (outcome.orphans, outcome.failures, outcome.drifts)
        self.tally.add(WORKER, "reconciliations that mended" if outcome.mended else "reconciliations")

    def make_all_known(self, seed: int, *, is_walked: bool) -> None:
        """Everything arrives that was not lost; what was is read from Stripe's list, or by walking both sides."""
        self.arrive(shuffled([*self.bag.take_all(), *self.take_held()], seed))
        if self.dropped:
            oldest = at(min(event["created"] for event in self.dropped))
            self.dropped = []
            if is_walked or clock.now() - oldest > READABLE:
                self.work_off()
                self.walk_both_sides()
            else:
                self.read_the_list()
        self.work_off()

    def happens_between(self, what: str, who: int, *, is_looked_at: bool) -> None:
        """A look has fetched and not yet written; meanwhile it happens and is delivered, and looked at too or left."""
        self.client.v1.customers.update(self.customers[who], {"description": f"Looked at {clock.now()}"})
        self.arrive(self.bag.take_all())
        is_done = False

        def meanwhile(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            nonlocal is_done
            if not is_done and "FOR UPDATE" in sql and "sync_number" in sql:
                is_done = True
                self.happens(what, who, 0)
                self.arrive(self.bag.take_all())
                if is_looked_at:
                    self.work(None, 0)
            return execute(sql, *rest)

        with connection.execute_wrapper(meanwhile):
            jobs.look_at_customer(customer=self.customers[who])
        assert is_done


def shuffled(events: list[Event], seed: int) -> list[Event]:
    random.Random(seed).shuffle(events)
    return events
