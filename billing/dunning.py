"""What is owed: open invoices by amount and age, why they were not paid, and cards that run out before they must pay.

Read from our rows and the mirror, never from Stripe while a page is drawn. No rule of who is entitled
to what reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from django.db import connection
from django.db.models import F, Prefetch, QuerySet
from djstripe.settings import djstripe_settings

from accounts.models import Membership, Role, User
from billing.entitlements import grace_end
from billing.models import Subscription
from billing.money import THOUSANDTHS
from billing.snapshots import CHARGED, ENDED

PAGE: Final = 50


class Order(StrEnum):
    """Oldest first; of amounts the largest. These are compared in whole units of their currencies, never added."""

    AGE = "age"
    AMOUNT = "amount"


class Standing(StrEnum):
    """What is shown: all debts, or some of them. OFFER is none: a first payment or an upgrade that lapses by itself."""

    OWED = "owed"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    ACTION = "action"
    ENDED = "ended"
    OFFER = "offer"


@dataclass(frozen=True)
class Open:
    """An invoice that waits for its payment; `amount` in minor units. `wants_action`: its customer must confirm it."""

    subscription: Subscription
    owner: User | None
    row: int
    id: str
    number: str
    amount: int
    currency: str
    created_at: datetime
    url: str
    is_offer: bool
    wants_action: bool
    attempts: int
    next_attempt_at: datetime | None
    reason: str
    card: str

    @property
    def standing(self) -> Standing | None:
        if self.is_offer:
            return Standing.OFFER
        match self.subscription.stripe_status:
            case "past_due":
                return Standing.PAST_DUE
            case "unpaid":
                return Standing.UNPAID
            case status if not status or status in ENDED:
                return Standing.ENDED
            case _:
                return None

    @property
    def grace_end(self) -> datetime | None:
        return grace_end(self.subscription)


def open_invoices(standing: Standing, order: Order, *, page: int) -> tuple[list[Open], bool]:
    """A page of them, from 1 on, and whether there are more; three statements."""
    found = _read(_WHERE[standing], _ORDER[order], {"most": PAGE + 1, "offset": PAGE * (page - 1)})
    return found[:PAGE], len(found) > PAGE


def open_of(subscription: Subscription) -> list[Open]:
    """Those of one workspace, the oldest first, offers among them."""
    where = "s.id = %(subscription)s"
    return _read(where, _ORDER[Order.AGE], {"subscription": subscription.pk, "most": PAGE, "offset": 0})


def expiring(now: datetime, *, page: int) -> tuple[list[Subscription], bool]:
    """Who renews by a card that is no longer good by then, the next to renew first; and whether there are more."""
    rows: QuerySet[Subscription] = (
        Subscription.objects.with_plans()
        .select_related("workspace", "paid_price")
        .prefetch_related(_owners("workspace__"))
        .filter(card_expires_at__lte=F("paid_end"), paid_end__gt=now, cancel_at=None, is_collection_paused=False)
        .filter(stripe_status__in=CHARGED - {"unpaid", "paused"})
        .order_by("paid_end", "pk")
    )
    found = list(rows[PAGE * (page - 1) : PAGE * page + 1])
    return found[:PAGE], len(found) > PAGE


def owner_of(subscription: Subscription) -> User | None:
    """By what was fetched with it."""
    owners = getattr(subscription.workspace, "owners", [])
    return owners[0].user if owners else None


def _read(where: str, order: str, parameters: Mapping[str, Any]) -> list[Open]:
    zero = sorted(djstripe_settings.ZERO_DECIMAL_CURRENCIES)
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN.format(where=where, order=order),
            {**parameters, "zero": zero, "thousandths": sorted(THOUSANDTHS)},
        )
        names = [column.name for column in cursor.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    rows = (
        Subscription.objects.with_plans()
        .select_related("workspace")
        .prefetch_related(_owners("workspace__"))
        .in_bulk([one["subscription"] for one in found])
    )
    return [_open(one, rows[one["subscription"]]) for one in found]


def _owners(path: str) -> Prefetch:  # type: ignore[type-arg]  # generic in the stubs alone
    owners = Membership.objects.filter(role=Role.OWNER).select_related("user")
    return Prefetch(f"{path}membership_set", queryset=owners, to_attr="owners")


def _open(one: dict[str, Any], subscription: Subscription) -> Open:
    next_attempt = one["next_attempt"]
    return Open(
        subscription=subscription,
        owner=owner_of(subscription),
        row=one["row"],
        id=one["id"],
        number=one["number"],
        amount=one["amount"],
        currency=one["currency"],
        created_at=one["created"],
        url=one["url"],
        is_offer=one["is_offer"],
        wants_action=one["intent_status"] == "requires_action",
        attempts=one["attempts"],
        next_attempt_at=datetime.fromtimestamp(next_attempt, UTC) if next_attempt else None,
        reason=_why(one),
        card=f"{one['brand']} {one['last4']}".strip().capitalize(),
    )


def _why(one: dict[str, Any]) -> str:
    """Why it is not paid, in a sentence."""
    if one["intent_status"] == "requires_action":
        return "The bank wants the customer to confirm it."
    if one["intent_status"] == "processing":
        return "A payment is on its way."
    if one["failure"]:
        return str(one["failure"])
    if not one["is_attempted"]:
        return "Nothing was tried yet."
    return "Stripe does not say why." if one["brand"] else "There is nothing to pay by."


# An offer: of what is paid nothing is due, and the invoice is of a purchase or a change. Only where the status leaves
# it open is the invoice itself read for that.
_OFFER: Final = """(s.stripe_status = 'incomplete' OR s.oldest_unpaid_at IS NULL
    AND s.stripe_status IN ('active', 'trialing', 'paused')
    AND i.stripe_data->>'billing_reason' IN ('subscription_create', 'subscription_update'))"""
_WHERE: Final[dict[Standing, str]] = {
    Standing.OWED: f"NOT {_OFFER}",
    Standing.PAST_DUE: "s.stripe_status = 'past_due'",
    Standing.UNPAID: "s.stripe_status = 'unpaid'",
    # Also an offer may wait for its customer's word.
    Standing.ACTION: """EXISTS (
        SELECT FROM jsonb_array_elements(i.stripe_data->'payments'->'data') paying
        JOIN djstripe_paymentintent intent ON intent.id = paying->'payment'->>'payment_intent'
        WHERE intent.stripe_data->>'status' = 'requires_action')""",
    Standing.ENDED: "s.stripe_status IN ('', 'canceled', 'incomplete_expired')",
    Standing.OFFER: _OFFER,
}
_AMOUNT: Final = "(i.stripe_data->>'amount_remaining')::bigint"
_CURRENCY: Final = "i.stripe_data->>'currency'"
_ORDER: Final[dict[Order, str]] = {
    Order.AGE: "i.created, i.djstripe_id",
    Order.AMOUNT: f"""{_AMOUNT} * CASE WHEN {_CURRENCY} = ANY(%(zero)s) THEN 1000
        WHEN {_CURRENCY} = ANY(%(thousandths)s) THEN 1 ELSE 10 END DESC, i.created, i.djstripe_id""",
}
# The page is found before anything else of its invoices is read: a document is much, and there may be many.
_OPEN: Final = f"""
WITH page AS MATERIALIZED (
    SELECT found.*, row_number() OVER () AS place FROM (
        SELECT i.djstripe_id AS invoice, s.id AS subscription
        FROM djstripe_invoice i JOIN billing_subscription s ON s.stripe_customer_id = i.customer_id
        WHERE i.stripe_data->>'status' = 'open' AND {{where}}
        ORDER BY {{order}} LIMIT %(most)s OFFSET %(offset)s
    ) found
)
SELECT i.djstripe_id AS row, i.id, i.created, page.subscription, {_OFFER} AS is_offer,
    coalesce(i.stripe_data->>'number', '') AS number, {_AMOUNT} AS amount, {_CURRENCY} AS currency,
    coalesce(i.stripe_data->>'hosted_invoice_url', '') AS url,
    coalesce((i.stripe_data->>'attempted')::boolean, false) AS is_attempted,
    coalesce((i.stripe_data->>'attempt_count')::int, 0) AS attempts,
    (i.stripe_data->>'next_payment_attempt')::bigint AS next_attempt,
    coalesce(intent.stripe_data->>'status', '') AS intent_status,
    coalesce(intent.stripe_data->'last_payment_error'->>'message', '') AS failure,
    coalesce(m.stripe_data->'card'->>'brand', m.stripe_data->>'type', '') AS brand,
    coalesce(m.stripe_data->'card'->>'last4', '') AS last4
FROM page JOIN djstripe_invoice i ON i.djstripe_id = page.invoice
JOIN billing_subscription s ON s.id = page.subscription
LEFT JOIN djstripe_customer c ON c.id = s.stripe_customer_id
LEFT JOIN djstripe_subscription sub ON sub.id = s.stripe_subscription_id
LEFT JOIN djstripe_paymentmethod m ON m.id = coalesce(
    sub.stripe_data->>'default_payment_method', c.stripe_data->'invoice_settings'->>'default_payment_method')
LEFT JOIN LATERAL (
    SELECT intent.stripe_data FROM jsonb_array_elements(i.stripe_data->'payments'->'data') paying
    JOIN djstripe_paymentintent intent ON intent.id = paying->'payment'->>'payment_intent'
    ORDER BY intent.created DESC LIMIT 1
) intent ON true
ORDER BY page.place
"""  # noqa: S608  (of our own text)
