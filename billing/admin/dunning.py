"""The dunning desk: who owes what and why, what can be done about it, and which cards run out before they must pay."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse

from accounts import clock
from accounts.models import User
from billing import acts, dunning
from billing.dunning import Order, Standing

# In the order in which they are tried.
ACTS: Final = ("send-pay-link", "retry-payment", "extend-grace", "void-invoice", "give-up-invoice", "end-now")
# Of these the invoice is chosen by the row.
OF_INVOICE: Final = frozenset(act.name for act in acts.invoices.ALL)
LABELS: Final = {
    Standing.OWED: "All that is owed",
    Standing.PAST_DUE: "Past due",
    Standing.UNPAID: "Unpaid",
    Standing.ACTION: "Wants confirmation",
    Standing.ENDED: "Plan has ended",
    Standing.OFFER: "Offers",
}
EXPLANATIONS: Final = {
    Standing.OWED: "Every open invoice but offers.",
    Standing.PAST_DUE: "A payment failed, and Stripe goes on trying. The plan is kept for its days of grace.",
    Standing.UNPAID: "Stripe has given up trying. The plan does not hold.",
    Standing.ACTION: "The customer's bank wants them to confirm the payment: only they can, by the pay link.",
    Standing.ENDED: "The subscription is over, and its last invoice is still open.",
    Standing.OFFER: "A first payment or an upgrade that waits for its payment. Nothing is owed: it lapses by itself.",
}
EMPTY: Final = {
    Standing.OWED: "Nobody owes anything.",
    Standing.PAST_DUE: "Nothing is past due.",
    Standing.UNPAID: "Nobody is unpaid.",
    Standing.ACTION: "No payment waits for a customer's confirmation.",
    Standing.ENDED: "No plan has ended with an open invoice.",
    Standing.OFFER: "No purchase and no upgrade waits for its payment.",
}
BADGES: Final[dict[Standing | None, tuple[str, str]]] = {
    Standing.PAST_DUE: ("Past due", "warn"),
    Standing.UNPAID: ("Unpaid", "bad"),
    Standing.ENDED: ("Plan has ended", "bad"),
    Standing.OFFER: ("Offer", "info"),
}


def owed(request: HttpRequest) -> HttpResponse:
    """Open invoices, by `standing`, `order` and page `p` of the address."""
    _allow(request)
    standing = _chosen(Standing, request.GET.get("standing"), Standing.OWED)
    order = _chosen(Order, request.GET.get("order"), Order.AGE)
    page, now = _page(request), clock.now()
    found, has_more = dunning.open_invoices(standing, order, page=page)
    some = [acts.WORKSPACE[name] for name in ACTS if acts.WORKSPACE[name].may(cast(User, request.user))]
    here = request.get_full_path()
    context = {
        "title": "Dunning",
        "rows": [(one, BADGES.get(one.standing), list(_acts(one, some, here, now))) for one in found],
        "tabs": [(LABELS[one], _address(standing=one, order=order), one == standing) for one in Standing],
        "explanation": EXPLANATIONS[standing],
        "empty": EMPTY[standing],
        "order": order,
        "by_age": _address(standing=standing, order=Order.AGE),
        "by_amount": _address(standing=standing, order=Order.AMOUNT),
        "newer": _address(standing=standing, order=order, p=page - 1) if page > 1 else "",
        "older": _address(standing=standing, order=order, p=page + 1) if has_more else "",
        "now": now,
    }
    return _answer(request, "admin/dunning.html", context)


def cards(request: HttpRequest) -> HttpResponse:
    """Who renews by a card that has run out by then."""
    _allow(request)
    page, now = _page(request), clock.now()
    found, has_more = dunning.expiring(now, page=page)
    here = reverse("admin:dunning_cards")
    context = {
        "title": "Dunning",
        "rows": [(one, dunning.owner_of(one)) for one in found],
        "newer": f"{here}?p={page - 1}" if page > 1 else "",
        "older": f"{here}?p={page + 1}" if has_more else "",
        "now": now,
    }
    return _answer(request, "admin/dunning_cards.html", context)


def _acts(
    one: dunning.Open, some: Sequence[acts.WorkspaceAct], here: str, now: datetime
) -> Iterator[tuple[acts.WorkspaceAct, str]]:
    """Those that would do something for this row, and their addresses."""
    for act in some:
        query = {"next": here}
        if act.name in OF_INVOICE:
            query["invoice"] = one.id
        elif not act.is_offered(one.subscription, now):
            continue
        where = reverse("admin:act", args=[act.name, one.subscription.workspace_id])
        yield act, f"{where}?{urlencode(query)}"


def _address(**query: Any) -> str:
    return f"{reverse('admin:dunning')}?{urlencode(query)}"


def _chosen[Choice: StrEnum](choices: type[Choice], value: str | None, default: Choice) -> Choice:
    """What is no choice is the default's."""
    return next((one for one in choices if one == value), default)


def _page(request: HttpRequest) -> int:
    text = request.GET.get("p", "")
    # Nobody turns so many pages.
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _allow(request: HttpRequest) -> None:
    if not cast(User, request.user).has_perm("billing.view_subscription"):
        raise PermissionDenied


def _answer(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    tabs = {"is_fullwidth": "1", "owed": reverse("admin:dunning"), "cards": reverse("admin:dunning_cards")}
    return TemplateResponse(request, template, {**admin.site.each_context(request), **tabs, **context})


admin.site.add_pages(  # type: ignore[attr-defined]  # of accounts.staff.StaffSite
    path("dunning/", admin.site.admin_view(owed), name="dunning"),
    path("dunning/cards/", admin.site.admin_view(cards), name="dunning_cards"),
)
