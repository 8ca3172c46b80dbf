"""Whatever becomes of a call to Stripe, nothing is charged twice, nothing is lost, and asking again ends it right."""

import itertools
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import stripe
from django.forms import model_to_dict
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from billing import jobs, mirror, proofs, sync
from billing.models import Price, StripeOperation, Subscription, SubscriptionChange
from billing.snapshots import CHARGED, LIVE
from tests.billing.stripe.meddling import Fault, Meddler, meddling
from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn
from tests.people import person

LOST_READS = (Fault.FAILS, Fault.LIMITED, Fault.UNHEARD)
LOST_ANSWERS = (Fault.FAILS_AFTER, Fault.UNANSWERED)
# Its reads are one question. Of all flows its first and its last are lost, and these of the one that is a sync alone.
AMIDST_A_SYNC = ("GET /v1/subscriptions", "GET /v1/invoices", "GET /v1/charges")
# They change with every sync, and say nothing of what is paid.
OF_SYNCS = {"sync_number", "synced_at", "sync_due_at", "updated_at"}
# What a person keeps sending until it goes through.
KEPT_KEY = "Idempotency-Key"


@dataclass
class Stage:
    """Stripe, and who acts in the flow; `payer` is kept from one try to the next where the flow can be undone."""

    stand_in: StandIn
    client: stripe.StripeClient
    payer: Payer | None = None

    def newcomer(self) -> Payer:
        return Payer(person(f"{uuid.uuid4().hex}@example.com"), self.stand_in, self.client)

    def on(self, plan: str) -> Payer:
        """Who has bought that plan by the month and has nothing scheduled."""
        if self.payer is None:
            self.payer = self.newcomer()
            self.payer.buy(plan)
            return self.payer
        held = next(one for one in self.payer.at_stripe if one.status in LIVE)
        if held.schedule is not None:
            self.client.v1.subscription_schedules.release(str(held.schedule))
        (item,) = held["items"].data
        price = price_id(plan)
        self.client.v1.subscriptions.update(
            held.id,
            {
                "cancel_at_period_end": False,
                **({} if item.price.id == price else {"items": [{"id": item.id, "price": price}]}),
                "proration_behavior": "none",
            },
        )
        self.payer.sync()
        return self.payer


@dataclass(frozen=True)
class Flow:
    """`act` answers the status; `net` is what the flow should cost in all, by so many `invoices`.

    What takes `is_one_step` is done at Stripe or is not, whatever came between.
    """

    arrange: Callable[[Stage], Payer]
    act: Callable[[Payer, str], int]
    is_done: Callable[[Payer], bool]
    invoices: int = 0
    net: int = 0
    is_one_step: bool = True


def posting(path: str, body: Any = None, *, is_keyed: bool = False) -> Callable[[Payer, str], int]:
    """Where the endpoint takes no key, what was done before its answer was lost is a 409 to the next."""

    def act(payer: Payer, key: str) -> int:
        answer = payer.post(path, body, **({KEPT_KEY: key} if is_keyed else {}))
        if answer.status_code == 503:
            assert answer.json()["code"] == "stripe_unavailable", answer.content
            assert answer.headers["Retry-After"]
        elif answer.status_code == 409 and not is_keyed:
            assert answer.json()["code"] == "no_change", answer.content
            return 200
        else:
            assert answer.status_code == 200, answer.content
        status: int = answer.status_code
        return status

    return act


def working(job: Callable[[Payer], object]) -> Callable[[Payer, str], int]:
    def act(payer: Payer, key: str) -> int:
        try:
            job(payer)
        except tuple(jobs.UNTIL_STRIPE_ANSWERS.retry_exceptions or ()):
            return 503
        return 200

    return act


def price_id(plan: str) -> str:
    return str(Price.objects.get(plan__slug=plan, interval="month", currency="usd").stripe_price_id)


def cancelled(stage: Stage) -> Payer:
    payer = stage.on("pro")
    stage.client.v1.subscriptions.update(payer.at_stripe[0].id, {"cancel_at_period_end": True})
    payer.sync()
    return payer


