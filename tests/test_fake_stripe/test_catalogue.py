"""Account, products, prices, and the portal's configurations."""

import pytest
import stripe

from tests.test_fake_stripe.conftest import Shop


def test_the_account(client: stripe.StripeClient) -> None:
    account = client.v1.accounts.retrieve_current()
    assert (account.charges_enabled, account.default_currency) == (True, "usd")


def test_a_lookup_key_belongs_to_one_price(shop: Shop) -> None:
    client = shop.client
    client.v1.prices.update(shop.basic, {"lookup_key": "basic_month"})
    found = client.v1.prices.list({"lookup_keys": ["basic_month"], "expand": ["data.product"]}).data
    assert [each.id for each in found] == [shop.basic]
    assert isinstance(found[0].product, stripe.Product)
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        client.v1.prices.update(shop.pro, {"lookup_key": "basic_month"})
    client.v1.prices.update(shop.pro, {"lookup_key": "basic_month", "transfer_lookup_key": True})
    assert client.v1.prices.retrieve(shop.basic).lookup_key is None


def test_an_inactive_price_is_not_sold(shop: Shop) -> None:
    shop.client.v1.prices.update(shop.basic, {"active": False})
    assert shop.basic not in [each.id for each in shop.client.v1.prices.list({"active": True}).data]
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.checkout()


def test_products_with_a_default_price_and_no_features(client: stripe.StripeClient) -> None:
    product = client.v1.products.create(
        {
            "name": "Pro",
            "default_price_data": {"currency": "usd", "unit_amount": 4900, "recurring": {"interval": "month"}},
        }
    )
    assert isinstance(product.default_price, str)
    assert (
        client.v1.prices.retrieve(product.default_price, {"expand": ["tiers", "currency_options"]}).unit_amount == 4900
    )
    assert client.v1.products.features.list(product.id).data == []
    assert client.v1.products.update(product.id, {"name": "Pro+", "active": False}).active is False
    assert client.v1.products.list({"active": True}).data == []


def test_a_configuration_and_a_session_of_the_portal(shop: Shop) -> None:
    configuration = shop.client.v1.billing_portal.configurations.create(
        {
            "features": {
                "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price"],
                    "proration_behavior": "always_invoice",
                    "billing_cycle_anchor": "now",
                    "products": [{"product": shop.products[0], "prices": [shop.basic]}],
                    "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
                },
            }
        }
    )
    assert configuration.is_default is False
    session = shop.client.v1.billing_portal.sessions.create(
        {"customer": shop.customer, "configuration": configuration.id, "return_url": "http://127.0.0.1:8000/"}
    )
    assert session.url == f"{shop.stand_in.url}/p/session/{session.id}"
    listed = shop.client.v1.billing_portal.configurations.list({"is_default": False}).data
    assert [each.id for each in listed] == [configuration.id]
    default = shop.client.v1.billing_portal.sessions.create({"customer": shop.customer})
    assert default.configuration != configuration.id
