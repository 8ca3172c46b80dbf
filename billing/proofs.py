"""Statements that find nothing while the books are right: what `check_billing` runs over the whole database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

from billing.models import AuditEntry, Subscription


@dataclass(frozen=True)
class Proof:
    """`sql` selects `(id, sentence)` rows for what is off; a proof that holds selects none."""

    name: str
    sql: str


@dataclass(frozen=True)
class Finding:
    proof: str
    id: str
    sentence: str


def _is_off(field: "models.Field[Any, Any]") -> str:
    """SQL for a column that is not as the history line `c` has it. A line older than the column says nothing of it."""
    value = f"s.{field.column}"
    if isinstance(field, models.DateTimeField):
        # JSON keeps an instant to the millisecond.
        differs = f"(c.after ->> '{field.attname}')::timestamptz IS DISTINCT FROM date_trunc('milliseconds', {value})"
    else:
        differs = f"c.after ->> '{field.attname}' IS DISTINCT FROM {value}::text"
    return f"(c.after ? '{field.attname}' AND {differs})"


# Also listed by a reconciliation, as what staff must decide. A cancel at the end of what is paid is the remedy.
CHARGED_IN_VAIN = Proof(
    "nobody is charged for what nobody can use",
    """
    SELECT w.id, format('is %s at Stripe, and %s', s.stripe_status,
        CASE WHEN w.closed_at IS NOT NULL THEN 'closed' WHEN w.suspended_at IS NOT NULL THEN 'suspended'
            ELSE 'without an owner who can sign in' END)
    FROM billing_subscription s JOIN accounts_workspace w ON w.id = s.workspace_id
    WHERE s.stripe_status IN ('active', 'trialing', 'past_due', 'unpaid') AND NOT s.is_collection_paused
        AND (s.cancel_at IS NULL OR s.cancel_at > s.paid_end)
        AND (w.closed_at IS NOT NULL OR w.suspended_at IS NOT NULL OR NOT EXISTS (
            SELECT FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id
            WHERE m.workspace_id = w.id AND m.role = 'owner' AND u.is_active))
    """,
)

# Periods that were paid by the mirror: lines of a subscription; a proration's begins elsewhere. An invoice keeps its
# lines in JSON, so this reads each invoice once; all else is joined to it. A customer that was deleted paid too.
_PAID_LINES = """
    SELECT c.subscriber_id AS workspace_id, i.id AS invoice_id,
        l -> 'pricing' -> 'price_details' ->> 'price' AS price_id,
        to_timestamp((l -> 'period' ->> 'start')::bigint) AS starts_at,
        to_timestamp((l -> 'period' ->> 'end')::bigint) AS ends_at
    FROM djstripe_invoice i
    JOIN djstripe_customer c ON c.id = i.customer_id
    CROSS JOIN LATERAL jsonb_array_elements(i.stripe_data -> 'lines' -> 'data') l
    WHERE i.stripe_data ->> 'status' = 'paid' AND c.subscriber_id IS NOT NULL
        AND l -> 'parent' ->> 'type' = 'subscription_item_details'