def cancelled_on_basic(stage: Stage) -> Payer:
    payer = stage.on("basic")
    stage.client.v1.subscriptions.update(payer.at_stripe[0].id, {"cancel_at_period_end": True})
    payer.sync()
    return payer


def downgraded(stage: Stage) -> Payer:
    payer = stage.on("pro")
    assert payer.post("change-plan", {"plan": "basic"}).status_code == 200
    return payer


def twice_subscribed(stage: Stage) -> Payer:
    payer = stage.on("pro")
    stage.client.v1.subscriptions.create(
        {
            "customer": payer.customer,
            "items": [{"price": price_id("basic")}],
            "default_payment_method": str(payer.at_stripe[0].default_payment_method),
        }
    )
    return payer


def subscribed_and_unknown_here(stage: Stage) -> Payer:
    payer = stage.on("pro")
    for model in reversed(mirror.MODELS.values()):
        model.objects.all().delete()
    return payer


def without_a_portal(stage: Stage) -> Payer:
    StripeOperation.objects.filter(kind=StripeOperation.Kind.PORTAL_CONFIGURATION).delete()
    return stage.newcomer()


FLOWS = {
    "ensure_customer": Flow(
        Stage.newcomer,
        working(lambda payer: jobs.create_customer(workspace_id=str(payer.row.workspace_id))),
        lambda payer: payer.row.stripe_customer_id is not None,
    ),
    "checkout": Flow(
        Stage.newcomer,
        posting("create-checkout-session", {"plan": "pro"}, is_keyed=True),
        lambda payer: len(open_checkouts(payer)) == 1,
    ),
    "portal": Flow(
        without_a_portal, posting("create-portal-session"), lambda payer: payer.row.stripe_customer_id is not None
    ),
    "upgrade": Flow(
        lambda stage: stage.on("basic"),
        posting("change-plan", {"plan": "pro"}, is_keyed=True),
        lambda payer: payer.sees()["plan"] == "pro",
        invoices=1,
        net=3000,
    ),
    "downgrade": Flow(
        lambda stage: stage.on("pro"),
        posting("change-plan", {"plan": "basic"}, is_keyed=True),
        lambda payer: payer.sees()["pending_plan"] == "basic",
    ),
    "cancel": Flow(
        lambda stage: stage.on("pro"), posting("cancel"), lambda payer: payer.sees()["cancel_at_period_end"] is True
    ),
    "resume": Flow(cancelled, posting("resume"), lambda payer: payer.sees()["cancel_at_period_end"] is False),
    "upgrade_of_what_is_cancelled": Flow(
        cancelled_on_basic,
        posting("change-plan", {"plan": "pro"}, is_keyed=True),
        lambda payer: payer.sees()["plan"] == "pro" and payer.sees()["cancel_at_period_end"] is False,
        invoices=1,
        net=3000,
        is_one_step=False,
    ),
    "cancel_of_what_is_downgraded": Flow(
        downgraded,
        posting("cancel"),
        lambda payer: payer.sees()["cancel_at_period_end"] is True and payer.sees()["pending_plan"] is None,
        is_one_step=False,
    ),
    "mend_double_purchase": Flow(
        twice_subscribed,
        working(lambda payer: jobs.mend_double_purchase(workspace_id=str(payer.row.workspace_id))),
        lambda payer: payer.sees()["plan"] == "pro" and sum(one.status in CHARGED for one in payer.at_stripe) == 1,
        # What was bought twice is given back.
        invoices=-1,
        net=-1900,
    ),
    "sync": Flow(
        subscribed_and_unknown_here,
        working(lambda payer: sync.sync_customer(payer.customer, now=clock.now())),
        lambda payer: payer.sees()["plan"] == "pro",
    ),
}


@pytest.fixture(scope="session")
def meddler_process(stripe_stand_in_process: StandIn) -> Generator[Meddler, None, None]:
    with meddling(stripe_stand_in_process) as meddler:
        yield meddler


