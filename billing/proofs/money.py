"""What was paid against what was granted, and what is charged or owed; by the mirror, which has what Stripe holds."""

from billing.proofs.proof import Proof
from billing.snapshots import KNOWN

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

# The same. A bank can send a refund back days later; the money is with us again, and still the customer's. It is
# settled by another refund of as much, by one of all that is left, or otherwise: then staff write so at Stripe, into
# the refund's metadata.
OWED = Proof(
    "a refund that failed was given back otherwise",
    """
    SELECT f.id, format('failed (%s): %s %s of the charge %s are owed to workspace %s',
        coalesce(f.stripe_data ->> 'failure_reason', 'unknown'), f.amount, f.stripe_data ->> 'currency', g.id,
        c.subscriber_id)
    FROM djstripe_refund f
    JOIN djstripe_charge g ON g.id = f.charge_id
    JOIN djstripe_customer c ON c.id = g.customer_id
    WHERE f.stripe_data ->> 'status' = 'failed' AND NOT coalesce(f.stripe_data -> 'metadata' ? 'settled', false)
        AND c.subscriber_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM djstripe_refund r WHERE r.charge_id = f.charge_id AND r.created > f.created
            AND r.amount = f.amount AND r.stripe_data ->> 'status' <> 'canceled')
        AND (g.stripe_data ->> 'amount_captured')::bigint > (
            SELECT coalesce(sum(r.amount), 0) FROM djstripe_refund r
            WHERE r.charge_id = f.charge_id AND r.stripe_data ->> 'status' NOT IN ('failed', 'canceled'))
    """,
)

# Periods that were paid by the mirror: lines of a subscription; a proration's begins elsewhere. An invoice keeps its
# lines in JSON, which is long to unpack: only that of who is suspected for another reason, and once. A customer that
# was deleted paid too.
_PAID_LINES_OF_SUSPECTS = """
    SELECT c.subscriber_id AS workspace_id, i.id AS invoice_id,
        l -> 'pricing' -> 'price_details' ->> 'price' AS price_id,
        to_timestamp((l -> 'period' ->> 'start')::bigint) AS starts_at,
        to_timestamp((l -> 'period' ->> 'end')::bigint) AS ends_at
    FROM djstripe_customer c
    JOIN djstripe_invoice i ON i.customer_id = c.id
    CROSS JOIN LATERAL jsonb_to_record(i.stripe_data) AS held (status text, lines jsonb)
    CROSS JOIN LATERAL jsonb_array_elements(held.lines -> 'data') l
    WHERE c.subscriber_id IN (SELECT workspace_id FROM suspect)
        AND held.status = 'paid' AND l -> 'parent' ->> 'type' = 'subscription_item_details'
"""

