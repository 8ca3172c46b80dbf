"""Two live subscriptions of one customer: one stays, the other is ended and given back."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts import clock
from billing import lifecycle
from billing.models import AuditEntry, StripeOperation
from tests.billing.stripe.payer import Payer

pytestmark = pytest.mark.django_db(transaction=True)


def subscribe_beside(payer: Payer, lookup_key: str) -> str:
    """A second purchase, as two Checkouts paid at once make it."""
    price = payer.client.v1.prices.list({"lookup_keys": [lookup_key]}).data[0]
    session = payer.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": payer.customer,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://example.com/",
        }
    )
    paid = payer.stand_in.pay(session.id)
    return str(paid["subscription"])


def statuses(payer: Payer) -> dict[str, str]:
    return {one.id: one.status for one in payer.at_stripe}


@pytest.mark.parametrize(
    ("first", "second", "stays", "given_back"),
    [
        ("basic", "ai_manus_pro_month_usd", "second", 1900),
        ("pro", "ai_manus_basic_month_usd", "first", 1900),
        ("pro", "ai_manus_pro_month_usd", "first", 4900),
    ],
)
def test_the_higher_plan_stays_then_the_older(
    payer: Payer, work: Callable[[], None], first: str, second: str, stays: str, given_back: int
) -> None:
    payer.buy(first)
    one = payer.one.id
    # Stripe's clock is of whole seconds, by which the older is told.
    payer.travel(seconds=2)
    two = subscribe_beside(payer, second)
    payer.sync()
    work()
    kept, ended = (one, two) if stays == "first" else (two, one)
    assert statuses(payer) == {kept: "active", ended: "canceled"}
    assert [(refund.amount, refund.status) for refund in payer.refunds] == [(given_back, "succeeded")]
    assert payer.row.stripe_subscription_id == kept
    entry = AuditEntry.objects.get(action="mend double purchase")
    assert entry.after == {"cancelled": ended, "refunded": given_back}
    work()
    assert len(payer.refunds) == 1


def test_mending_twice_gives_back_once(payer: Payer) -> None:
    payer.buy("pro")
    subscribe_beside(payer, "ai_manus_basic_month_usd")
    for _ in range(2):
        lifecycle.mend_double_purchase(payer.row, now=clock.now())
    assert [refund.amount for refund in payer.refunds] == [1900]
    assert sorted(statuses(payer).values()) == ["active", "canceled"]


def test_a_refund_whose_answer_was_lost_is_not_given_twice(payer: Payer) -> None:
    payer.buy("pro")
    subscribe_beside(payer, "ai_manus_basic_month_usd")
    payer.stand_in.control("POST", "faults", path="POST /v1/refunds", status=500, times=3, after=True)
    with pytest.raises(Exception, match="cannot be reached"):
        lifecycle.mend_double_purchase(payer.row, now=clock.now())
    assert len(payer.refunds) == 1
    payer.stand_in.control("DELETE", "faults")
    lifecycle.mend_double_purchase(payer.row, now=clock.now())
    assert [refund.amount for refund in payer.refunds] == [1900]
    assert sorted(statuses(payer).values()) == ["active", "canceled"]
    assert not StripeOperation.objects.filter(kind="refund", finished_at=None).exists()


def test_an_old_one_is_left_to_staff(payer: Payer, work: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    payer.buy("pro")
    subscribe_beside(payer, "ai_manus_basic_month_usd")
    payer.travel(days=2)
    payer.sync()
    work()
    assert list(statuses(payer).values()) == ["active", "active"]
    assert payer.refunds == []
    assert any("staff must look" in record.getMessage() for record in caplog.records)


def test_one_on_a_price_that_is_not_ours_is_left_to_staff(payer: Payer, work: Callable[[], None]) -> None:
    payer.buy("pro")
    product = payer.client.v1.products.create({"name": "By hand"})
    made: Any = {"product": product.id, "currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    price = payer.client.v1.prices.create(made)
    method = payer.one.default_payment_method
    assert isinstance(method, str)
    payer.client.v1.subscriptions.create(
        {"customer": payer.customer, "items": [{"price": price.id}], "default_payment_method": method}
    )
    payer.sync()
    work()
    assert list(statuses(payer).values()) == ["active", "active"]
    assert payer.refunds == []
    assert payer.sees()["plan"] == "pro"