@pytest.fixture
def meddler(
    shop: StandIn, meddler_process: Meddler, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> Generator[Meddler, None, None]:
    """Between Stripe and the application, which tries each call once."""
    meddler_process.let_be()
    settings.STRIPE_API_BASE = meddler_process.url
    settings.STRIPE_RETRIES = 0
    monkeypatch.setattr(stripe, "api_base", meddler_process.url)
    monkeypatch.setattr(stripe, "max_network_retries", 0)
    yield meddler_process
    meddler_process.let_be()


@pytest.fixture
def stage(meddler: Meddler, shop: StandIn, stripe_client: stripe.StripeClient) -> Generator[Stage, None, None]:
    """The books are right whatever happened on it."""
    yield Stage(shop, stripe_client)
    assert proofs.find() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_of_which_any_call_fails_is_asked_for_again(name: str, stage: Stage, meddler: Meddler) -> None:
    flow = FLOWS[name]
    for _ in range(2):
        payer = flow.arrange(stage)
        meddler.spoil(0, None)
        assert flow.act(payer, uuid.uuid4().hex) == 200
    for number, fault in losses(name, meddler.seen):
        payer = flow.arrange(stage)
        spent, before = charges(payer), held(payer)
        key = uuid.uuid4().hex
        meddler.spoil(number, fault)
        status = flow.act(payer, key)
        meddler.let_be()
        between = held(payer)
        if len(meddler.seen) < number:
            # What the mirror knows by now is not read again.
            assert status == 200
            continue
        where = f"{meddler.seen[number - 1]}, number {number}, {fault}"
        assert status == 503, where
        assert_nothing_is_left_behind(payer, where)
        assert flow.act(payer, key) == 200, where
        assert_ends_right(payer, flow, spent, where)
        assert not flow.is_one_step or between in (before, held(payer)), where


def losses(name: str, requests: list[str]) -> Iterator[tuple[int, Fault]]:
    """The number of a request, and what becomes of it: of what changes something each, and each in every way.

    To us all failures of a read are one and the same: it is lost in one way, and all ways come.
    """
    for number, request in enumerate(requests, 1):
        if not request.startswith("GET "):
            yield from ((number, fault) for fault in (*LOST_READS, *LOST_ANSWERS))
        elif name == "sync" or request not in AMIDST_A_SYNC:
            yield number, LOST_READS[number % len(LOST_READS)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_of_which_every_answer_is_late_ends_as_ever(name: str, stage: Stage, meddler: Meddler) -> None:
    flow = FLOWS[name]
    payer = flow.arrange(stage)
    spent = charges(payer)
    meddler.spoil(0, Fault.SLOW)
    assert flow.act(payer, uuid.uuid4().hex) == 200
    meddler.let_be()
    assert_ends_right(payer, flow, spent, name)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["ensure_customer", "checkout", "upgrade", "mend_double_purchase"])
def test_an_answer_that_is_not_waited_for_is_a_lost_one(
    name: str, stage: Stage, meddler: Meddler, settings: SettingsWrapper
) -> None:
    """The last call that makes something, given up by our own time-out."""
    flow = FLOWS[name]
    payer = flow.arrange(stage)
    meddler.spoil(0, None)
    assert flow.act(payer, uuid.uuid4().hex) == 200
    last = max(number for number, request in enumerate(meddler.seen, 1) if not request.startswith("GET "))
    payer = flow.arrange(stage)
    spent = charges(payer)
    key = uuid.uuid4().hex
    patience = settings.STRIPE_TIMEOUT_SECONDS
    settings.STRIPE_TIMEOUT_SECONDS = meddler.silent_seconds / 2
    meddler.spoil(last, Fault.SILENT)
    assert flow.act(payer, key) == 503
    meddler.let_be()
    settings.STRIPE_TIMEOUT_SECONDS = patience
    assert_nothing_is_left_behind(payer, name)
    assert flow.act(payer, key) == 200
    assert_ends_right(payer, flow, spent, name)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["checkout", "upgrade"])
