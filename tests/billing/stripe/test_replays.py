"""What a replay would change is said before it is done, and then is what it changes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts import clock
from accounts.idempotency import once_token
from billing import deliveries, replays, roles
from billing.models import StripeEvent
from tests.billing.stripe.digest import digest
from tests.billing.stripe.payer import Payer
from tests.billing.test_webhook_desk import REPLAY, event, text
from tests.desk import Desk, employ


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


@pytest.fixture(autouse=True)
def no_patience(settings: Any) -> None:
    settings.STRIPE_RETRIES = 0


def paid_unheard(payer: Payer) -> None:
    """Paid at Stripe, of which every event was given up here."""
    payer.stand_in.pay(payer.checkout("pro"))
    for name in ("a", "b"):
        event(name, customer=payer.customer)


def test_what_differs_is_shown_and_nothing_is_changed_by_looking(payer: Payer, billing: Desk) -> None:
    paid_unheard(payer)
    before = digest()
    page = text(billing.get(REPLAY))
    assert digest() == before
    for words in ("Bob , 2 events. Our row would follow.", "paid plan - AI-Manus PRO", "monthly amount 0 49.00 USD"):
        assert words in page


def test_the_replay_changes_just_that(payer: Payer, billing: Desk) -> None:
    paid_unheard(payer)
    (one,) = replays.outlook(deliveries.ended()).foreseen
    answer = billing.client.post(REPLAY, {"reason": "Stripe is back", "once": once_token()})
    assert answer.status_code == 302
    assert payer.sees()["plan"] == "free"
    deliveries.look_at_customer(payer.customer, now=clock.now())
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"done"}
    row, said = payer.row, {difference.what: difference.theirs for difference in one.differences}
    assert (said["stripe_status"], said["stripe_subscription_id"]) == (row.stripe_status, row.stripe_subscription_id)
    assert said["paid_plan"] == str(row.paid_plan)
    event("c", customer=payer.customer)
    (again,) = replays.outlook(deliveries.ended()).foreseen
    assert (again.sentence, list(again.differences)) == ("Nothing: our row is as Stripe has it already.", [])


def test_with_stripe_away_that_is_said_and_a_replay_is_possible(payer: Payer, billing: Desk) -> None:
    paid_unheard(payer)
    payer.stand_in.control("POST", "faults", path=".", status=500, times=10)
    page = text(billing.get(REPLAY))
    assert "Stripe cannot be reached just now" in page
    assert "Our row would follow" not in page
    assert billing.client.post(REPLAY, {"reason": "Later", "once": once_token()}).status_code == 302
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"waiting"}


def test_without_a_key_that_is_said(billing: Desk, payer: Payer, settings: Any) -> None:
    paid_unheard(payer)
    settings.STRIPE_SECRET_KEY = ""
    assert "No key of Stripe's is set here" in text(billing.get(REPLAY))


def test_of_many_customers_stripe_is_asked_of_a_few(
    payer: Payer, other: Payer, calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "MOST_ASKED", 1)
    other.buy("basic")
    event("c", customer=other.customer)
    paid_unheard(payer)
    calls()
    found = replays.outlook(deliveries.ended())
    # Those of whom most was given up come first.
    assert [one.customer for one in found.foreseen] == [payer.customer]
    assert (found.left_out, len(calls()) <= 6) == (1, True)


def test_who_is_nobodys_and_what_names_nobody_is_told(payer: Payer, calls: Callable[[], list[str]]) -> None:
    calls()
    event("a", "unmatched", customer="cus_of_nobody")
    event("b", type="charge.dispute.created", points_to="ch_1", next_attempt_at=datetime.now(UTC))
    of_nothing, of_nobody = replays.outlook(deliveries.ended()).foreseen
    assert "by ch_1." in of_nothing.sentence
    assert "No workspace has this customer" in of_nobody.sentence
    assert calls() == []
