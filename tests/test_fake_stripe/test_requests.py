"""What holds for every request: forms, errors, keys, cursors, expansion, and the check against Stripe's description."""

import json
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.fake_stripe.api import Api, Request
from tests.fake_stripe.description import Checker
from tests.fake_stripe.faults import Faults
from tests.fake_stripe.running import API_KEY, Refused, StandIn
from tests.fake_stripe.world import Settings, World
from tests.test_fake_stripe.conftest import Shop, client_of, dict_of


def raw(stand_in: StandIn, method: str, path: str, form: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    given = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    status, content = stand_in.ask(method, path, form.encode(), given | headers)
    return status, json.loads(content)


def untyped(**params: object) -> Any:
    """What the SDK's types would not let through."""
    return params


def forget_violations(stand_in: StandIn) -> list[str]:
    found = stand_in.violations()
    stand_in.control("DELETE", "violations")
    return found


def test_an_unknown_parameter_is_refused_and_nothing_is_made(client: stripe.StripeClient, stand_in: StandIn) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.create(untyped(email="a@example.com", colour="red"))
    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "colour")
    assert client.v1.customers.list().data == []
    assert any("colour" in each for each in forget_violations(stand_in))


def test_a_nested_unknown_parameter_is_refused(client: stripe.StripeClient, stand_in: StandIn) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        client.v1.customers.create(untyped(address={"planet": "Mars"}))
    assert forget_violations(stand_in) != []


def test_a_parameter_that_stripe_has_and_the_stand_in_ignores_is_refused_too(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.create({"cash_balance": {"settings": {"reconciliation_mode": "manual"}}})
    assert refused.value.code == "parameter_unknown"
    assert client.v1.customers.list().data == []


def test_what_is_missing_is_named_in_stripes_words(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.customers.retrieve("cus_nobody")
    assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")
    assert gone.value.user_message == "No such customer: 'cus_nobody'"
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        client.v1.subscriptions.create({"customer": "cus_nobody", "items": [{"price": "price_none"}]})
    assert (wrong.value.http_status, wrong.value.param) == (400, "customer")


def test_a_wrong_key_and_an_unknown_path_are_refused(stand_in: StandIn) -> None:
    assert raw(stand_in, "GET", "/v1/account", Authorization="Bearer sk_test_other")[0] == 401
    assert raw(stand_in, "GET", "/v1/nothing_of_the_kind")[0] == 404
    assert "no such endpoint" in forget_violations(stand_in)[0]


def test_every_answer_has_a_request_id(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create()
    assert made.last_response is not None
    assert str(made.last_response.request_id).startswith("req_")


def test_the_same_key_gives_the_same_answer_and_one_customer(client: stripe.StripeClient) -> None:
    first = client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "op-1"})
    again = client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "op-1"})
    assert first.id == again.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(client.v1.customers.list().data) == 1


def test_a_key_with_other_parameters_is_refused(client: stripe.StripeClient) -> None:
    client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "op-1"})
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.customers.create({"email": "b@example.com"}, {"idempotency_key": "op-1"})
    assert refused.value.http_status == 400


def test_a_key_is_forgotten_after_a_day(client: stripe.StripeClient, stand_in: StandIn) -> None:
    first = client.v1.customers.create({}, {"idempotency_key": "op-1"})
    stand_in.advance(hours=24, seconds=1)
    assert client.v1.customers.create({}, {"idempotency_key": "op-1"}).id != first.id


def test_a_key_whose_first_request_is_under_way_is_refused(tmp_path: Path) -> None:
    world = World(Settings(tmp_path, base_url="http://127.0.0.1"), Checker())
    api = Api(world, Faults())
    headers = {"authorization": f"Bearer {API_KEY}", "idempotency-key": "op-1"}
    requests = [Request("POST", "/v1/customers", "", headers) for _ in range(3)]
    with ThreadPoolExecutor(2) as pool:
        with world.lock:
            answers = [pool.submit(api.answer, request) for request in requests[:2]]
            (refused,), (waiting,) = wait(answers, timeout=10, return_when=FIRST_COMPLETED)
            assert refused.result().status == 409
            assert refused.result().body["error"]["code"] == "idempotency_key_in_use"
        made = waiting.result(timeout=10)
    assert made.status == 200
    again = api.answer(requests[2])
    assert (again.body["id"], again.headers["Idempotent-Replayed"]) == (made.body["id"], "true")
    world.store.close()


