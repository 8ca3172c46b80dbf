"""Acts on one workspace's plan go one after another, and a key answers once, however many ask at once."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from accounts import turns
from accounts.models import IdempotentRequest
from tests.billing.stripe.payer import Payer
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

KEY = {"Idempotency-Key": "k-1"}


def test_one_key_twice_at_once_is_one_checkout(payer: Payer) -> None:
    def ask() -> Any:
        return payer.post("create-checkout-session", {"plan": "pro"}, **KEY)

    answers = at_once([ask] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.has_header("Idempotent-Replayed") for answer in answers) == 2
    assert len(payer.client.v1.checkout.sessions.list({"customer": payer.customer}).data) == 1


def test_upgrades_at_once_are_charged_once(subscriber: Payer) -> None:
    answers = at_once([lambda: subscriber.post("change-plan", {"plan": "pro"})] * 3)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"no_change"}
    assert len(subscriber.invoices) == 2
    assert subscriber.sees()["plan"] == "pro"


def test_customers_at_once_are_one(payer: Payer) -> None:
    answers = at_once([lambda: payer.post("create-portal-session")] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(payer.client.v1.customers.list().data) == 1


def test_a_key_whose_request_died_is_taken_over(payer: Payer) -> None:
    first = payer.post("create-checkout-session", {"plan": "pro"}, **KEY)
    # As a process leaves it that is killed before it answers.
    IdempotentRequest.objects.update(status=None, body=None)
    again = payer.post("create-checkout-session", {"plan": "pro"}, **KEY)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in again
    assert payer.post("create-checkout-session", {"plan": "pro"}, **KEY)["Idempotent-Replayed"] == "true"


def test_who_waits_too_long_is_told_and_nothing_happens(subscriber: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT", timedelta(seconds=1))
    name = f"billing:{subscriber.person.workspace.pk}"
    connection.ensure_connection()
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
        answer = subscriber.post("change-plan", {"plan": "pro"})
        assert (answer.status_code, answer.json()["code"]) == (409, "billing_busy")
        assert int(answer["Retry-After"]) > 0
        # Runs never wait for it.
        subscriber.run()
    assert len(subscriber.invoices) == 1
    assert subscriber.post("change-plan", {"plan": "pro"}).status_code == 200
