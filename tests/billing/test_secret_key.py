"""The secret key is in the environment and in no table, whichever way dj-stripe takes to it."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.core import serializers
from django.db import connection
from djstripe.models import Account, APIKey, Customer

from billing.secret_key import fingerprint
from tests.fake_stripe.running import API_KEY, StandIn

pytestmark = pytest.mark.django_db


def everything_stored() -> str:
    """All rows of all tables, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = [name for (name,) in cursor.fetchall()]
        assert "djstripe_apikey" in tables
        found: list[str] = []
        for table in tables:
            cursor.execute(f'SELECT row::text FROM "{table}" AS row')  # noqa: S608  # a name from the catalogue
            found += [text for (text,) in cursor.fetchall()]
    return "\n".join(found)


def test_a_sync_stores_no_key_and_asks_once_whose_it_is(
    stripe_client: stripe.StripeClient, stripe_calls: Callable[[], list[str]]
) -> None:
    customer = stripe_client.v1.customers.create({"email": "alice@example.com"})
    Customer.sync_from_stripe_data(customer, api_key=API_KEY)
    row = APIKey.objects.get()
    assert row.djstripe_owner_account == Account.objects.get()
    stored = everything_stored()
    assert (customer.id in stored, row.secret in stored, API_KEY in stored) == (True, True, False)
    asked = stripe_calls().count("GET /v1/account")

    changed = stripe_client.v1.customers.update(customer.id, {"name": "Alice"})
    Customer.sync_from_stripe_data(changed, api_key=API_KEY)
    assert (APIKey.objects.count(), stripe_calls().count("GET /v1/account")) == (1, asked)
    assert API_KEY not in everything_stored()


def test_every_write_stores_the_fingerprint_and_every_lookup_finds_it(stripe_stand_in: StandIn) -> None:
    row, created = APIKey.objects.get_or_create_by_api_key(API_KEY)
    assert (created, row.type, row.livemode, row.secret) == (True, "secret", False, API_KEY)
    row.name = "Edited"
    row.save()
    row.refresh_account()
    again, created = APIKey.objects.get_or_create_by_api_key(API_KEY)
    assert (created, again.pk, again.name) == (False, row.pk, "Edited")
    stored = APIKey.objects.get(secret=API_KEY)
    stored.full_clean(exclude=["stripe_data"])
    stored.save()
    APIKey.objects.filter(secret__in=[API_KEY]).update(secret=API_KEY)
    APIKey.objects.bulk_update([row], ["secret"])
    assert APIKey.objects.get().secret == fingerprint(API_KEY) != API_KEY
    assert API_KEY not in everything_stored() + serializers.serialize("json", APIKey.objects.all())


def test_a_row_that_never_learned_its_account_asks_with_the_key_that_was_brought(stripe_stand_in: StandIn) -> None:
    APIKey.objects.create(secret=API_KEY, type="secret", livemode=False)
    account = Account.get_or_retrieve_for_api_key(API_KEY)
    assert account is not None
    assert APIKey.objects.get().djstripe_owner_account == account


@pytest.mark.parametrize("prefix", ["sk_test_", "sk_live_", "rk_live_"])
def test_a_fingerprint_keeps_the_prefix_and_is_its_own(settings: Any, prefix: str) -> None:
    key = prefix + "a" * 24
    mark = fingerprint(key)
    assert mark.startswith(prefix)
    assert "a" * 24 not in mark
    assert (fingerprint(mark), fingerprint(key), fingerprint("not a key"), fingerprint(None)) == (
        mark,
        mark,
        "not a key",
        None,
    )
    assert fingerprint(prefix + "b" * 24) != mark
    settings.SECRET_KEY = "another-secret-key-that-is-as-long-as-the-first-one"
    assert fingerprint(key) != mark
