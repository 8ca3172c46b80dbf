"""Counters, grants, ledger and history agree, and nothing is left over of speaking to Stripe."""

from typing import Any

from django.db import models

from billing.models import Subscription
from billing.proofs.proof import Proof


def _is_off(field: "models.Field[Any, Any]") -> str:
    """SQL for a column that is not as the history line `c` has it. A line older than the column says nothing of it."""
    value = f"s.{field.column}"
    if isinstance(field, models.DateTimeField):
        # JSON keeps an instant to the millisecond.
        differs = f"(c.after ->> '{field.attname}')::timestamptz IS DISTINCT FROM date_trunc('milliseconds', {value})"
    else:
        differs = f"c.after ->> '{field.attname}' IS DISTINCT FROM {value}::text"
    return f"(c.after ? '{field.attname}' AND {differs})"


#: Invariants 1 and 2, over counters, grants, ledger and history, and what is left over of speaking to Stripe.
BOOK_PROOFS = [
    Proof(
        "period counter equals its ledger lines",
        """
        SELECT b.id, format('used is %s, the ledger says %s', b.used, coalesce(l.used, 0))
        FROM billing_usageperiod b
        LEFT JOIN (SELECT period_id, -sum(quantity) AS used FROM billing_ledgerentry
                   WHERE period_id IS NOT NULL GROUP BY period_id) l ON l.period_id = b.id
        WHERE b.used <> coalesce(l.used, 0)
        """,
    ),
    Proof(
        "grant counter equals its ledger lines",
        """
        SELECT g.id,
            format('%s of %s are left, the ledger says %s', g.quantity - g.used, g.quantity, coalesce(l.rest, 0))
        FROM billing_creditgrant g
        LEFT JOIN (SELECT grant_id, sum(quantity) AS rest FROM billing_ledgerentry
                   WHERE grant_id IS NOT NULL GROUP BY grant_id) l ON l.grant_id = g.id
        WHERE g.quantity - g.used <> coalesce(l.rest, 0)
        """,
    ),
    Proof(
        "no run was granted beyond the limit",
        """
        SELECT id, format('run %s was granted with a balance of %s', run_id, balance)
        FROM billing_ledgerentry WHERE kind = 'consume' AND balance < 0
        """,
    ),
    Proof(
        "a run is consumed once and returned at most once",
        """
        SELECT run_id, format('%s consume lines and %s refund lines',
            count(*) FILTER (WHERE kind = 'consume'), count(*) FILTER (WHERE kind = 'refund'))
        FROM billing_ledgerentry WHERE run_id IS NOT NULL GROUP BY run_id
        HAVING count(*) FILTER (WHERE kind = 'consume') <> 1 OR count(*) FILTER (WHERE kind = 'refund') > 1
            OR (count(*) FILTER (WHERE kind = 'refund') = 1 AND sum(quantity) <> 0)
        """,
    ),
    Proof(
        "a ledger line belongs to its bucket's workspace",
        """
        SELECT l.id, 'the bucket is another workspace''s' FROM billing_ledgerentry l
        LEFT JOIN billing_usageperiod b ON b.id = l.period_id
        LEFT JOIN billing_creditgrant g ON g.id = l.grant_id
        WHERE l.workspace_id <> coalesce(b.workspace_id, g.workspace_id)
        """,
    ),
    Proof(
        "every workspace has a subscription",
        """
        SELECT w.id, 'no subscription' FROM accounts_workspace w
        LEFT JOIN billing_subscription s ON s.workspace_id = w.id WHERE s.id IS NULL
        """,
    ),
    Proof(
        "a subscription is as its history says",
        f"""
        SELECT s.id, 'the row was written without a line of history'
        FROM billing_subscription s
        LEFT JOIN LATERAL (SELECT after FROM billing_subscriptionchange c
                           WHERE c.subscription_id = s.id ORDER BY c.id DESC LIMIT 1) c ON true
        WHERE c.after IS NULL OR {" OR ".join(map(_is_off, Subscription.fact_fields()))}
        """,  # noqa: S608  (of column names)
    ),
    # The database's clock is the wall's, which is never ahead of the domain's: what is overdue by it is.
    Proof(
        "what was asked of Stripe was seen to its end",
        """
        SELECT id, format('%s is open since %s: nobody knows what became of it', kind, created_at)
        FROM billing_stripeoperation WHERE finished_at IS NULL AND created_at < now() - interval '1 day'
        """,
    ),
    # A sync that fails is due again in ten minutes, for ever: that it never came through shows at the period's end.
    Proof(
        "Stripe was asked when it was due",
        """
        SELECT id, format('due since %s, and last asked %s', least(sync_due_at, paid_end), coalesce(synced_at::text,
            'never'))
        FROM billing_subscription WHERE stripe_customer_id IS NOT NULL AND (
            sync_due_at < now() - interval '1 day'
            OR stripe_status NOT IN ('', 'canceled', 'incomplete_expired') AND paid_end < now() - interval '1 day'
                AND (synced_at IS NULL OR synced_at < paid_end))
        """,
    ),
]
