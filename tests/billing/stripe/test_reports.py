"""A month that was worked out by hand, as Stripe has it and as the figures tell it.

BASIC is 19.00 USD or 17.00 EUR a month, PRO 49.00 USD a month or 490.00 a year.

| day | what happens                                          | MRR in USD | MRR in EUR |
| --- | ----------------------------------------------------- | ---------- | ---------- |
| 3   | bob buys BASIC by the month                           |      19.00 |            |
| 4   | fay buys BASIC by the month                           |      38.00 |            |
| 5   | charlie buys PRO by the year: 490.00 / 12 = 40.83     |      78.83 |            |
| 8   | dora buys BASIC, and gets 25 % off for good: 14.25    |      93.08 |            |
| 10  | erik buys BASIC in euros                              |      93.08 |      17.00 |
| 15  | bob moves to PRO, 30.00 more                          |     123.08 |      17.00 |
| 18  | fay ends hers at once, 19.00 less                     |     104.08 |      17.00 |
| 20  | charlie is given 100.00 back                          |     104.08 |      17.00 |

New in USD are bob 19.00, fay 19.00, charlie 40.83 and dora 14.25, together 93.08; expansion is 30.00, churn 19.00,
and 93.08 + 30.00 - 19.00 = 104.08.
"""

from datetime import UTC, date, datetime, timedelta

import pytest
import stripe

from accounts import clock
from billing import jobs, publishing, quotas
from billing.models import DailyFigures, LedgerEntry, Plan, Price
from billing.reports.overview import Overview, overview
from billing.reports.revenue import Kind, Move
from tests.billing.stripe.payer import Payer
from tests.billing.stripe.test_monthly_amount import discount
from tests.fake_stripe.running import StandIn
from tests.people import person

BY_DAY = {3: 1900, 4: 3800, 5: 7883, 8: 9308, 15: 12308, 18: 10408}


@pytest.fixture
def first(shop: StandIn) -> date:
    """Of the month, which is the next one."""
    basic = Plan.objects.get(slug=Plan.BASIC)
    Price.objects.create(plan=basic, interval="month", currency="eur", unit_amount=1700)
    publishing.reflect(publishing.publish())
    return (clock.now().date().replace(day=1) + timedelta(days=32)).replace(day=1)


@pytest.fixture
def month(first: date, payer: Payer, other: Payer, shop: StandIn, stripe_client: stripe.StripeClient) -> date:
    """It has come to its 26th day; its first."""
    bob, charlie = payer, other
    fay, dora, erik = (Payer(person(f"{name}@example.com"), shop, stripe_client) for name in ("fay", "dora", "erik"))

    def on(day: int) -> None:
        noon = datetime(first.year, first.month, day, 12, tzinfo=UTC)
        shop.advance(seconds=int((noon - clock.now()).total_seconds()))

    on(3)
    bob.buy("basic")
    on(4)
    fay.buy("basic")
    on(5)
    charlie.buy("pro", interval="year")
    on(8)
    dora.buy("basic")
    discount(dora, percent_off=25, duration="forever")
    dora.sync()
    on(10)
    erik.buy("basic", currency="eur")
    on(15)
    assert bob.post("change-plan", {"plan": "pro"}).status_code == 200
    bob.run(4)
    on(18)
    fay.client.v1.subscriptions.cancel(fay.one.id)
    fay.sync()
    run = LedgerEntry.objects.filter(workspace=bob.person.workspace, kind=LedgerEntry.Kind.CONSUME).latest("pk")
    assert run.run_id is not None
    quotas.refund(run_id=run.run_id, now=clock.now())
    on(20)
    (payment,) = stripe_client.v1.invoice_payments.list({"invoice": charlie.invoices[0].id}).data
    stripe_client.v1.refunds.create({"payment_intent": str(payment.payment.payment_intent), "amount": 10000})
    charlie.sync()
    on(26)
    return first


def seen() -> Overview:
    return overview(now=clock.now(), offset=clock.offset())


def assert_it_is_as_by_hand(found: Overview) -> None:
    assert found.today.mrr == {"usd": 10408, "eur": 1700}
    assert found.opening == {}
    assert found.month.moves == {
        "usd": {Kind.NEW: Move(4, 9308), Kind.EXPANSION: Move(1, 3000), Kind.CHURN: Move(1, 1900)},
        "eur": {Kind.NEW: Move(1, 1700)},
    }
    # bob and charlie are on PRO, dora and erik on BASIC.
    assert [(plan.slug, count) for plan, count in found.paying] == [("basic", 2), ("pro", 2)]


def test_the_month_is_as_it_was_worked_out_by_hand(month: date) -> None:
    assert_it_is_as_by_hand(seen())
    jobs.make_figures(timestamp=0)
    found = seen()
    assert_it_is_as_by_hand(found)
    assert found.made_until == month.replace(day=25)
    assert DailyFigures.objects.filter(day__gte=month).count() == 25
    expected = 0
    for day in range(1, 27):
        expected = BY_DAY.get(day, expected)
        figures = found.days[month.replace(day=day)]
        assert figures.mrr.get("usd", 0) == expected, day
        assert figures.mrr.get("eur", 0) == (1700 if day >= 10 else 0), day
    # Four runs on the 15th, one of which was given back on the 18th.
    runs = {day.day: (each.activity.runs, each.activity.refunds) for day, each in found.last(26).items()}
    assert {day: counts for day, counts in runs.items() if any(counts)} == {15: (4, 0), 18: (0, 1)}
    assert (found.activity.runs, found.activity.refunds) == (4, 1)