def test_another_account_is_refused(stand_in: StandIn) -> None:
    status, body = raw(stand_in, "GET", "/v1/account", **{"Stripe-Account": "acct_other"})
    assert (status, body["error"]["code"]) == (403, "account_invalid")
    assert raw(stand_in, "GET", "/v1/account", Authorization="Basic a")[0] == 401


def test_control_refuses_what_it_does_not_know_and_names_it(shop: Shop) -> None:
    for path, body, named in (
        ("clock", {"advance": 1, "unit": "days"}, "`unit` is not a member"),
        ("faults", {"status": 500}, "`path` is missing"),
        (f"checkout/{shop.checkout().id}/pay", {"cart": "4242"}, "`cart` is not a member"),
        (f"checkout/{shop.checkout().id}/pay", {}, "`card` is missing"),
    ):
        with pytest.raises(Refused, match=named) as refused:
            shop.stand_in.control("POST", path, **body)
        assert refused.value.status == 400


def test_faults_are_told_by_the_names_that_they_are_given_by(stand_in: StandIn) -> None:
    given = {"path": "POST /v1/refunds", "times": 2, "status": 500, "after": True}
    assert stand_in.control("POST", "faults", **given) == {"faults": [given]}


def test_a_stored_500_is_replayed_and_a_429_is_not(client: stripe.StripeClient, stand_in: StandIn) -> None:
    stand_in.control("POST", "faults", path="POST /v1/customers", status=500)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.customers.create({}, {"idempotency_key": "op-1"})
    assert client.v1.customers.create({}, {"idempotency_key": "op-2"}).id
    stand_in.control("POST", "faults", path="POST /v1/customers", status=429)
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.create({}, {"idempotency_key": "op-3"})
    assert client.v1.customers.create({}, {"idempotency_key": "op-3"}).id
    assert len(client.v1.customers.list().data) == 2


def test_a_declined_card_is_replayed_under_its_key(shop: Shop) -> None:
    shop.card("pm_card_chargeCustomerFail")
    codes = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            shop.client.v1.subscriptions.create(
                {
                    "customer": shop.customer,
                    "items": [{"price": shop.basic}],
                    "payment_behavior": "error_if_incomplete",
                },
                {"idempotency_key": "op-1"},
            )
        codes.append(
            (declined.value.code, declined.value.headers and declined.value.headers.get("Idempotent-Replayed"))
        )
    assert codes == [("card_declined", None), ("card_declined", "true")]
    assert shop.client.v1.subscriptions.list({"status": "all"}).data == []


def test_an_answer_that_is_lost_has_had_its_effect(client: stripe.StripeClient, stand_in: StandIn) -> None:
    stand_in.control("POST", "faults", path="POST /v1/customers", timeout=0.1, after=True)
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({}, {"idempotency_key": "op-1"})
    assert len(client.v1.customers.list().data) == 1
    stand_in.control("POST", "faults", path="POST /v1/customers", timeout=0.1)
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({}, {"idempotency_key": "op-2"})
    assert len(client.v1.customers.list().data) == 1
    client.v1.customers.create({}, {"idempotency_key": "op-1"})
    assert len(client.v1.customers.list().data) == 1


