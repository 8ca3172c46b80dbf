"""What a subscription at Stripe comes to in a month: after discounts, without tax. Pure: no database, no calls."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Final

#: An interval's amount times this is a month's.
MONTHLY: Final = {
    "month": Fraction(1),
    "year": Fraction(1, 12),
    "week": Fraction(52, 12),
    "day": Fraction(365, 12),
}

type Object = Mapping[str, Any]


class _Line:
    """An item as an invoice would have it, in minor units: what it costs an interval, less what discounts take off."""

    def __init__(self, item: Object) -> None:
        price = item["price"]
        # Of a price in tiers Stripe names no amount, and what is metered is known afterwards only.
        is_known = price["unit_amount_decimal"] is not None and price["recurring"]["usage_type"] == "licensed"
        unit = Decimal(price["unit_amount_decimal"]) if is_known else Decimal()
        self.left = _rounded(unit * item.get("quantity", 1))
        self.product = str(price["product"])
        self.share: Fraction = MONTHLY[price["recurring"]["interval"]] / price["recurring"]["interval_count"]


def monthly_amount(subscription: Object, discounts: Iterable[Object], invoices: Iterable[Object], *, since: int) -> int:
    """Minor units of the subscription's currency, a year's amount by twelfths, rounded half up.

    `discounts` are in full, with their coupons and what these apply to, in the order in which Stripe
    takes them off; `invoices` are the subscription's, the newest first; `since` is when the present period began.
    """
    lines = [_Line(item) for item in subscription["items"]["data"]]
    for discount in discounts:
        if _recurs(discount, since):
            _take_off(discount["source"]["coupon"], lines, subscription["currency"])
    monthly = sum((line.left * line.share for line in lines), Fraction()) * _without_tax(invoices)
    return int(monthly + Fraction(1, 2))


def _recurs(discount: Object, since: int) -> bool:
    """A discount counts for the periods that it makes cheaper; one for a single invoice recurs in none."""
    if discount["source"]["coupon"]["duration"] == "once":
        return False
    return discount["end"] is None or bool(discount["end"] > since)


def _take_off(coupon: Object, lines: Iterable[_Line], currency: str) -> None:
    # Absent, not null, where the coupon is for everything.
    only = coupon.get("applies_to") or {}
    lines = [line for line in lines if line.product in only.get("products", [line.product])]
    if coupon["percent_off"] is not None:
        for line in lines:
            # As Stripe does it: what is taken off is rounded, not what is left.
            line.left -= _rounded(line.left * Decimal(str(coupon["percent_off"])) / 100)
    elif coupon["currency"] == currency:
        rest = int(coupon["amount_off"])
        for line in lines:
            part = min(rest, line.left)
            line.left -= part
            rest -= part


def _without_tax(invoices: Iterable[Object]) -> Fraction:
    """The part of a price that is no tax: all of it, but for prices with the tax in them.

    How much that is depends on where the customer is, and the last invoice says it.
    """
    last = next((invoice for invoice in invoices if (invoice["total_excluding_tax"] or 0) > 0), None)
    if last is None:
        return Fraction(1)
    net = int(last["total_excluding_tax"])
    included = sum(tax["amount"] for tax in last["total_taxes"] or () if tax["tax_behavior"] == "inclusive")
    return Fraction(net, net + included)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
