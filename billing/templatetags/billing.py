"""What templates say of plans and money."""

from typing import Any

from django import template

from accounts.access import Access
from billing.money import amount_for_viewer
from billing.quotas import Quota, quota_for

register = template.Library()

# Of the period's runs; from here on the indicator warns.
WARNS_FROM = 0.8


@register.inclusion_tag("billing/usage_indicator.html")
def usage_indicator(held: Access) -> dict[str, Any]:
    """For the header. Everything it shows came with the statement that the page began with."""
    quota = quota_for(held.workspace.subscription, now=held.now)
    return {"quota": quota, "level": level_of(quota)}


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
