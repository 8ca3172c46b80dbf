"""What Stripe sent, as rows for a reader: instants as instants, amounts as amounts, and what is empty in one line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from billing.money import amount_in_words

# Numbers between are seconds since 1970, of 2001 to 2096, where no name says that they are money.
INSTANTS: Final = range(1_000_000_000, 4_000_000_000)
AMOUNTS: Final = ("amount", "total", "balance", "price")
# A text that is longer is folded.
LONG: Final = 120


@dataclass(frozen=True)
class Row:
    """A value, or the rows within it. `instant` is told in the reader's zone."""

    name: str
    text: str = ""
    instant: datetime | None = None
    rows: tuple["Row", ...] = ()

    @property
    def is_long(self) -> bool:
        return len(self.text) > LONG


def rows_of(value: Mapping[str, Any], *, currency: str = "") -> list[Row]:
    """`currency` is of what this is part of, where it names none itself."""
    named = value.get("currency")
    currency = named if isinstance(named, str) else currency
    empty = [name for name, inner in value.items() if inner in (None, "", [], {})]
    rows = [_row(name, inner, currency) for name, inner in value.items() if name not in empty]
    return [*rows, Row("Empty", ", ".join(empty))] if empty else rows


def _row(name: str, value: Any, currency: str) -> Row:
    match value:
        case bool():
            return Row(name, "yes" if value else "no")
        case int() if currency and any(word in name for word in AMOUNTS):
            return Row(name, amount_in_words(value, currency))
        case str() if currency and name.endswith("amount_decimal") and value.isdecimal():
            return Row(name, amount_in_words(int(value), currency))
        case int() if value in INSTANTS:
            return Row(name, instant=datetime.fromtimestamp(value, UTC))
        case dict():
            listed = value.get("data") if value.get("object") == "list" else None
            inner = _numbered(listed, currency) if isinstance(listed, list) else rows_of(value, currency=currency)
            return Row(name, text=_called(value), rows=tuple(inner))
        case list():
            if all(isinstance(one, str) for one in value):
                return Row(name, ", ".join(value))
            return Row(name, rows=tuple(_numbered(value, currency)))
        case _:
            return Row(name, str(value))


def _numbered(values: Iterable[Any], currency: str) -> Iterator[Row]:
    for number, one in enumerate(values, start=1):
        yield _row(str(number), one, currency)


def _called(value: Mapping[str, Any]) -> str:
    """By what somebody knows it while it is folded."""
    return str(value.get("id") or value.get("description") or "")
