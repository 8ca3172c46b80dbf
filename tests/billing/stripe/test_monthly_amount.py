"""What a subscription comes to in a month: after discounts, without tax, as Stripe has it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from accounts import clock
from billing import gateway, sync
from billing.drift import differences_of
from billing.models import Price, SubscriptionChange
from billing.snapshots import Snapshot
from tests.billing.stripe.payer import Payer

# BASIC is 19.00 USD a month and 190.00 USD a year, PRO 49.00 and 490.00.
type Calls = Callable[[], list[str]]


def held(payer: Payer) -> Snapshot:
    return sync.snapshot_of(gateway.held_of(payer.customer))


def monthly(payer: Payer) -> int:
    amount: int = held(payer).facts(payer.row)["monthly_amount"]
    return amount


def varied(snapshot: Snapshot, **values: Any) -> int:
    """The amount with single values of the one subscription changed."""
    (data,) = snapshot.data
    one = replace(snapshot, data=({**data, **values},))
    held = one.current
    assert held is not None
    return one._monthly_amount(held)


def with_price(snapshot: Snapshot, *, quantity: int = 1, **values: Any) -> int:
    (data,) = snapshot.data
    (item,) = data["items"]["data"]
    price = {**item["price"], **values}
    return varied(snapshot, items={"data": [{**item, "price": price, "quantity": quantity}]})


def discount(payer: Payer, *, applies_to: Any = None, **terms: Any) -> None:
    """Put another discount on the subscription, as staff do at Stripe."""
    wanted: Any = terms | ({"applies_to": {"products": applies_to}} if applies_to else {})
    coupon = payer.client.v1.coupons.create(wanted)
    kept: Any = [{"discount": one} for one in payer.one.discounts or ()]
    payer.client.v1.subscriptions.update(payer.one.id, {"discounts": [*kept, {"coupon": coupon.id}]})


def line_of(payer: Payer) -> tuple[int, str]:
    """The last line of history."""
    line = SubscriptionChange.objects.filter(subscription=payer.row).order_by("-id")[0]
    return line.monthly_amount, line.currency


def test_a_month_costs_its_price(subscriber: Payer) -> None:
    row = subscriber.row
    assert (row.monthly_amount, row.currency) == (1900, "usd")
    assert line_of(subscriber) == (1900, "usd")


def test_a_year_counts_by_twelfths(payer: Payer) -> None:
    payer.buy("basic", interval="year")
    # 19000 / 12 = 1583.33
    assert (payer.row.monthly_amount, line_of(payer)) == (1583, (1583, "usd"))


@pytest.mark.parametrize(
    ("recurring", "amount", "quantity", "expected"),
    [
        ({"interval": "year"}, "18", 1, 2),  # 1.5, up
        ({"interval": "year"}, "17", 1, 1),  # 1.42
        ({"interval": "month", "interval_count": 3}, "1000", 1, 333),  # a quarter: 333.33
        ({"interval": "week"}, "300", 1, 1300),  # 52 weeks are twelve months
        ({"interval": "day"}, "12", 1, 365),  # and 365 days
        ({"interval": "month"}, "1900", 3, 5700),
        ({"interval": "month"}, "0.5", 3, 2),  # 1.5, up
        ({"interval": "month"}, None, 1, 0),  # in tiers
        ({"interval": "month", "usage_type": "metered"}, "1900", 1, 0),
    ],
)
def test_other_intervals_and_quantities(
    subscriber: Payer, recurring: dict[str, Any], amount: str | None, quantity: int, expected: int
) -> None:
    recurring = {"interval_count": 1, "usage_type": "licensed"} | recurring
    found = with_price(held(subscriber), quantity=quantity, unit_amount_decimal=amount, recurring=recurring)
    assert found == expected


def test_what_else_is_on_the_subscription_counts_too(subscriber: Payer) -> None:
    made = subscriber.client.v1.prices.create(
        {
            "unit_amount": 500,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product_data": {"name": "Support by telephone"},
        }
    )
    subscriber.client.v1.subscriptions.update(
        subscriber.one.id, {"items": [{"price": made.id}], "proration_behavior": "none"}
    )
    assert monthly(subscriber) == 2400


def test_a_change_of_price_alone_is_a_line_of_history(subscriber: Payer) -> None:
    """The same plan at a price of an earlier day: nothing but the price and the amount differs."""
    dearer = Price.objects.get(plan__slug="basic", interval="month")
    made = subscriber.client.v1.prices.create(
        {
            "unit_amount": 2500,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product": dearer.stripe_product_id,
        }
    )
    item = subscriber.one["items"].data[0].id
    subscriber.client.v1.subscriptions.update(
        subscriber.one.id, {"items": [{"id": item, "price": made.id}], "proration_behavior": "none"}
    )
    lines = SubscriptionChange.objects.count()
    subscriber.sync()
    assert SubscriptionChange.objects.count() == lines + 1
    assert (line_of(subscriber), subscriber.row.paid_plan) == ((2500, "usd"), dearer.plan)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"percent_off": 25, "duration": "forever"}, 1425),
        ({"percent_off": 50, "duration": "repeating", "duration_in_months": 3}, 950),
        ({"percent_off": 12.5, "duration": "forever"}, 1662),  # 237.5 off, rounded up
        ({"percent_off": 100, "duration": "forever"}, 0),
        ({"amount_off": 500, "currency": "usd", "duration": "forever"}, 1400),
        ({"amount_off": 5000, "currency": "usd", "duration": "forever"}, 0),
        # It makes one invoice cheaper, and nothing that recurs.
        ({"percent_off": 50, "duration": "once"}, 1900),
    ],
)
def test_a_discount_alone_is_a_line_of_history(subscriber: Payer, terms: dict[str, Any], expected: int) -> None:
    lines = SubscriptionChange.objects.count()
    discount(subscriber, **terms)
    subscriber.sync()
    assert subscriber.row.monthly_amount == expected
    assert SubscriptionChange.objects.count() == lines + (expected != 1900)
    assert line_of(subscriber) == (expected, "usd" if expected else "")


def test_a_fixed_sum_off_a_year_is_spread_over_it(payer: Payer) -> None:
    payer.buy("basic", interval="year")
    discount(payer, amount_off=1000, currency="usd", duration="forever")
    # 18000 / 12
    assert monthly(payer) == 1500


def test_discounts_are_taken_off_in_turn(subscriber: Payer) -> None:
    discount(subscriber, amount_off=900, currency="usd", duration="forever")
    discount(subscriber, percent_off=50, duration="forever")
    assert monthly(subscriber) == 500
    (data,) = held(subscriber).data
    # The other way round: 950, less 900.
    assert varied(held(subscriber), discounts=data["discounts"][::-1]) == 50


def test_a_sum_in_another_currency_takes_nothing_off(subscriber: Payer) -> None:
    discount(subscriber, amount_off=900, currency="usd", duration="forever")
    assert varied(held(subscriber), currency="eur") == 1900


def test_a_coupon_for_another_product_takes_nothing_off(subscriber: Payer) -> None:
    """As after a downgrade, when the code was for the larger plan."""
    basic, pro = (Price.objects.get(plan__slug=slug, interval="month") for slug in ("basic", "pro"))
    discount(subscriber, percent_off=50, duration="forever", applies_to=[pro.stripe_product_id])
    assert monthly(subscriber) == 1900
    discount(
        subscriber, percent_off=10, duration="forever", applies_to=[pro.stripe_product_id, basic.stripe_product_id]
    )
    assert monthly(subscriber) == 1710


def test_a_discount_counts_until_the_period_that_it_makes_cheaper_no_more(subscriber: Payer) -> None:
    subscriber.travel(days=1)
    discount(subscriber, percent_off=50, duration="repeating", duration_in_months=1)
    assert monthly(subscriber) == 950
    # Its month began after the period did, so the next invoice has it too; the one after that does not.
    subscriber.travel(days=31, hours=3)
    subscriber.sync()
    assert line_of(subscriber) == (950, "usd")
    subscriber.travel(days=31)
    subscriber.sync()
    assert line_of(subscriber) == (1900, "usd")


def test_a_discount_that_ends_as_the_period_begins_counts_no_more(subscriber: Payer) -> None:
    discount(subscriber, percent_off=50, duration="forever")
    snapshot = held(subscriber)
    (data,) = snapshot.data
    start = data["items"]["data"][0]["current_period_start"]
    assert varied(snapshot, discounts=[{**data["discounts"][0], "end": start}]) == 1900
    assert varied(snapshot, discounts=[{**data["discounts"][0], "end": start + 1}]) == 950


def test_a_customers_discount_counts_where_the_subscription_has_none(subscriber: Payer) -> None:
    discount(subscriber, percent_off=50, duration="forever")
    snapshot = held(subscriber)
    (data,) = snapshot.data
    of_customer = replace(snapshot, customer={**snapshot.customer, "discount": data["discounts"][0]})
    assert varied(of_customer, discounts=[]) == 950
    # Not twice.
    assert varied(of_customer) == 950


def test_a_tax_within_the_price_does_not_count(subscriber: Payer) -> None:
    """As the last invoice that cost anything says: 3.03 of 19.00 are 19 percent on 15.97."""
    snapshot = held(subscriber)
    (invoice,) = snapshot.invoices
    included = {"amount": 303, "tax_behavior": "inclusive"}
    taxed = {**invoice, "total_excluding_tax": 1597, "total_taxes": [included]}
    nothing = {**invoice, "total_excluding_tax": 0, "total_taxes": []}
    assert varied(replace(snapshot, invoices=(nothing, taxed))) == 1597
    on_top = {**taxed, "total_excluding_tax": 1900, "total_taxes": [{"amount": 361, "tax_behavior": "exclusive"}]}
    assert varied(replace(snapshot, invoices=(on_top,))) == 1900
    assert varied(replace(snapshot, invoices=())) == 1900


def test_what_has_ended_comes_to_nothing_and_costs_no_call(subscriber: Payer, calls: Calls) -> None:
    discount(subscriber, percent_off=50, duration="forever")
    subscriber.client.v1.subscriptions.cancel(subscriber.one.id)
    subscriber.sync()
    assert (subscriber.row.monthly_amount, line_of(subscriber)) == (0, (0, ""))
    calls()
    subscriber.sync()
    assert len(calls()) == 5


def test_while_collection_is_paused_the_amount_is_kept_and_does_not_count(subscriber: Payer) -> None:
    subscriber.client.v1.subscriptions.update(subscriber.one.id, {"pause_collection": {"behavior": "void"}})
    subscriber.sync()
    assert (subscriber.row.monthly_amount, line_of(subscriber)) == (1900, (0, ""))


def test_a_discount_costs_one_call_and_six_in_all(subscriber: Payer, calls: Calls) -> None:
    subscriber.sync()
    calls()
    subscriber.sync()
    assert len(calls()) == 5
    for percent in (10, 20):
        discount(subscriber, percent_off=percent, duration="forever")
    subscriber.sync()
    calls()
    subscriber.sync()
    made = calls()
    assert len(made) == 6
    assert made[2] == f"GET /v1/subscriptions/{subscriber.one.id}"


def test_nothing_differs_after_a_sync(subscriber: Payer) -> None:
    """Drift: a discount that nobody told of is found, and nothing else."""
    discount(subscriber, percent_off=50, duration="forever")
    (found,) = differences_of(subscriber.row)
    assert (found.what, found.ours, found.theirs) == ("monthly_amount", "19.00 USD", "9.50 USD")
    sync.sync_customer(subscriber.customer, now=clock.now())
    assert differences_of(subscriber.row) == []
