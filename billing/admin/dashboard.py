"""The desk's first page: how the business stands."""

from typing import Any, Final

from django.http import HttpRequest

from accounts import clock
from billing.admin.board import Lists
from billing.admin.cards import cards
from billing.reports.overview import overview

PERMISSION: Final = "billing.view_subscription"


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For UNFOLD's DASHBOARD_CALLBACK. Who may not see subscriptions is told so, and sees no number."""
    if request.user.has_perm(PERMISSION):
        found = overview(now=clock.now(), offset=clock.offset())
        context |= {"overview": found, "cards": cards(found, Lists(request))}
    return context
