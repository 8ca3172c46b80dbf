"""What pages show of a workspace's money: prices, the card, invoices, what is open. No rule reads it.

Read from our rows and the mirror in one statement, and never from Stripe while a page is drawn.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from djstripe.models import Invoice

from accounts.models import Workspace
from billing.models import Subscription
from billing.snapshots import CHARGED

# Invoices on the page of the subscription; all of them are on a page of their own.
SHOWN = 5


@dataclass(frozen=True)
class Amount:
    """In minor units; `interval` is empty for what is paid once."""

    amount: int
    currency: str
    interval: str = ""


@dataclass(frozen=True)
class Method:
    """How the next payment is made; `brand` and `last4` are a card's."""

    kind: str
    brand: str
    last4: str
    expires: str


@dataclass(frozen=True)
class Open:
    """An invoice that waits for its payment, and where that is made."""

    amount: int
    currency: str
    url: str


@dataclass(frozen=True)
class InvoiceShown:
    number: str
    status: str
    total: int
    currency: str
    created_at: datetime
    hosted_invoice_url: str
    invoice_pdf: str


@dataclass(frozen=True)
class Payments:
    """`is_exact`: the next invoice is the price and nothing else, as far as we know."""

    price: Amount | None = None
    pending: Amount | None = None
    method: Method | None = None
    debt: Open | None = None
    # An upgrade that holds once it is paid, and until when Stripe waits for that.
    offer: Open | None = None
    offer_until: datetime | None = None
    is_exact: bool = True
    invoices: tuple[InvoiceShown, ...] = ()
    has_more: bool = False


@dataclass(frozen=True)
class Next:
    """The next payment; `is_about` where taxes, discounts or a balance may change it."""

    at: datetime
    amount: int
    currency: str
    is_about: bool


def invoices_of(workspace: Workspace) -> QuerySet[Any]:
    """What was charged. A draft is Stripe's own affair until it is finalized: it has no number and can still change."""
    mine: QuerySet[Any] = Invoice.objects.filter(customer__subscriber=workspace)
    return mine.exclude(stripe_data__status="draft")


def shown(invoice: Invoice) -> InvoiceShown:
    data = invoice.stripe_data
    return InvoiceShown(
        number=data["number"] or "",
        status=data["status"],
        total=data["total"],
        currency=data["currency"],
        created_at=invoice.created,
        hosted_invoice_url=data["hosted_invoice_url"] or "",
        invoice_pdf=data["invoice_pdf"] or "",
    )


def payments_of(subscription: Subscription, *, with_invoices: bool) -> Payments:
    """One statement, or none for who never had anything to do with Stripe. Prices alone without `with_invoices`."""
    if subscription.first_paid_at is None and not subscription.stripe_subscription_id:
        return Payments()
    with connection.cursor() as cursor:
        cursor.execute(
            _PAYMENTS, {"workspace": subscription.workspace_id, "most": SHOWN + 1, "with_invoices": with_invoices}
        )
        price, pending, method, debt, offer, offer_until, is_changed, invoices = cursor.fetchone()
    listed = tuple(_invoice(one) for one in invoices or [])
    return Payments(
        price=Amount(**price) if price else None,
        pending=Amount(**pending) if pending else None,
        method=Method(**method) if method else None,
        debt=Open(**debt) if debt else None,
        offer=Open(**offer) if offer else None,
        offer_until=datetime.fromtimestamp(offer_until, UTC) if offer_until else None,
        is_exact=not is_changed and not settings.STRIPE_AUTOMATIC_TAX,
        invoices=listed[:SHOWN],
        has_more=len(listed) > SHOWN,
    )


def next_payment(subscription: Subscription, payments: Payments, *, now: datetime) -> Next | None:
    """None where nothing more will be charged by itself."""
    end = subscription.paid_end
    if end is None or subscription.stripe_status not in CHARGED - {"unpaid", "paused"}:
        return None
    if subscription.is_collection_paused or now >= end:
        return None
    if subscription.cancel_at is not None and subscription.cancel_at <= end:
        return None
    # Stripe's instants are whole seconds; a change that comes with the period's end is in its invoice.
    is_changed = subscription.pending_at is not None and subscription.pending_at - end < timedelta(minutes=1)
    price = payments.pending if is_changed else payments.price
    if price is None:
        return None
    return Next(end, price.amount, price.currency, not payments.is_exact)


