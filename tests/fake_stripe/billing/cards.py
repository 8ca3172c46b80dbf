"""The test cards: what each looks like, and what happens when it is attached or charged."""

import re
from dataclasses import dataclass

from tests.fake_stripe.errors import StripeError, card_error, invalid


@dataclass(frozen=True)
class Card:
    """`refusal` is a decline code. `authentication` is asked for never, until the card is set up, or always."""

    number: str
    brand: str
    names: tuple[str, ...] = ()
    refusal: str | None = None
    is_attachable: bool = True
    authentication: str | None = None  # "unless_set_up", "always"
    is_disputed: bool = False
    is_suspicious: bool = False
    refund: str | None = None  # "succeeds_later", "fails_later"


CARDS = (
    Card("4242424242424242", "visa", ("pm_card_visa", "tok_visa")),
    Card("5555555555554444", "mastercard", ("pm_card_mastercard",)),
    Card("378282246310005", "amex", ("pm_card_amex",)),
    Card("4000000000000002", "visa", ("pm_card_chargeDeclined", "pm_card_visa_declined"), "generic_decline", False),
    Card("4000000000009995", "visa", ("pm_card_chargeDeclinedInsufficientFunds",), "insufficient_funds", False),
    Card("4000000000000069", "visa", ("pm_card_chargeDeclinedExpiredCard",), "expired_card", False),
    Card("4000000000000127", "visa", ("pm_card_chargeDeclinedIncorrectCvc",), "incorrect_cvc", False),
    Card("4000000000000341", "visa", ("pm_card_chargeCustomerFail",), "generic_decline"),
    Card("4000002500003155", "visa", ("pm_card_authenticationRequiredOnSetup",), authentication="unless_set_up"),
    Card("4000002760003184", "visa", ("pm_card_authenticationRequired",), authentication="always"),
    Card("4000000000000259", "visa", ("pm_card_createDispute",), is_disputed=True),
    Card("4000000000005423", "visa", ("pm_card_createEarlyFraudWarning",), is_suspicious=True),
    Card("4000000000007726", "visa", ("pm_card_pendingRefund",), refund="succeeds_later"),
    Card("4000000000005126", "visa", ("pm_card_refundFail",), refund="fails_later"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {name: card for card in CARDS for name in card.names}

#: By decline code: the error's code and the sentence for the buyer.
REFUSALS = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
}


def by_number(number: str) -> Card:
    """Only test cards are taken, in whatever groups the digits come."""
    digits = re.sub(r"[\s-]", "", number)
    card = BY_NUMBER.get(digits)
    if card is not None:
        return card
    if not re.fullmatch(r"\d{12,19}", digits) or not passes_luhn(digits):
        raise StripeError(402, "Your card number is incorrect.", type="card_error", code="incorrect_number")
    raise card_error(
        "Your card was declined. This stand-in takes test cards only.",
        code="card_declined",
        decline_code="test_mode_live_card",
    )


def by_number_or_name(told: str) -> Card:
    return by_name(told) if told.startswith("pm_") else by_number(told)


def by_name(name: str) -> Card:
    card = BY_NAME.get(name)
    if card is None:
        raise invalid(f"No such PaymentMethod: '{name}'", param="payment_method", code="resource_missing")
    return card


def refusal(decline_code: str) -> tuple[str, str]:
    """The error's code and its message."""
    return REFUSALS[decline_code]


def passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if position % 2 else 1) for position, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
