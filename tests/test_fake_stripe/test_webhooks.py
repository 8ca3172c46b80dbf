"""Events on their way: signed, held, dropped, doubled, reordered, and sent again until they are taken."""

import threading

import pytest
import stripe

from tests.fake_stripe.running import StandIn
from tests.test_fake_stripe.conftest import SECRET, Receiver, Shop, dict_of


def test_a_delivery_is_signed_and_has_the_event(client: stripe.StripeClient, receiver: Receiver) -> None:
    customer = client.v1.customers.create({"email": "a@example.com"})
    event = receiver.next()
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert event.api_version == "2026-05-27.dahlia"
    assert customer.last_response is not None
    assert event["request"].id == customer.last_response.request_id


def test_another_secret_does_not_prove_it(client: stripe.StripeClient, receiver: Receiver) -> None:
    client.v1.customers.create()
    payload, signature = receiver.received.get(timeout=10)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(payload, signature, SECRET + "x")


def test_anything_but_2xx_is_sent_again(client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn) -> None:
    receiver.answers.put(500)
    receiver.answers.put(302)
    client.v1.customers.create()
    first = receiver.next()
    for _ in range(2):
        stand_in.control("POST", "webhooks/settle")
        stand_in.advance(seconds=5)
        assert receiver.next().id == first.id
    stand_in.control("POST", "webhooks/settle")
    delivery = stand_in.control("GET", "webhooks")["deliveries"][0]
    assert (delivery["state"], delivery["answers"]) == ("delivered", ["500", "302", "200"])
    assert client.v1.events.retrieve(first.id).pending_webhooks == 0


def test_a_dead_endpoint_is_given_up_after_three_days(
    client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn
) -> None:
    for _ in range(50):
        receiver.answers.put(503)
    client.v1.customers.create()
    for _ in range(14):
        stand_in.control("POST", "webhooks/settle")
        stand_in.advance(days=1)
    stand_in.control("POST", "webhooks/settle")
    assert stand_in.control("GET", "webhooks")["deliveries"][0]["state"] == "given_up"


def test_held_events_are_released_in_the_order_asked_for(
    client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn
) -> None:
    stand_in.control("POST", "webhooks", mode="hold")
    made = [client.v1.customers.create().id for _ in range(4)]
    stand_in.control("POST", "webhooks/settle")
    assert receiver.received.empty()
    assert stand_in.control("POST", "webhooks/release", order="reversed", copies=2) == {"released": 8}
    arrived = [receiver.next().data.object["id"] for _ in range(8)]
    assert arrived == [id for id in reversed(made) for _ in range(2)]


def test_several_are_sent_at_once_where_control_says_so(
    client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn
) -> None:
    stand_in.control("POST", "webhooks", mode="hold")
    for _ in range(3):
        client.v1.customers.create()
    receiver.gate = threading.Barrier(3)
    try:
        stand_in.control("POST", "webhooks/release", at_once=3)
        assert stand_in.control("POST", "webhooks/settle") == {"settled": True}
    finally:
        receiver.gate = None
    states = {(one["state"], one["attempts"]) for one in stand_in.control("GET", "webhooks")["deliveries"]}
    assert states == {("delivered", 1)}


def test_a_shuffle_is_the_same_for_the_same_seed(
    client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn
) -> None:
    orders = []
    for _ in range(2):
        stand_in.control("POST", "webhooks", mode="hold")
        made = [client.v1.customers.create().id for _ in range(6)]
        stand_in.control("POST", "webhooks/release", order="shuffled", seed=7)
        orders.append([made.index(receiver.next().data.object["id"]) for _ in range(6)])
        stand_in.control("POST", "reset")
    assert orders[0] == orders[1] != list(range(6))


def test_dropped_and_doubled(client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn) -> None:
    stand_in.control("POST", "webhooks", mode="drop")
    client.v1.customers.create()
    stand_in.control("POST", "webhooks", mode="duplicate")
    twice = client.v1.customers.create()
    assert [receiver.next().data.object["id"] for _ in range(2)] == [twice.id, twice.id]
    stand_in.control("POST", "webhooks/settle")
    assert receiver.received.empty()
    # What was dropped is still there to be caught up with, and can be asked for.
    created = client.v1.events.list({"type": "customer.created"}).data
    assert len(created) == 2


def test_a_long_journey_delivers_what_happened_on_the_way_in_order(shop: Shop, receiver: Receiver) -> None:
    shop.card()
    shop.subscribe()
    shop.stand_in.control("POST", "webhooks/settle")
    receiver.forget()
    shop.stand_in.advance(days=100)
    shop.stand_in.control("POST", "webhooks/settle")
    arrived = [receiver.next() for _ in range(receiver.received.qsize())]
    assert [event.type for event in arrived].count("invoice.paid") == 3
    assert [event.created for event in arrived] == sorted(event.created for event in arrived)
    assert shop.event_types().count("invoice.paid") == 1


def test_what_an_update_changed_is_known_though_the_event_before_is_forgotten(shop: Shop, receiver: Receiver) -> None:
    shop.client.v1.customers.update(shop.customer, {"name": "Alice A."})
    # One that is not delivered yet would be kept.
    shop.stand_in.control("POST", "webhooks/settle")
    shop.stand_in.advance(days=40)
    assert shop.event_types() == []
    shop.client.v1.customers.update(shop.customer, {"name": "Alice A."})
    assert shop.event_types() == []
    shop.client.v1.customers.update(shop.customer, {"name": "Alice B."})
    (event,) = shop.client.v1.events.list().data
    assert dict_of(event.data.previous_attributes) == {"name": "Alice A."}


def test_an_event_can_be_asked_for_again(client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn) -> None:
    client.v1.customers.create()
    event = receiver.next()
    client.raw_request("post", f"/v1/events/{event.id}/retry")
    assert receiver.next().id == event.id


def test_an_endpoint_gets_what_it_is_enabled_for(
    client: stripe.StripeClient, receiver: Receiver, stand_in: StandIn
) -> None:
    endpoint = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["product.created"]})
    assert endpoint.secret is not None
    assert endpoint.secret.startswith("whsec_")
    assert not hasattr(client.v1.webhook_endpoints.retrieve(endpoint.id), "secret")
    client.v1.products.create({"name": "Pro"})
    stand_in.control("POST", "webhooks/settle")
    payloads = [receiver.received.get(timeout=10) for _ in range(2)]
    by_own_secret = []
    for payload, signature in payloads:
        try:
            stripe.Webhook.construct_event(payload, signature, endpoint.secret)
        except stripe.SignatureVerificationError:
            continue
        by_own_secret.append(payload)
    assert len(by_own_secret) == 1
    client.v1.webhook_endpoints.delete(endpoint.id)
    client.v1.products.create({"name": "Basic"})
    stand_in.control("POST", "webhooks/settle")
    assert receiver.received.qsize() == 1
