"""Events of every type that Stripe must send, as they were sent: `python -m tests.billing.stripe.golden` records them.

Each scene is played at a stand-in of its own, and of each type that it is played for its last event is
kept, in golden_events.jsonl. Nothing there is written by hand; a test sees that a new recording looks the same.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import stripe

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.running import API_KEY, StandIn, running
from tests.test_fake_stripe.conftest import Shop, client_of

FILE: Final = Path(__file__).parent / "golden_events.jsonl"
FAILS = "pm_card_chargeCustomerFail"

type Event = dict[str, Any]
type Scene = Callable[[Shop], None]


def recorded() -> dict[str, Event]:
    """By type, from the file."""
    events = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return {event["type"]: event for event in events}


def record(stand_in: StandIn) -> dict[str, Event]:
    """By type, anew. The stand-in ends as it began: empty."""
    found: dict[str, Event] = {}
    for scene, types in SCENES.items():
        stand_in.control("POST", "reset")
        shop = open_shop(stand_in)
        scene(shop)
        played = {event["type"]: event for event in events_of(shop.client)}
        assert played.keys() >= set(types), (scene.__name__, set(types) - played.keys())
        found |= {type: played[type] for type in types}
    stand_in.control("POST", "reset")
    return found


def open_shop(stand_in: StandIn) -> Shop:
    client = client_of(stand_in)

    def price(name: str, amount: int) -> str:
        product: Any = {"name": name}
        monthly: Any = {"interval": "month"}
        return client.v1.prices.create(
            {"currency": "usd", "unit_amount": amount, "product_data": product, "recurring": monthly}
        ).id

    customer = client.v1.customers.create({"email": "ann@example.com", "name": "Ann"}).id
    return Shop(client, stand_in, basic=price("Basic", 1900), pro=price("Pro", 4900), pro_yearly="", customer=customer)


def events_of(client: stripe.StripeClient) -> list[Event]:
    """As they are posted, oldest first."""
    return [json.loads(str(event)) for event in reversed(client.v1.events.list({"limit": 100}).data)]


# What is played.


def a_price_and_a_product_change(shop: Shop) -> None:
    # Later than they were made by more than the fraction of a second, so that it is told.
    shop.stand_in.advance(seconds=2)
    product = str(shop.client.v1.prices.update(shop.basic, {"nickname": "Small"}).product)
    shop.client.v1.products.update(product, {"description": "For one"})


def a_customer_changes_and_is_deleted(shop: Shop) -> None:
    shop.client.v1.customers.update(shop.customer, {"name": "Ann B."})
    shop.client.v1.customers.delete(shop.customer)


def a_card_is_renewed_and_taken_away(shop: Shop) -> None:
    card = shop.card()
    shop.stand_in.control("POST", f"payment_methods/{card}/update_automatically", last4="4321")
    shop.client.v1.payment_methods.detach(card)


def a_purchase(shop: Shop) -> None:
    shop.stand_in.pay(shop.checkout().id)


def a_checkout_is_left(shop: Shop) -> None:
    shop.client.v1.checkout.sessions.expire(shop.checkout().id)


def a_payment_by_debit_comes(shop: Shop, outcome: str = "succeeded") -> None:
    session = shop.checkout().id
    shop.stand_in.pay(session, is_delayed=True)
    shop.stand_in.control("POST", f"checkout/{session}/settle", outcome=outcome)


def a_payment_by_debit_fails(shop: Shop) -> None:
    a_payment_by_debit_comes(shop, "failed")


def a_subscription_is_changed_and_ended(shop: Shop) -> None:
    shop.card()
    id = shop.subscribe().id
    shop.client.v1.subscriptions.update(id, {"cancel_at_period_end": True})
    shop.client.v1.subscriptions.cancel(id)


def a_trial_ends_without_a_card_and_is_resumed(shop: Shop) -> None:
    pause = {"end_behavior": {"missing_payment_method": "pause"}}
    id = shop.subscribe(trial_period_days=14, trial_settings=pause).id
    shop.stand_in.advance(days=15)
    shop.card()
    shop.client.v1.subscriptions.resume(id)


def an_upgrade_is_paid_later(shop: Shop) -> None:
    upgrade_in_vain(shop)
    shop.client.v1.invoices.pay(newest_invoice(shop), {"payment_method": shop.card()})


def an_upgrade_is_not_paid_in_time(shop: Shop) -> None:
    upgrade_in_vain(shop)
    shop.stand_in.advance(hours=24)


def a_change_is_scheduled_and_released(shop: Shop) -> None:
    id = schedule(shop)
    shop.client.v1.subscription_schedules.release(id)


def what_had_a_schedule_is_cancelled(shop: Shop) -> None:
    shop.client.v1.subscription_schedules.cancel(schedule(shop))


def a_schedule_ends_the_subscription(shop: Shop) -> None:
    id = schedule(shop)
    shop.client.v1.subscription_schedules.update(id, {"end_behavior": "cancel"})
    shop.stand_in.advance(days=70)


def what_had_a_schedule_is_never_paid(shop: Shop) -> None:
    shop.stand_in.control("POST", "dunning", end="canceled", retry_days=[])
    schedule(shop)
    shop.card(FAILS)
    shop.stand_in.advance(days=32)


def a_renewal_is_not_paid_and_given_up(shop: Shop) -> None:
    shop.card()
    shop.subscribe()
    shop.card(FAILS)
    shop.stand_in.advance(days=32)
    shop.client.v1.invoices.mark_uncollectible(newest_invoice(shop))


def a_first_payment_asks_for_authentication_and_is_voided(shop: Shop) -> None:
    shop.card("pm_card_authenticationRequired")
    shop.subscribe()
    shop.client.v1.invoices.void_invoice(newest_invoice(shop))


def a_renewal_cannot_be_finalized(shop: Shop) -> None:
    shop.card()
    end = shop.subscribe()["items"].data[0].current_period_end
    now = shop.stand_in.control("GET", "clock")["now"]
    shop.stand_in.advance(seconds=end - now + 60)
    shop.stand_in.control("POST", f"invoices/{newest_invoice(shop)}/fail_finalization")


def an_invoice_that_was_sent_is_overdue(shop: Shop) -> None:
    shop.subscribe(collection_method="send_invoice", days_until_due=7)
    shop.stand_in.advance(days=9)


def a_payment_is_given_back_and_comes_back(shop: Shop) -> None:
    refund = shop.client.v1.refunds.create({"charge": paid(shop), "amount": 500})
    shop.stand_in.control("POST", f"refunds/{refund.id}/fail")
    shop.client.v1.credit_notes.create({"invoice": newest_invoice(shop), "amount": 400, "refund_amount": 400})


def a_payment_is_disputed_and_the_dispute_won(shop: Shop) -> None:
    charge = paid(shop)
    dispute = shop.stand_in.control("POST", "disputes", charge=charge, outcome="needs_response")
    shop.client.v1.disputes.update(dispute["id"], {"evidence": {"customer_name": "Ann"}, "submit": True})
    shop.stand_in.control("POST", "disputes", charge=charge, outcome="won")


def a_bank_warns_of_fraud(shop: Shop) -> None:
    shop.stand_in.control("POST", "disputes", charge=paid(shop), outcome="fraud_warning")


# Parts of scenes.


def paid(shop: Shop) -> str:
    """The charge of a purchase."""
    shop.card()
    shop.subscribe()
    return shop.client.v1.charges.list({"customer": shop.customer}).data[0].id


def newest_invoice(shop: Shop) -> str:
    return str(shop.client.v1.invoices.list({"customer": shop.customer}).data[0].id)


def upgrade_in_vain(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe()
    shop.card(FAILS)
    shop.upgrade(subscription)


def schedule(shop: Shop) -> str:
    """PRO now, BASIC at the period's end."""
    shop.card()
    made = shop.client.v1.subscription_schedules.create({"from_subscription": shop.subscribe(shop.pro).id})
    now, then = ({"items": [{"price": price, "quantity": 1}]} for price in (shop.pro, shop.basic))
    span = {"start_date": made.phases[0].start_date, "end_date": made.phases[0].end_date}
    phases: Any = [{**now, **span}, {**then, "duration": {"interval": "month", "interval_count": 1}}]
    shop.client.v1.subscription_schedules.update(made.id, {"phases": phases})
    return made.id