def test_lists_go_by_cursor_newest_first(client: stripe.StripeClient) -> None:
    made = [client.v1.customers.create().id for _ in range(5)]
    first = client.v1.customers.list({"limit": 2})
    assert [each.id for each in first.data] == [made[4], made[3]]
    assert first.has_more
    second = client.v1.customers.list({"limit": 2, "starting_after": made[3]})
    assert [each.id for each in second.data] == [made[2], made[1]]
    back = client.v1.customers.list({"limit": 2, "ending_before": made[1]})
    assert [each.id for each in back.data] == [made[3], made[2]]
    assert [each.id for each in client.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_expand_fills_in_what_it_names_and_refuses_what_is_no_object(shop: Shop) -> None:
    shop.card()
    subscription = shop.subscribe(expand=["latest_invoice.payments", "customer"])
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    assert subscription.latest_invoice.payments is not None
    assert subscription.latest_invoice.payments.data[0].status == "paid"
    assert isinstance(subscription.customer, stripe.Customer)
    listed = shop.client.v1.subscriptions.list({"expand": ["data.latest_invoice"]}).data[0]
    assert isinstance(listed.latest_invoice, stripe.Invoice)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.client.v1.subscriptions.retrieve(subscription.id, {"expand": ["status"]})
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        shop.client.v1.subscriptions.retrieve(
            subscription.id, {"expand": ["latest_invoice.charge.customer.default_source.customer"]}
        )
    # Of a list, `data` is the first of them.
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        shop.client.v1.subscriptions.list({"expand": ["data.discounts.source.coupon.applies_to"]})


def test_invoices_are_found_by_what_they_are_of(shop: Shop) -> None:
    shop.card()
    first, second = shop.subscribe(), shop.subscribe(shop.pro)
    shop.stand_in.advance(days=1)
    params: Any = {"customer": shop.customer, "subscription": second.id, "status": "paid", "expand": ["data.payments"]}
    (found,) = shop.client.v1.invoices.list(params).data
    assert found.id == second.latest_invoice
    assert found.payments is not None
    assert str(found.payments.data[0].payment.payment_intent).startswith("pi_")
    later: Any = {"created": {"gt": first.created + 100}}
    assert shop.client.v1.invoices.list(later).data == []
    assert [each.id for each in shop.client.v1.invoices.list({"subscription": first.id}).data] == [first.latest_invoice]


def test_a_list_of_nothing_is_asked_for_in_the_same_words(client: stripe.StripeClient) -> None:
    span: Any = {"created": {"gte": 1}}
    assert client.v1.charges.list(span).data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.charges.list({"starting_after": "ch_nobody"})
    assert (refused.value.code, refused.value.param) == ("resource_missing", "starting_after")


def test_a_card_is_looked_up_by_its_name(client: stripe.StripeClient) -> None:
    found = client.v1.payment_methods.retrieve("pm_card_mastercard")
    assert client.v1.payment_methods.retrieve(found.id).card == found.card


def test_metadata_is_merged_and_emptied_key_by_key(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = client.v1.customers.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert dict_of(changed.metadata) == {"a": "1", "c": "3"}
    assert dict_of(client.v1.customers.update(made.id, {"metadata": ""}).metadata) == {}


def test_another_version_is_a_violation(stand_in: StandIn) -> None:
    assert raw(stand_in, "GET", "/v1/account", **{"Stripe-Version": "2020-08-27"})[0] == 200
    assert forget_violations(stand_in) == ["GET /v1/account: asked in version 2020-08-27"]


def test_the_log_of_requests_has_keys_and_no_card_numbers(client: stripe.StripeClient, stand_in: StandIn) -> None:
    client.v1.payment_methods.create(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2030, "cvc": "123"}},
        {"idempotency_key": "op-1"},
    )
    logged = stand_in.control("GET", "requests")["requests"]
    assert [(each["method"], each["path"], each["status"]) for each in logged] == [("POST", "/v1/payment_methods", 200)]
    assert logged[0]["headers"]["idempotency-key"] == "op-1"
    assert "4242" not in json.dumps(logged)


def test_an_event_is_kept_for_thirty_days(client: stripe.StripeClient, stand_in: StandIn) -> None:
    customer = client.v1.customers.create({"email": "a@example.com"})
    client.v1.customers.update(customer.id, {"email": "b@example.com"})
    updated, created = client.v1.events.list({"types": ["customer.created", "customer.updated"]}).data
    assert dict_of(client.v1.events.retrieve(updated.id).data.previous_attributes) == {"email": "a@example.com"}
    assert created.type == "customer.created"
    stand_in.advance(days=31)
    assert client.v1.events.list().data == []


def test_two_clients_at_once_are_both_answered(stand_in: StandIn) -> None:
    one, other = client_of(stand_in), client_of(stand_in)
    assert one.v1.accounts.retrieve_current().id == other.v1.accounts.retrieve_current().id
