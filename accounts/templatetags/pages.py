"""What templates say often: instants in the viewer's zone, icons, initials."""

from datetime import date, datetime

from django import template
from django.db.models import QuerySet
from django.template.defaultfilters import stringfilter
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from accounts import idempotency
from accounts.models import Membership, User

register = template.Library()

# Drawn on a grid of 20, in the colour of the text around them.
ICONS = {
    "spark": '<path d="M10 2.5 11.9 8 17.5 10l-5.6 2-1.9 5.5L8.1 12 2.5 10l5.6-2z"/>',
    "chevron": '<path d="m6 8 4 4 4-4"/>',
    "check": '<path d="m4.5 10.5 3.7 3.7 7.3-8.2"/>',
    "cross": '<path d="m5.5 5.5 9 9m0-9-9 9"/>',
    "warning": '<path d="M10 3 2.5 16.5h15zM10 8.5v3.5m0 2.25v.01"/>',
    "info": '<circle cx="10" cy="10" r="7.5"/><path d="M10 9.25v4.25m0-7v.01"/>',
    "clock": '<circle cx="10" cy="10" r="7.5"/><path d="M10 5.75V10l2.75 2"/>',
    "people": '<circle cx="7.5" cy="7" r="2.75"/><path d="M2.5 16c.4-3 2.3-4.5 5-4.5s4.6 1.5 5 4.5'
    'M13 4.5a2.75 2.75 0 0 1 0 5m1 2.2c2 .4 3.2 1.8 3.5 4.3"/>',
    "menu": '<path d="M3 5.5h14M3 10h14M3 14.5h14"/>',
    "out": '<path d="M12 6V3.5H3.5v13H12V14M8 10h9.5m-3-3 3 3-3 3"/>',
    "arrow": '<path d="M3.5 10h13m-5-5 5 5-5 5"/>',
    "download": '<path d="M10 3v9.5m-4-4 4 4 4-4M3.5 16.5h13"/>',
    "stop": '<rect x="5" y="5" width="10" height="10" rx="1.5"/>',
    "trash": '<path d="M3.5 5.5h13M8 5.5v-2h4v2m-6.5 0 .7 11h7.6l.7-11"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """One of ICONS; it says nothing to who cannot see it, so the text beside it must."""
    return format_html(
        '<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(ICONS[name]),  # noqa: S308  (a constant of ours)
    )


@register.filter
def day(value: date | datetime | None) -> str:
    """1 December 2026, as a <time>; nothing for nothing."""
    return _time(value, "DATE_FORMAT")


@register.filter
def short_day(value: date | datetime | None) -> str:
    """1 December, as a <time>."""
    return _time(value, "MONTH_DAY_FORMAT")


@register.filter
def moment(value: datetime | None) -> str:
    """1 December 2026, 17:40, as a <time> that carries the zone's name."""
    return _time(value, "DATETIME_FORMAT")


@register.filter
def short_date(value: date | datetime | None) -> str:
    """1 Dec 2026, for tables."""
    return _time(value, "SHORT_DATE_FORMAT")


@register.filter
def short_moment(value: datetime | None) -> str:
    """1 Dec 2026, 17:40, for tables."""
    return _time(value, "SHORT_DATETIME_FORMAT")


@register.filter
@stringfilter
def initials(name: str) -> str:
    """At most two letters, for the round mark of a person or a workspace."""
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


@register.simple_tag
def once_token() -> SafeString:
    """Beside `{% csrf_token %}` in a form that must not do its work twice; the view says `idempotency.once`."""
    # Firefox would put the old token back when the page is loaded again.
    return format_html(
        '<input type="hidden" name="{}" value="{}" autocomplete="off">',
        idempotency.ONCE_FIELD,
        idempotency.once_token(),
    )


@register.simple_tag
def memberships_of(user: User) -> QuerySet[Membership]:
    """The workspaces that somebody can switch to, their own first; one statement."""
    return (
        Membership.objects.filter(user=user, workspace__closed_at=None)
        .select_related("workspace")
        .order_by("-workspace__personal_user", "workspace__name", "workspace_id")
    )


def _time(value: date | datetime | None, form: str) -> str:
    zone: str | None = ""
    if value is None:
        return ""
    if isinstance(value, datetime):
        value = timezone.localtime(value)
        zone = value.tzname()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', value.isoformat(), zone or "", date_format(value, form)
    )
