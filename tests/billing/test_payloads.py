"""What Stripe sent, as rows: amounts and instants as a person reads them, and what is empty aside."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.payloads import Row, rows_of

AT = 1_790_000_000
INVOICE = {
    "id": "in_1",
    "currency": "usd",
    "amount_due": 4900,
    "created": AT,
    "paid": False,
    "attempt_count": 2,
    "footer": None,
    "discounts": [],
    "lines": {"object": "list", "data": [{"id": "il_1", "amount": 1900, "proration": True}], "has_more": False},
    "payment_method_types": ["card", "link"],
    "metadata": {},
}


def told(value: Any) -> dict[str, Any]:
    """By name: the text, the instant, or the same of what is within."""
    return {row.name: row.instant or (told_rows(row.rows) if row.rows else row.text) for row in rows_of(value)}


def told_rows(rows: tuple[Row, ...]) -> dict[str, Any]:
    return {row.name: told_rows(row.rows) if row.rows else row.instant or row.text for row in rows}


def test_an_invoice_is_told_in_rows() -> None:
    assert told(INVOICE) == {
        "id": "in_1",
        "currency": "usd",
        "amount_due": "49.00 USD",
        "created": datetime.fromtimestamp(AT, UTC),
        "paid": "no",
        "attempt_count": "2",
        # Of the list's own keys nothing is told, and its lines have the invoice's currency.
        "lines": {"1": {"id": "il_1", "amount": "19.00 USD", "proration": "yes"}},
        "payment_method_types": "card, link",
        "Empty": "footer, discounts, metadata",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"amount": 4900, "currency": "jpy"}, "4,900 JPY"),
        ({"amount": 1_790_000_000, "currency": "usd"}, "17,900,000.00 USD"),
        ({"amount": 4900}, "4900"),
        ({"unit_amount_decimal": "4900", "currency": "usd"}, "49.00 USD"),
        ({"unit_amount_decimal": "0.5", "currency": "usd"}, "0.5"),
        ({"trial_days": 0}, "0"),
        ({"livemode": True}, "yes"),
    ],
)
def test_a_value_is_told_for_what_it_is(value: dict[str, Any], text: str) -> None:
    assert rows_of(value)[0].text == text


def test_what_is_folded_says_what_it_is() -> None:
    (row,) = rows_of({"customer": {"id": "cus_1", "name": "Ann"}})
    assert (row.text, [one.name for one in row.rows]) == ("cus_1", ["id", "name"])


def test_a_long_text_is_folded() -> None:
    assert [row.is_long for row in rows_of({"url": "x" * 121, "id": "x" * 120})] == [True, False]


@pytest.mark.parametrize("value", [{}, {"data": "x"}, {"object": "list", "data": "x"}, {"data": [1, [2, [None]]]}])
def test_whatever_it_is_it_is_told(value: dict[str, Any]) -> None:
    assert len(rows_of({"inner": value})) == 1
