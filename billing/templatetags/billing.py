"""What templates say of plans and money."""

from typing import Any

from django import template
from django.utils.formats import localize

from accounts.access import Access
from billing import words
from billing.models import Feature, Plan, Price
from billing.money import amount_for_viewer
from billing.quotas import Quota, quota_for, short_name

register = template.Library()

# Of the period's runs; from here on the indicator warns.
WARNS_FROM = 0.8


@register.inclusion_tag("billing/usage_indicator.html")
def usage_indicator(held: Access, *, swapped: bool = False) -> dict[str, Any]:
    """For the header. Everything it shows came with the statement that the page began with.

    `swapped` in an answer to htmx: it takes the place of the one that is shown.
    """
    quota = quota_for(held.workspace.subscription, now=held.now)
    return {"quota": quota, "level": level_of(quota), "swapped": swapped}


@register.filter
def level_of(quota: Quota) -> str:
    """`none` without a limit, `quiet`, `warning` from WARNS_FROM on, `limit` when nothing is left."""
    if quota.limit is None:
        return "none"
    if quota.remaining == 0:
        return "limit"
    return "warning" if quota.used >= WARNS_FROM * quota.limit else "quiet"


@register.simple_tag
def members_limit(held: Access) -> int | None:
    """Of the plan that holds now; None where there is none. It too came with the first statement."""
    return quota_for(held.workspace.subscription, now=held.now).entitlement.plan.members_limit


@register.filter
def money(amount: int, currency: str) -> str:
    """`amount` in minor units, as the viewer's language writes it."""
    return amount_for_viewer(amount, currency)


@register.filter
def price(amount: int, currency: str) -> str:
    """The same without a fraction that is nothing: $19."""
    return amount_for_viewer(amount, currency, is_short=True)


@register.filter
def plan_name(plan: Plan) -> str:
    """Pro for AI-Manus PRO."""
    return short_name(plan)


@register.filter
def runs(count: int | None) -> str:
    """5,000 runs, or unlimited runs for None."""
    return words.runs(count)


@register.filter
def feature_name(feature: str) -> str:
    return str(Feature(feature).label)


@register.filter
def refusal_words(code: str, plan_name: str) -> str:
    return words.refusal(code, plan_name)


@register.filter
def invoice_status(status: str) -> str:
    return words.invoice_status(status)


@register.filter
def invoice_tone(status: str) -> str:
    return {"paid": "good", "open": "warn", "uncollectible": "bad"}.get(status, "quiet")


@register.filter
def payment_kind(kind: str) -> str:
    return words.payment_kind(kind)


@register.filter
def ledger_kind(kind: str) -> str:
    return words.ledger_kind(kind)


@register.filter
def signed(number: int) -> str:
    """With its sign, also where it is plus."""
    return f"{'+' if number > 0 else '−' if number < 0 else ''}{localize(abs(number))}"  # noqa: RUF001  (a minus)


@register.filter
def price_words(price: Price) -> str:
    """$49 a month."""
    return words.price(price.unit_amount, price.currency, price.interval)


@register.filter
def limit_words(most: int | None) -> str:
    return words.limit(most)