# dj-stripe's columns hold what they always held; what Stripe moved since is in `stripe_data`.
_PAYMENTS = """
SELECT
    (SELECT json_build_object('amount', paid.unit_amount, 'currency', paid.currency, 'interval', paid.interval)
     WHERE paid.id IS NOT NULL),
    (SELECT json_build_object('amount', p.unit_amount, 'currency', p.currency, 'interval', p.interval)
     FROM billing_price p WHERE p.plan_id = s.pending_plan_id AND p.interval = s.pending_interval
       AND p.currency = paid.currency AND p.is_active),
    (SELECT json_build_object('kind', m.stripe_data->>'type',
        'brand', coalesce(m.stripe_data#>>'{card,brand}', ''), 'last4', coalesce(m.stripe_data#>>'{card,last4}', ''),
        'expires', coalesce(concat_ws('/', m.stripe_data#>>'{card,exp_month}', m.stripe_data#>>'{card,exp_year}'), ''))
     FROM djstripe_paymentmethod m
     WHERE %(with_invoices)s AND m.stripe_data->>'type' IS NOT NULL AND m.id = coalesce(
        sub.stripe_data->>'default_payment_method', c.stripe_data#>>'{invoice_settings,default_payment_method}')),
    (SELECT json_build_object('amount', (i.stripe_data->>'amount_remaining')::bigint,
        'currency', i.stripe_data->>'currency', 'url', coalesce(i.stripe_data->>'hosted_invoice_url', ''))
     FROM djstripe_invoice i
     WHERE %(with_invoices)s AND i.customer_id = c.id AND i.stripe_data->>'status' = 'open'
       AND (i.stripe_data->>'amount_remaining')::bigint > 0
       AND NOT (jsonb_typeof(sub.stripe_data->'pending_update') = 'object'
            AND i.id = sub.stripe_data->>'latest_invoice')
     ORDER BY i.created LIMIT 1),
    (SELECT json_build_object('amount', (i.stripe_data->>'amount_remaining')::bigint,
        'currency', i.stripe_data->>'currency', 'url', coalesce(i.stripe_data->>'hosted_invoice_url', ''))
     FROM djstripe_invoice i
     WHERE %(with_invoices)s AND jsonb_typeof(sub.stripe_data->'pending_update') = 'object'
       AND i.id = sub.stripe_data->>'latest_invoice' AND i.stripe_data->>'status' = 'open'),
    (sub.stripe_data#>>'{pending_update,expires_at}')::bigint,
    coalesce(jsonb_array_length(nullif(sub.stripe_data->'discounts', 'null')) > 0, false)
        OR jsonb_typeof(c.stripe_data->'discount') = 'object'
        OR coalesce((c.stripe_data->>'balance')::bigint <> 0, false)
        OR coalesce((sub.stripe_data#>>'{automatic_tax,enabled}')::boolean, false)
        OR coalesce(jsonb_array_length(nullif(sub.stripe_data->'default_tax_rates', 'null')) > 0, false),
    (SELECT json_agg(shown) FROM (
        SELECT coalesce(i.stripe_data->>'number', '') AS number, i.stripe_data->>'status' AS status,
            (i.stripe_data->>'total')::bigint AS total, i.stripe_data->>'currency' AS currency,
            extract(epoch FROM i.created) AS created_at,
            coalesce(i.stripe_data->>'hosted_invoice_url', '') AS hosted_invoice_url,
            coalesce(i.stripe_data->>'invoice_pdf', '') AS invoice_pdf
        FROM djstripe_invoice i JOIN djstripe_customer mine ON mine.id = i.customer_id
        WHERE %(with_invoices)s AND mine.subscriber_id = s.workspace_id AND i.stripe_data->>'status' <> 'draft'
        ORDER BY i.created DESC, i.djstripe_id DESC LIMIT %(most)s
    ) shown)
FROM billing_subscription s
LEFT JOIN billing_price paid ON paid.id = s.paid_price_id
LEFT JOIN djstripe_customer c ON c.id = s.stripe_customer_id
LEFT JOIN djstripe_subscription sub ON sub.id = s.stripe_subscription_id
WHERE s.workspace_id = %(workspace)s
"""


def _invoice(one: dict[str, Any]) -> InvoiceShown:
    return InvoiceShown(**one | {"created_at": datetime.fromtimestamp(float(one["created_at"]), UTC)})