"""

#: What was paid, by the mirror, against what was granted for it. One pass over the mirrored invoices,
#: subscriptions or refunds each, some five seconds for 100,000 invoices; the ledger is read by its index on the
#: workspace, and history only for a bucket or period that does not match.
MONEY_PROOFS = [
    # The paid period, or its beginning where another one began in it, or a month of a paid year. Without that a
    # bucket must have a reason: no more was granted than may be without a payment (unpaid, past its end, news that
    # are late), Stripe's own trial, or what staff gave in the period.
    Proof(
        "a paid bucket is covered by a paid invoice, or has its reason",
        f"""
        WITH paid AS MATERIALIZED ({_PAID_LINES})
        SELECT b.id, format('%s runs were granted in the period from %s to %s, and no invoice of it is paid',
            granted.runs, b.starts_at, b.ends_at)
        FROM billing_usageperiod b
        JOIN billing_subscription s ON s.workspace_id = b.workspace_id
        JOIN billing_plan p ON p.id = b.plan_id
        JOIN billing_plan base ON base.id = s.base_plan_id
        CROSS JOIN LATERAL (
            SELECT coalesce(-sum(l.quantity), 0) AS runs FROM billing_ledgerentry l
            WHERE l.workspace_id = b.workspace_id AND l.period_id = b.id AND l.run_id IS NOT NULL) granted
        WHERE b.source = 'paid'
            AND EXISTS (SELECT FROM djstripe_customer c WHERE c.subscriber_id = b.workspace_id)
            AND NOT EXISTS (
                SELECT FROM paid WHERE paid.workspace_id = b.workspace_id
                    AND paid.starts_at = b.starts_at AND paid.ends_at >= b.ends_at)
            AND NOT EXISTS (
                SELECT FROM paid WHERE paid.workspace_id = b.workspace_id
                    AND paid.starts_at <= b.starts_at AND b.ends_at <= paid.ends_at
                    AND paid.ends_at > paid.starts_at + interval '32 days')
            AND coalesce(p.grace_runs, p.runs_limit) IS NOT NULL AND base.runs_limit IS NOT NULL
            AND granted.runs > greatest(
                coalesce(p.grace_runs, ceil(greatest(p.runs_limit, b.runs_limit) / 10.0)), base.runs_limit)
            AND NOT EXISTS (
                SELECT FROM billing_subscriptionchange h WHERE h.subscription_id = s.id AND (
                    h.after ->> 'stripe_status' = 'trialing'
                        AND (h.after ->> 'paid_start')::timestamptz = b.starts_at
                    OR (h.after ->> 'comp_start')::timestamptz < b.ends_at
                        AND (h.after ->> 'comp_end')::timestamptz > b.starts_at
                    OR h.after ->> 'runs_override' IS NOT NULL AND h.at < b.ends_at
                        AND (h.after ->> 'runs_override_end')::timestamptz > b.starts_at))
        """,  # noqa: S608  (of the text above)
    ),
    # A bucket is opened by the sync that sees the payment. Who ran on FREE after it was seen was cut down.
    Proof(
        "a paid period in which runs were started has its bucket",
        f"""
        WITH paid AS MATERIALIZED ({_PAID_LINES})
        SELECT paid.invoice_id, format('is paid from %s to %s, and the runs of that time were counted as %s',
            paid.starts_at, paid.ends_at, min(b.source))
        FROM paid
        JOIN billing_price price ON price.stripe_price_id = paid.price_id
        JOIN billing_plan p ON p.id = price.plan_id
        JOIN billing_usageperiod b ON b.workspace_id = paid.workspace_id AND b.source = 'free' AND b.used > 0
            AND b.starts_at < paid.ends_at AND b.ends_at > paid.starts_at
        JOIN billing_plan lower ON lower.id = b.plan_id AND lower.rank < p.rank
        JOIN billing_subscription s ON s.workspace_id = paid.workspace_id
        WHERE NOT EXISTS (
                SELECT FROM billing_usageperiod own WHERE own.workspace_id = paid.workspace_id
                    AND own.source = 'paid' AND own.starts_at >= paid.starts_at AND own.starts_at < paid.ends_at)
            AND EXISTS (
                SELECT FROM billing_subscriptionchange h
                JOIN billing_ledgerentry l ON l.workspace_id = s.workspace_id AND l.period_id = b.id
                    AND l.kind = 'consume' AND l.created_at >= h.at AND l.created_at < paid.ends_at
                WHERE h.subscription_id = s.id AND (h.after ->> 'paid_start')::timestamptz = paid.starts_at
                    AND h.after ->> 'stripe_status' = 'active' AND (h.after ->> 'is_period_paid')::boolean
                    AND NOT (h.after ->> 'is_collection_paused')::boolean
                    AND h.after ->> 'on_hold_since' IS NULL)
        GROUP BY paid.invoice_id, paid.starts_at, paid.ends_at
        """,  # noqa: S608  (of the text above)
    ),
    Proof(
        "a workspace has one live subscription at most",
        """
        SELECT c.subscriber_id, format('%s subscriptions are live: %s', count(*), string_agg(m.id, ', ' ORDER BY m.id))
        FROM djstripe_subscription m JOIN djstripe_customer c ON c.id = m.customer_id
        WHERE c.subscriber_id IS NOT NULL AND c.date_purged IS NULL
            AND m.stripe_data ->> 'status' IN ('active', 'trialing', 'past_due', 'unpaid', 'paused')
        GROUP BY c.subscriber_id HAVING count(*) > 1
        """,
    ),
    Proof(
        "no more is given back than was paid",
        """
        SELECT g.id, format('%s of %s %s were given back', r.amount, g.stripe_data ->> 'amount_captured',
            g.stripe_data ->> 'currency')
        FROM djstripe_charge g
        JOIN (SELECT charge_id, sum(amount) AS amount FROM djstripe_refund
              WHERE stripe_data ->> 'status' NOT IN ('failed', 'canceled') GROUP BY charge_id) r ON r.charge_id = g.id
        WHERE r.amount > (g.stripe_data ->> 'amount_captured')::bigint
        """,
    ),
    CHARGED_IN_VAIN,
    Proof(
        "the last reconciliation found no orphans",
        """
        SELECT o ->> 'id', format('the %s %s', o ->> 'kind', o ->> 'sentence')
        FROM (SELECT orphans FROM billing_reconciliationreport WHERE finished_at IS NOT NULL AND is_whole
              ORDER BY id DESC LIMIT 1) r
        CROSS JOIN LATERAL jsonb_array_elements(r.orphans) o
        """,
    ),
]

#: Invariants 1 and 2, over counters, grants, ledger and history, what is left over of speaking to Stripe,
#: and money; sessions add what concerns their runs.
PROOFS: list[Proof] = [
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
    *MONEY_PROOFS,
]


@transaction.atomic
def find() -> list[Finding]:
    """Run every proof on one snapshot, a statement each."""
    findings = []
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for proof in PROOFS:
            cursor.execute(proof.sql)
            findings += [Finding(proof.name, str(id), sentence) for id, sentence in cursor.fetchall()]
    return findings


@transaction.atomic
def repair(*, reason: str, now: datetime) -> int:
    """Set every counter to what its ledger lines add up to, with an audit entry each; the number of counters mended.

    Lines that add up to less than nothing, or to more than a grant holds, are no counter's fault and stay as findings.
    """
    with connection.cursor() as cursor:
        # Nobody consumes or returns meanwhile, so that no line comes between the sum and the counter.
        cursor.execute("LOCK TABLE billing_usageperiod, billing_creditgrant IN SHARE ROW EXCLUSIVE MODE")
        mended = []
        for sql in (_REPAIR_PERIODS, _REPAIR_GRANTS):
            cursor.execute(sql)
            mended += cursor.fetchall()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now,
            action="repair counter",
            workspace_id=workspace,
            target=f"{model}:{id}",
            reason=reason,
            before={"used": before},
            after={"used": after},
        )
        for model, id, workspace, before, after in mended
    )
    return len(mended)


_REPAIR_PERIODS = """
WITH truth AS (
    SELECT b.id, b.used AS before, coalesce(-sum(l.quantity), 0) AS after
    FROM billing_usageperiod b LEFT JOIN billing_ledgerentry l ON l.period_id = b.id GROUP BY b.id
)
UPDATE billing_usageperiod b SET used = truth.after FROM truth
WHERE b.id = truth.id AND truth.before <> truth.after AND truth.after >= 0
RETURNING 'usageperiod', b.id, b.workspace_id, truth.before, b.used
"""
_REPAIR_GRANTS = """
WITH truth AS (
    SELECT g.id, g.used AS before, g.quantity - coalesce(sum(l.quantity), 0) AS after
    FROM billing_creditgrant g LEFT JOIN billing_ledgerentry l ON l.grant_id = g.id GROUP BY g.id
)
UPDATE billing_creditgrant g SET used = truth.after FROM truth
WHERE g.id = truth.id AND truth.before <> truth.after AND truth.after BETWEEN 0 AND g.quantity
RETURNING 'creditgrant', g.id, g.workspace_id, truth.before, g.used
"""
