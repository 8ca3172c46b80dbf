"""Amounts in words: minor units and an ISO currency, in the currency's own exponent."""

from decimal import Decimal

from djstripe.settings import djstripe_settings

# Stripe's currencies whose minor unit is a thousandth. See Stripe, currencies: three-decimal.
THOUSANDTHS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def amount_in_words(amount: int, currency: str) -> str:
    """`amount` in minor units: 4900 and "usd" are "49.00 USD"."""
    exponent = 0 if currency in djstripe_settings.ZERO_DECIMAL_CURRENCIES else 3 if currency in THOUSANDTHS else 2
    return f"{Decimal(amount).scaleb(-exponent):,.{exponent}f} {currency.upper()}"
