"""A customer is found by name, e-mail address, any of our ids or any of Stripe's; each by an index."""

import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from djstripe.models import (
    Charge,
    Dispute,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    Refund,
    Session,
    SubscriptionSchedule,
)
from unfold.dataclasses import SearchResult

from accounts.models import Membership, User, Workspace
from billing.models import (
    AuditEntry,
    CreditGrant,
    LedgerEntry,
    StripeEvent,
    StripeOperation,
    Subscription,
    SubscriptionChange,
    UsagePeriod,
)

# Who has more workspaces of a name than this is asked for more of it.
MOST: Final = 50

type Finder = Callable[[uuid.UUID], QuerySet[Any, Any]]

_OF_STRIPE: Final[dict[str, tuple[type[Model], str]]] = {
    "in": (Invoice, "customer__subscriber_id"),
    "ch": (Charge, "customer__subscriber_id"),
    "py": (Charge, "customer__subscriber_id"),
    "pi": (PaymentIntent, "customer__subscriber_id"),
    "pm": (PaymentMethod, "customer__subscriber_id"),
    "re": (Refund, "charge__customer__subscriber_id"),
    "dp": (Dispute, "charge__customer__subscriber_id"),
    "du": (Dispute, "charge__customer__subscriber_id"),
    "cs": (Session, "customer__subscriber_id"),
    "sub_sched": (SubscriptionSchedule, "customer__subscriber_id"),
}
_finders: list[Finder] = []


def add(finder: Finder) -> None:
    """For another app's ids: given an id, the workspaces that it belongs to."""
    _finders.append(finder)


def workspaces(text: str) -> list[uuid.UUID]:
    """Those that it may mean, at most MOST; an empty text means none."""
    text = text.strip()
    if not text:
        return []
    if (id := uuid_of(text)) is not None:
        return list(dict.fromkeys(_by_our_id(id)))[:MOST]
    if match := re.fullmatch(r"([a-z]+(?:_sched)?)_\w+", text):
        return list(dict.fromkeys(_by_stripes_id(match.group(1), text)))[:MOST]
    return list(dict.fromkeys(_by_name(text)))[:MOST]


def people(text: str) -> list[uuid.UUID]:
    """The same, of people."""
    text = text.strip()
    if not text:
        return []
    if "@" in text or uuid_of(text) is None:
        found = list(User.objects.filter(email__startswith=text.lower()).values_list("pk", flat=True)[:MOST])
        found += User.objects.filter(fullname__istartswith=text).values_list("pk", flat=True)[:MOST]
        return list(dict.fromkeys(found))[:MOST]
    return list(Membership.objects.filter(workspace__in=workspaces(text)).values_list("user_id", flat=True)[:MOST])


def found(request: HttpRequest, text: str) -> list[SearchResult]:
    """For the search over all of the desk."""
    results = []
    if request.user.has_perm("accounts.view_workspace"):
        for workspace in Workspace.objects.filter(pk__in=workspaces(text)).select_related("personal_user"):
            link = reverse("admin:accounts_workspace_change", args=[workspace.pk])
            told = workspace.personal_user.email if workspace.personal_user else "Team"
            results.append(SearchResult(title=workspace.name, description=told, link=link, icon="domain"))
    if request.user.has_perm("accounts.view_user"):
        for person in User.objects.filter(pk__in=people(text)):
            link = reverse("admin:accounts_user_change", args=[person.pk])
            results.append(SearchResult(title=person.email, description=person.fullname, link=link, icon="person"))
    return results


def _by_our_id(id: uuid.UUID) -> Iterable[uuid.UUID]:
    """In one statement, whatever it may be the id of."""
    owned: tuple[type[Model], ...] = (Subscription, UsagePeriod, CreditGrant, LedgerEntry, StripeOperation, AuditEntry)
    found: list[QuerySet[Any, Any]] = [
        Workspace.objects.filter(pk=id).values_list("pk", flat=True),
        Membership.objects.filter(user=id).values_list("workspace_id", flat=True),
        SubscriptionChange.objects.filter(pk=id).values_list("subscription__workspace_id", flat=True),
        LedgerEntry.objects.filter(run_id=id).values_list("workspace_id", flat=True),
        *(model._default_manager.filter(pk=id).values_list("workspace_id", flat=True) for model in owned),
        *(finder(id) for finder in _finders),
    ]
    first, *others = (one.order_by() for one in found)
    return (workspace for workspace in first.union(*others)[: MOST + 1] if workspace is not None)


def _by_stripes_id(kind: str, id: str) -> Iterable[uuid.UUID]:
    if kind == "cus":
        yield from Subscription.objects.filter(stripe_customer_id=id).values_list("workspace_id", flat=True)
    elif kind == "evt":
        customers = StripeEvent.objects.filter(stripe_id=id).exclude(customer="").values_list("customer", flat=True)
        ours = Subscription.objects.filter(stripe_customer_id__in=list(customers))
        yield from ours.values_list("workspace_id", flat=True)
    elif kind == "sub":
        yield from Subscription.objects.filter(stripe_subscription_id=id).values_list("workspace_id", flat=True)
    elif kind in _OF_STRIPE:
        model, path = _OF_STRIPE[kind]
        rows: Any = model._default_manager.filter(id=id).exclude(**{path: None})
        yield from rows.order_by().values_list(path, flat=True)
    made = StripeOperation.objects.filter(stripe_id=id, workspace_id__isnull=False).order_by()
    yield from made.values_list("workspace_id", flat=True)[:MOST]


def _by_name(text: str) -> Iterable[uuid.UUID]:
    users = User.objects.filter(email__startswith=text.lower()).order_by("pk").values_list("pk", flat=True)[:MOST]
    yield from Membership.objects.filter(user__in=list(users)).values_list("workspace_id", flat=True)[:MOST]
    yield from Workspace.objects.filter(name__istartswith=text).order_by("-pk").values_list("pk", flat=True)[:MOST]


def uuid_of(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