#: What was paid, by the mirror, against what was granted for it. A pass each over ledger, history, and mirrored
#: subscriptions and refunds; of the invoices only over those of who was granted more than may be without a payment.
#: With 100,000 invoices, all of whose payers were, the first takes some three seconds, and the others far less.
MONEY_PROOFS = [
    # The paid period, or its beginning where another one began in it, or a month of a paid year. Without that a
    # bucket must have a reason: no more was granted than may be without a payment (unpaid, past its end, news that
    # are late), Stripe's own trial, or what staff gave in the period.
    Proof(
        "a paid bucket is covered by a paid invoice, or has its reason",
        f"""
        WITH suspect AS MATERIALIZED (
            SELECT b.id, b.workspace_id, b.starts_at, b.ends_at, s.id AS subscription_id, granted.runs
            FROM billing_usageperiod b
            JOIN (SELECT period_id, -sum(quantity) AS runs FROM billing_ledgerentry
                  WHERE period_id IS NOT NULL AND run_id IS NOT NULL GROUP BY period_id) granted
                ON granted.period_id = b.id
            JOIN billing_subscription s ON s.workspace_id = b.workspace_id
            JOIN billing_plan p ON p.id = b.plan_id
            JOIN billing_plan base ON base.id = s.base_plan_id
            WHERE b.source = 'paid'
                AND EXISTS (SELECT FROM djstripe_customer c WHERE c.subscriber_id = b.workspace_id)
                AND coalesce(p.grace_runs, p.runs_limit) IS NOT NULL AND base.runs_limit IS NOT NULL
                AND granted.runs > greatest(
                    coalesce(p.grace_runs, ceil(greatest(p.runs_limit, b.runs_limit) / 10.0)), base.runs_limit)
        ), paid AS MATERIALIZED ({_PAID_LINES_OF_SUSPECTS})
        SELECT b.id, format('%s runs were granted in the period from %s to %s, and no invoice of it is paid',
            b.runs, b.starts_at, b.ends_at)
        FROM suspect b
        WHERE NOT EXISTS (
                SELECT FROM paid WHERE paid.workspace_id = b.workspace_id
                    AND paid.starts_at = b.starts_at AND paid.ends_at >= b.ends_at)
            AND NOT EXISTS (
                SELECT FROM paid WHERE paid.workspace_id = b.workspace_id
                    AND paid.starts_at <= b.starts_at AND b.ends_at <= paid.ends_at
                    AND paid.ends_at > paid.starts_at + interval '32 days')
            AND NOT EXISTS (
                SELECT FROM billing_subscriptionchange h WHERE h.subscription_id = b.subscription_id AND (
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
        WITH suspect AS MATERIALIZED (
            SELECT b.workspace_id, b.id, b.plan_id, b.source, b.starts_at, b.ends_at,
                (h.after ->> 'paid_start')::timestamptz AS paid_start, l.created_at AS ran_at
            FROM billing_usageperiod b
            JOIN billing_subscription s ON s.workspace_id = b.workspace_id
            JOIN billing_subscriptionchange h ON h.subscription_id = s.id AND h.at < b.ends_at
            -- The first run after it was seen; a bucket's runs are started within it.
            CROSS JOIN LATERAL (
                SELECT created_at FROM billing_ledgerentry l
                WHERE l.workspace_id = b.workspace_id AND l.period_id = b.id AND l.kind = 'consume'
                    AND l.created_at >= greatest(h.at, b.starts_at) AND l.created_at < b.ends_at
                ORDER BY created_at LIMIT 1) l
            WHERE b.source = 'free' AND b.used > 0
                AND h.after ->> 'stripe_status' = 'active' AND (h.after ->> 'is_period_paid')::boolean
                AND NOT (h.after ->> 'is_collection_paused')::boolean AND h.after ->> 'on_hold_since' IS NULL
        ), paid AS MATERIALIZED ({_PAID_LINES_OF_SUSPECTS})
        SELECT paid.invoice_id, format('is paid from %s to %s, and the runs of that time were counted as %s',
            paid.starts_at, paid.ends_at, min(b.source))
        FROM suspect b
        JOIN paid ON paid.workspace_id = b.workspace_id AND paid.starts_at = b.paid_start
            AND b.starts_at < paid.ends_at AND b.ends_at > paid.starts_at AND b.ran_at < paid.ends_at
        JOIN billing_price price ON price.stripe_price_id = paid.price_id
        JOIN billing_plan p ON p.id = price.plan_id
        JOIN billing_plan lower ON lower.id = b.plan_id AND lower.rank < p.rank
        WHERE NOT EXISTS (
            SELECT FROM billing_usageperiod own WHERE own.workspace_id = paid.workspace_id
                AND own.source = 'paid' AND own.starts_at >= paid.starts_at AND own.starts_at < paid.ends_at)
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
    OWED,
    CHARGED_IN_VAIN,
    # Nothing of ours says which plan it is, so that the one that was known goes on.
    Proof(
        "what is paid for is a price of ours",
        """
        SELECT m.id, format('is %s for workspace %s by %s, which is no price of ours', m.stripe_data ->> 'status',
            c.subscriber_id, string_agg(i -> 'price' ->> 'id', ', '))
        FROM djstripe_subscription m
        JOIN djstripe_customer c ON c.id = m.customer_id
        CROSS JOIN LATERAL jsonb_array_elements(m.stripe_data -> 'items' -> 'data') i
        LEFT JOIN billing_price p ON p.stripe_price_id = i -> 'price' ->> 'id'
        WHERE c.subscriber_id IS NOT NULL AND c.date_purged IS NULL
            AND m.stripe_data ->> 'status' NOT IN ('canceled', 'incomplete_expired')
        GROUP BY m.id, m.stripe_data ->> 'status', c.subscriber_id HAVING count(p.id) = 0
        """,
    ),
    Proof(
        "Stripe's word for a subscription is one that is known",
        f"""
        SELECT workspace_id,
            format('is %s at Stripe, a word that was never seen before: it counts as not paid', stripe_status)
        FROM billing_subscription WHERE stripe_status NOT IN ('', {", ".join(f"'{word}'" for word in sorted(KNOWN))})
        """,  # noqa: S608  (of our own words)
    ),
    Proof(
        "the last reconciliation found no orphans",
        """
        SELECT o ->> 'id', format('the %s %s', o ->> 'kind', o ->> 'sentence')
        FROM (SELECT orphans FROM billing_reconciliationreport WHERE finished_at IS NOT NULL AND is_whole
              ORDER BY id DESC LIMIT 1) r
        CROSS JOIN LATERAL jsonb_array_elements(r.orphans) o
        WHERE o ->> 'kind' NOT IN ('workspace', 'refund') -- which the proofs above find as they are now
        """,
    ),
]