def test_what_fails_once_is_tried_again_and_nobody_sees_it(
    name: str, stage: Stage, meddler: Meddler, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the SDK, with the same key; of what makes something all but a 500, which Stripe keeps under the key."""
    settings.STRIPE_RETRIES = 2
    monkeypatch.setattr(stripe, "max_network_retries", 2)
    flow = FLOWS[name]
    for fault in (Fault.FAILS, Fault.LIMITED, Fault.UNANSWERED):
        payer = flow.arrange(stage)
        spent = charges(payer)
        meddler.spoil(1, fault, method="GET" if fault is Fault.FAILS else "POST")
        assert flow.act(payer, uuid.uuid4().hex) == 200, fault
        meddler.let_be()
        again = [request for request, after in itertools.pairwise(meddler.seen) if request == after]
        assert len(again) == 1, meddler.seen
        assert_ends_right(payer, flow, spent, fault)


def assert_nothing_is_left_behind(payer: Payer, where: str) -> None:
    """What was done at Stripe and is not in our rows will be: Stripe is asked as soon as a worker looks."""
    row = payer.row
    if row.stripe_customer_id is None or (row.sync_due_at is not None and row.sync_due_at <= clock.now()):
        return
    assert_equals_stripe(payer, where)


def assert_ends_right(payer: Payer, flow: Flow, spent: tuple[int, int], where: str) -> None:
    assert flow.is_done(payer), where
    invoices, net = (after - before for after, before in zip(charges(payer), spent, strict=True))
    assert (invoices, net) == (flow.invoices, flow.net), where
    assert len(customers(payer)) == 1, where
    assert sum(one.status in LIVE for one in payer.at_stripe) <= 1, where
    assert len(open_checkouts(payer)) <= 1, where
    assert list(StripeOperation.objects.filter(finished_at=None)) == [], where
    assert_equals_stripe(payer, where)


def assert_equals_stripe(payer: Payer, where: str) -> None:
    """A sync finds nothing to change."""
    before, history = facts(payer.row), SubscriptionChange.objects.filter(subscription=payer.row).count()
    payer.sync()
    assert facts(payer.row) == before, where
    assert SubscriptionChange.objects.filter(subscription=payer.row).count() == history, where


def held(payer: Payer) -> list[tuple[str, bool, str]]:
    """Of each live subscription at Stripe: its price, whether it was cancelled, and the price that is to follow."""
    if payer.row.stripe_customer_id is None:
        return []
    found = payer.client.v1.subscriptions.list({"customer": payer.customer, "expand": ["data.schedule"]}).data
    return [
        (one["items"].data[0].price.id, one.cancel_at is not None or one.cancel_at_period_end, following(one.schedule))
        for one in found
    ]


def following(schedule: Any) -> str:
    if schedule is None or schedule.status != "active" or len(schedule.phases) < 2:
        return ""
    return str(schedule.phases[1]["items"][0].price)


def facts(row: Subscription) -> dict[str, Any]:
    return {name: value for name, value in model_to_dict(row).items() if name not in OF_SYNCS}


def charges(payer: Payer) -> tuple[int, int]:
    """How many invoices took money that was kept, and how much was kept in all."""
    if payer.row.stripe_customer_id is None:
        return 0, 0
    kept = [
        one.amount - one.amount_refunded
        for one in payer.client.v1.charges.list({"customer": payer.customer, "limit": 100}).data
        if one.status == "succeeded"
    ]
    return sum(amount > 0 for amount in kept), sum(kept)


def customers(payer: Payer) -> list[stripe.Customer]:
    return payer.client.v1.customers.list({"email": payer.person.user.email}).data


def open_checkouts(payer: Payer) -> list[stripe.checkout.Session]:
    return payer.client.v1.checkout.sessions.list({"customer": payer.customer, "status": "open"}).data
