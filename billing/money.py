"""Amounts in words: minor units and an ISO currency, in the currency's own exponent."""

from decimal import Decimal

from babel.core import Locale
from babel.numbers import format_currency
from django.utils.translation import get_language, to_locale
from djstripe.settings import djstripe_settings

# Stripe's currencies whose minor unit is a thousandth. See Stripe, currencies: three-decimal.
THOUSANDTHS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def amount_in_words(amount: int, currency: str) -> str:
    """`amount` in minor units: 4900 and "usd" are "49.00 USD"."""
    return f"{_major(amount, currency):,.{exponent_of(currency)}f} {currency.upper()}"


def amount_for_viewer(amount: int, currency: str, *, is_short: bool = False) -> str:
    """As the viewer's language writes it: 4900 and "usd" are "$49.00", in German "49,00 $".

    `is_short` leaves out a fraction that is nothing: "$49".
    """
    locale = Locale.parse(to_locale(get_language() or "en"))
    value, digits = _major(amount, currency), exponent_of(currency)
    if is_short and value == value.to_integral_value():
        digits = 0
    pattern = locale.currency_formats["standard"].pattern.replace(".00", f".{'0' * digits}" if digits else "")
    return format_currency(value, currency.upper(), pattern, locale=locale, currency_digits=False)


def _major(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-exponent_of(currency))


def exponent_of(currency: str) -> int:
    # Stripe's exponents, which are not everywhere those of ISO 4217.
    return 0 if currency in djstripe_settings.ZERO_DECIMAL_CURRENCIES else 3 if currency in THOUSANDTHS else 2
