"""How the desk writes instants, amounts and what was changed."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format, localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import money

register = template.Library()

MISSING = "\u2013"


@register.filter
def when(instant: datetime | None) -> SafeString | str:
    """In the reader's zone, and in UTC for who points at it."""
    if instant is None:
        return MISSING
    local = timezone.localtime(instant)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        instant.isoformat(),
        f"{instant.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M:%S}",
        date_format(local, "j M Y, H:i"),
    )


@register.filter
def spaced(name: str) -> str:
    """A column's name for a reader."""
    return name.replace("_", " ")


@register.filter
def card_month(runs_out_at: datetime) -> str:
    """The last month before it, as it stands on a card: 12/2034."""
    return f"{runs_out_at.astimezone(UTC) - timedelta(days=1):%m/%Y}"


@register.filter
def amount(minor: int | None, currency: str) -> str:
    """Minor units of a currency as an amount."""
    return money.amount_in_words(minor, currency) if minor is not None and currency else MISSING


@register.filter
def compared(text: str | None) -> SafeString | str:
    """A fact in the words of `billing.drift`, its instants in the reader's zone."""
    try:
        return when(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)) if text else MISSING
    except ValueError:
        return str(text)


@register.filter
def said(value: Any) -> Any:
    """A fact as history keeps it, for a reader."""
    match value:
        case None | "":
            return MISSING
        case bool():
            return "yes" if value else "no"
        case str() if (instant := parse_datetime(value)) is not None and "T" in value:
            return when(instant)
        case int():
            return localize(value)
        case dict():
            return ", ".join(f"{name}: {inner}" for name, inner in value.items())
        case list():
            return ", ".join(map(str, value)) or MISSING
        case _:
            return value
