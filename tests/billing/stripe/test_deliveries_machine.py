"""Invariant 5, searched: whatever becomes of Stripe's deliveries, our rows end up saying what Stripe says.

Rounds of examples, each with a seed, from which follows all that is chosen in it: here two, the same for
everybody and each time, so that red says something of the change and not of the day. `make soak` goes on with
others. A failure names the seed of its round, and the least steps that lead to it; to have that round again, alone:

    make soak SOAK_SEED=<seed> SOAK_EXAMPLES=1

What was found is also kept in `.hypothesis`, and tried first from then on until it is mended.
"""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import hypothesis
import pytest
import stripe
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pytest_django import Settings as SettingsWrapper

from billing import proofs
from billing.models import StripeEvent, UsagePeriod
from sessions_app.proofs import RUN_PROOFS
from tests.billing.stripe import daily_life, expected, mailbag
from tests.billing.stripe.daily_life import DailyLife
from tests.billing.stripe.expected import Holdings
from tests.billing.stripe.tally import LOOKS, Tally
from tests.fake_stripe.running import StandIn
from tests.people import Person

# Two, for two processes: 2,000 acts together.
SEEDS: Final = (4, 5)
LEAST_ACTS: Final = 1000
# Of a round. The first of its examples is always the least that there is.
EXAMPLES: Final = 5
STEPS: Final = 7

# The runs here are counted, and are no rows.
FOREIGN_PROOFS = {proof.name for proof in RUN_PROOFS}

type Act = tuple[str, int, int]
type Fate = tuple[str, list[int]]
type Work = tuple[str, list[int], int]

whose = st.integers(0, 1)
numbers = st.integers(0, 7)
picks = st.lists(st.integers(0, 99), min_size=1, max_size=12)
# So many requests that Stripe does not answer.
failures = st.sampled_from([0, 0, 1, 2, 4, 100])
acts = st.lists(st.tuples(st.sampled_from(daily_life.EVERYTHING), whose, numbers), min_size=8, max_size=24)
TOLD, READ, WALKED = "told", "read", "walked"


@dataclass(frozen=True)
class Settling:
    """All becomes known. Then what happens alone, and what happens between a look's fetching and its writing."""

    seed: int
    is_walked: bool
    alone: list[tuple[str, int, str, int]]
    between: list[tuple[str, int, bool]]


settling = st.builds(
    Settling,
    seed=st.integers(0, 99),
    is_walked=st.booleans(),
    alone=st.lists(
        st.tuples(
            st.sampled_from([*daily_life.AT_STRIPE, *daily_life.BANK, daily_life.RENEWAL]),
            whose,
            st.sampled_from([TOLD, TOLD, READ, WALKED]),
            failures,
        ),
        max_size=2,
    ),
    between=st.lists(st.tuples(st.sampled_from(daily_life.CHANGES), whose, st.booleans()), max_size=3),
)
# Not each day, so that there is much that becomes known at once.
SOME_DAYS: Final = [False, True]