def under(prefix: str, names: Iterable[str]) -> Iterator[str]:
    return (f"{prefix}.{name}" for name in names)


SCENES: Final[dict[Scene, list[str]]] = {
    a_price_and_a_product_change: ["price.updated", "product.updated"],
    a_customer_changes_and_is_deleted: [*under("customer", ("updated", "deleted"))],
    a_card_is_renewed_and_taken_away: [*under("payment_method", ("attached", "automatically_updated", "detached"))],
    a_purchase: [
        "checkout.session.completed",
        "customer.subscription.created",
        *under("invoice", ("finalized", "paid", "payment_succeeded")),
    ],
    a_checkout_is_left: ["checkout.session.expired"],
    a_payment_by_debit_comes: ["checkout.session.async_payment_succeeded"],
    a_payment_by_debit_fails: ["checkout.session.async_payment_failed"],
    a_subscription_is_changed_and_ended: [*under("customer.subscription", ("updated", "deleted"))],
    a_trial_ends_without_a_card_and_is_resumed: [
        *under("customer.subscription", ("trial_will_end", "paused", "resumed"))
    ],
    an_upgrade_is_paid_later: ["customer.subscription.pending_update_applied"],
    an_upgrade_is_not_paid_in_time: ["customer.subscription.pending_update_expired"],
    a_change_is_scheduled_and_released: [*under("subscription_schedule", ("updated", "released"))],
    what_had_a_schedule_is_cancelled: ["subscription_schedule.canceled"],
    a_schedule_ends_the_subscription: ["subscription_schedule.completed"],
    what_had_a_schedule_is_never_paid: ["subscription_schedule.aborted"],
    a_renewal_is_not_paid_and_given_up: [
        *under("invoice", ("upcoming", "payment_failed", "marked_uncollectible")),
    ],
    a_first_payment_asks_for_authentication_and_is_voided: [*under("invoice", ("payment_action_required", "voided"))],
    a_renewal_cannot_be_finalized: ["invoice.finalization_failed"],
    an_invoice_that_was_sent_is_overdue: ["invoice.overdue"],
    a_payment_is_given_back_and_comes_back: [
        "charge.refunded",
        *under("refund", ("created", "updated", "failed")),
        "credit_note.created",
    ],
    a_payment_is_disputed_and_the_dispute_won: [
        *under("charge.dispute", ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated"))
    ],
    a_bank_warns_of_fraud: ["radar.early_fraud_warning.created"],
}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), "--check", f"--api-key={API_KEY}") as stand_in,
    ):
        found = record(stand_in)
        assert stand_in.violations() == [], stand_in.violations()
    lines = [json.dumps(found[type], sort_keys=True, separators=(",", ":")) for type in sorted(found)]
    FILE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(f"{len(lines)} events of Stripe's version {API_VERSION} are in {FILE.name}.")


if __name__ == "__main__":
    main()