class Deliveries(RuleBasedStateMachine):
    """bob and charlie, who pay; Stripe, which tells of it; and a post that loses, doubles and shuffles."""

    people: tuple[Person, Person]
    stand_in: StandIn
    client: stripe.StripeClient
    tally: Tally

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint_create()
        self.buckets: dict[uuid.UUID, UsagePeriod] = {}
        # No day was left in its middle, so that it is worth looking at the end.
        self.is_sound = False

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self.settles(0, is_walked=False)
        finally:
            transaction.savepoint_rollback(self.savepoint)
        assert self.stand_in.violations() == []

    @initialize(
        of_bob=numbers,
        of_charlie=numbers,
        begin=st.sampled_from(daily_life.BEGINNINGS),
        dunning_end=st.sampled_from(["canceled", "unpaid", "past_due"]),
    )
    def a_shop_with_small_plans(self, of_bob: int, of_charlie: int, begin: datetime, dunning_end: str) -> None:
        self.life = DailyLife(self.people, self.stand_in, self.client, self.tally, begin=begin, dunning_end=dunning_end)
        self.life.happens(daily_life.BUY, 0, of_bob)
        self.life.happens(daily_life.BUY, 1, of_charlie)
        self.is_sound = True

    @rule(
        morning=acts,
        post=st.lists(st.tuples(st.sampled_from(daily_life.FATES), picks), max_size=2),
        work=st.tuples(
            st.sampled_from([daily_life.NOTHING, daily_life.JOBS, daily_life.JOBS, daily_life.SWEEP, daily_life.LIST]),
            picks,
            failures,
        ),
        evening=acts,
        end=st.sampled_from(SOME_DAYS).flatmap(lambda is_one: settling if is_one else st.none()),
    )
    def a_day(self, morning: list[Act], post: list[Fate], work: Work, evening: list[Act], end: Settling | None) -> None:
        self.is_sound = False
        for act in morning:
            self.life.happens(*act)
        for fate in post:
            self.life.befalls(*fate)
        self.life.is_done_about_them(*work)
        for act in evening:
            self.life.happens(*act)
        if end:
            self.all_is_settled(end)
        self.usage_is_not_reset()
        self.no_event_is_lost()
        self.is_sound = True

    def all_is_settled(self, how: Settling) -> None:
        self.settles(how.seed, is_walked=how.is_walked)
        for what, who, fate, failures in how.alone:
            self.happens_alone(what, who, fate, failures)
        for what, who, is_looked_at in how.between:
            self.life.happens_between(what, who, is_looked_at=is_looked_at)
            self.life.work_off()
            self.is_as_stripe_holds(who)

    def settles(self, seed: int, *, is_walked: bool) -> None:
        self.life.make_all_known(seed, is_walked=is_walked)
        assert list(StripeEvent.objects.exclude(state="done").values_list("type", "state", "error")) == []
        for who in range(len(self.people)):
            self.is_as_stripe_holds(who)
        with connection.cursor() as cursor:
            for proof in proofs.PROOFS:
                if proof.name not in FOREIGN_PROOFS:
                    cursor.execute(proof.sql)
                    assert cursor.fetchall() == [], proof.name
        self.tally.add(LOOKS, "by check_billing")

    def happens_alone(self, what: str, who: int, fate: str, failures: int) -> None:
        """Nothing else rings: what tells of it must be enough; where it is lost, the list must be, or the walk."""
        # Two hours after its period's end a renewal is paid, or is not.
        self.life.happens(what, who, 2 if what == daily_life.RENEWAL else 0)
        told = self.life.bag.take_all()
        if fate == TOLD:
            self.life.arrive(told)
            self.life.work(None, failures)
        else:
            self.life.lose(told)
            if fate == READ:
                self.life.read_the_list()
            else:
                self.life.walk_both_sides()
            self.life.dropped = []
        self.life.work_off()
        self.is_as_stripe_holds(who)

    # What must hold.

    def is_as_stripe_holds(self, who: int) -> None:
        held = Holdings(self.life.payers[who], self.life.sold)
        assert expected.written(self.life.payers[who].row) == held.facts
        assert held.mirrored == held.statuses
        self.tally.add(LOOKS, "by Stripe's answers")

    def usage_is_not_reset(self) -> None:
        """A counter says what was run and given back; one that cuts another short begins with what that one says."""
        before, moved = self.buckets, self.life.moved
        self.buckets, self.life.moved = UsagePeriod.objects.order_by("starts_at").in_bulk(), Counter()
        assert before.keys() <= self.buckets.keys()
        earlier: dict[uuid.UUID, UsagePeriod] = {}
        for bucket in self.buckets.values():
            carried = 0
            if bucket.id in before:
                carried = before[bucket.id].used
            elif bucket.source == "paid" and (cut := earlier.get(bucket.workspace_id)):
                if cut.id not in before:
                    # It came and went in one day, so that its end is not known.
                    carried = bucket.used - moved[bucket.id]
                    assert carried in (0, cut.used)
                elif before[cut.id].ends_at > bucket.starts_at:
                    carried = cut.used
                self.tally.add(LOOKS, "periods that cut one short" if carried else "periods after another")
            assert bucket.used == carried + moved[bucket.id]
            if bucket.source == "paid":
                earlier[bucket.workspace_id] = bucket

    def no_event_is_lost(self) -> None:
        assert set(StripeEvent.objects.values_list("stripe_id", flat=True)) == self.life.bag.accepted


@pytest.fixture
def machine(
    bob: Person,
    charlie: Person,
    stripe_stand_in: StandIn,
    stripe_client: stripe.StripeClient,
    settings: SettingsWrapper,
) -> type[Deliveries]:
    settings.STRIPE_WEBHOOK_SECRETS = [mailbag.SECRET]
    # The worker tries again by itself.
    settings.STRIPE_RETRIES = 0

    class OfThisTest(Deliveries):
        people = (bob, charlie)
        stand_in = stripe_stand_in
        client = stripe_client
        tally = Tally()

    return OfThisTest


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_becomes_of_deliveries_our_rows_say_what_stripe_says(machine: type[Deliveries], seed: int) -> None:
    round_of(machine, seed)
    assert machine.tally.acts >= LEAST_ACTS, str(machine.tally)


def round_of(machine: type[Deliveries], seed: int) -> None:
    chosen = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=chosen)
    except Exception as error:
        error.add_note(f"To have this round again: make soak SOAK_SEED={seed} SOAK_EXAMPLES=1")
        raise
