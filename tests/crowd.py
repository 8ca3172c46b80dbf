"""As many customers as one likes, fast: written by SQL, each as the service would have made them.

    python -m tests.crowd postgres://... --workspaces 1000000 --lines 10000000

Nine in ten pay nothing; of all some are on trial, past due, ended, on hold, suspended or comped, enough of each
to fill a page of a list already among a thousand. Every counter is what its lines add up to.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg

# Of so many workspaces there is one that pays, and of so many one of each rarer kind.
PAYS, RARE = 10, 200

_PEOPLE = """
INSERT INTO accounts_user (id, password, is_superuser, email, person_hash, fullname, is_email_verified, is_staff,
    is_active, auth_epoch, language, created_at)
SELECT uuidv7(-shift), '!', false, 'crowd' || n || '@example.net', md5('crowd' || n), 'Crowd ' || n || ' Ltd', true,
    false, n %% 997 <> 0 OR n %% %(pays)s = 0, 0, '', now() - shift
FROM generate_series(1, %(workspaces)s::int) n,
    LATERAL (SELECT (%(workspaces)s - n) * interval '2 years' / %(workspaces)s AS shift) of
"""
_WORKSPACES = """
INSERT INTO accounts_workspace (id, name, personal_user_id, may_admins_bill, suspended_at, created_at)
SELECT uuidv7(created_at - now()), fullname, id, false,
    CASE WHEN n %% 19 = 0 AND n %% %(pays)s <> 0 THEN now() END, created_at
FROM accounts_user, LATERAL (SELECT substr(email, 6, length(email) - 17)::int AS n) of
WHERE email LIKE 'crowd%%@example.net' ORDER BY id
"""
_MEMBERSHIPS = """
INSERT INTO accounts_membership (id, workspace_id, user_id, role, created_at)
SELECT uuidv7(), w.id, w.personal_user_id, 'owner', w.created_at FROM accounts_workspace w
JOIN accounts_user u ON u.id = w.personal_user_id WHERE u.email LIKE 'crowd%%@example.net'
"""
_OWNERSHIPS = """
INSERT INTO accounts_ownership (workspace_id, user_id, since)
SELECT w.id, w.personal_user_id, w.created_at FROM accounts_workspace w
JOIN accounts_user u ON u.id = w.personal_user_id WHERE u.email LIKE 'crowd%%@example.net'
"""
_SUBSCRIPTIONS = """
WITH numbered AS (
    SELECT w.*, substr(u.email, 6, length(u.email) - 17)::int AS n FROM accounts_workspace w
    JOIN accounts_user u ON u.id = w.personal_user_id WHERE u.email LIKE 'crowd%%@example.net'
), plans AS (
    SELECT (SELECT id FROM billing_plan WHERE slug = 'free') AS free,
        (SELECT id FROM billing_plan WHERE slug = 'trial') AS trial,
        (SELECT id FROM billing_plan WHERE slug = 'basic') AS basic,
        (SELECT id FROM billing_plan WHERE slug = 'pro') AS pro,
        (SELECT id FROM billing_price WHERE unit_amount = 1900 AND is_active LIMIT 1) AS price
)
INSERT INTO billing_subscription (id, workspace_id, base_plan_id, trial_plan_id, trial_start, trial_end,
    comp_plan_id, comp_start, comp_end, comp_reason, paid_plan_id, paid_price_id, stripe_customer_id,
    stripe_subscription_id, stripe_status, paid_interval, monthly_amount, currency, paid_anchor, paid_start, paid_end,
    is_period_paid, is_collection_paused, oldest_unpaid_at, first_paid_at, card_expires_at, pending_interval,
    on_hold_since, hold_reason, hold_released, sync_number, created_at, updated_at)
SELECT uuidv7(created_at - now()), n.id, free,
    CASE WHEN is_trial THEN trial END, CASE WHEN is_trial THEN now() - since END,
    CASE WHEN is_trial THEN now() - since + interval '14 days' END,
    CASE WHEN is_comp THEN pro END, CASE WHEN is_comp THEN now() - since END,
    CASE WHEN is_comp THEN now() + since END, CASE WHEN is_comp THEN 'A partner' ELSE '' END,
    CASE WHEN pays THEN basic END, CASE WHEN pays THEN price END,
    'cus_crowd' || n.n, CASE WHEN pays THEN 'sub_crowd' || n.n ELSE '' END,
    CASE WHEN NOT pays THEN '' WHEN n.n %% %(rare)s = 0 THEN 'past_due' WHEN n.n %% 7 = 0 THEN 'canceled'
        ELSE 'active' END,
    CASE WHEN pays THEN 'month' ELSE '' END, CASE WHEN pays THEN 1900 ELSE 0 END,
    CASE WHEN pays THEN 'usd' ELSE '' END, CASE WHEN pays THEN now() - since END, CASE WHEN pays THEN now() - since END,
    CASE WHEN pays THEN now() - since + interval '31 days' END, pays, false,
    CASE WHEN pays AND n.n %% %(rare)s = 0 THEN now() - since END, CASE WHEN pays THEN created_at END,
    CASE WHEN pays AND n.n %% 50 = 0 THEN now() + interval '1 day' END, '',
    CASE WHEN pays AND n.n %% 2000 = 0 THEN now() END, CASE WHEN pays AND n.n %% 2000 = 0 THEN 'dp_1' ELSE '' END, '',
    1, created_at, created_at
FROM numbered n, plans, LATERAL (SELECT n.n %% %(pays)s = 0 AS pays, n.n %% 101 = 0 AS is_trial,
    n.n %% 499 = 0 AS is_comp, (n.n %% 30) * interval '1 day' + interval '1 hour' AS since) of
ORDER BY n.id
"""
_HISTORY = """
INSERT INTO billing_subscriptionchange (id, subscription_id, at, cause, before, after, monthly_amount, currency)
SELECT uuidv7(s.created_at - now()), s.id, s.created_at, 'stripe', '{}', '{}',
    CASE WHEN s.stripe_status IN ('active', 'past_due') AND s.on_hold_since IS NULL THEN s.monthly_amount ELSE 0 END,
    CASE WHEN s.stripe_status IN ('active', 'past_due') AND s.on_hold_since IS NULL THEN s.currency ELSE '' END
FROM billing_subscription s WHERE s.stripe_customer_id LIKE 'cus_crowd%%'
"""
_PERIODS = """
INSERT INTO billing_usageperiod (id, workspace_id, source, starts_at, ends_at, plan_id, runs_limit, used)
SELECT uuidv7(), s.workspace_id, 'free', date_trunc('month', now(), 'UTC'),
    date_trunc('month', now(), 'UTC') + interval '1 month', s.base_plan_id, NULL, 0
FROM billing_subscription s WHERE s.stripe_customer_id LIKE 'cus_crowd%%'
"""
_LINES = """
INSERT INTO billing_ledgerentry (id, workspace_id, kind, quantity, run_id, period_id, balance, created_at)
SELECT uuidv7(-shift), p.workspace_ids[i], 'consume', -1, uuidv7(-shift), p.ids[i], NULL, now() - shift
FROM (SELECT array_agg(b.id ORDER BY b.id) AS ids, array_agg(b.workspace_id ORDER BY b.id) AS workspace_ids
      FROM billing_usageperiod b JOIN billing_subscription s ON s.workspace_id = b.workspace_id
      WHERE s.stripe_customer_id LIKE 'cus_crowd%%') p,
    generate_series(%(first)s::int, %(last)s::int) n,
    LATERAL (SELECT (%(lines)s - n) * interval '1 year' / %(lines)s AS shift, 1 + n %% cardinality(p.ids) AS i) of
"""
_COUNTERS = """
UPDATE billing_usageperiod b SET used = l.used
FROM (SELECT period_id, count(*) AS used FROM billing_ledgerentry GROUP BY period_id) l WHERE l.period_id = b.id
"""
_GRANTS = """
WITH made AS (
    INSERT INTO billing_creditgrant (id, workspace_id, kind, quantity, used, expires_at, reason, created_at)
    SELECT uuidv7(), workspace_id, 'given', 25, 0, now() + interval '30 days', 'An outage', now()
    FROM billing_subscription WHERE stripe_customer_id LIKE 'cus_crowd%%0' RETURNING id, workspace_id
)
INSERT INTO billing_ledgerentry (id, workspace_id, kind, quantity, grant_id, balance, created_at)
SELECT uuidv7(), workspace_id, 'grant', 25, id, 25, now() FROM made
"""
_REFUSALS = """
INSERT INTO billing_refusal (workspace_id, code, minute, count, last_at, plan_id, held)
SELECT workspace_id, 'quota_exceeded', date_trunc('minute', now()) - (row_number() OVER () %% 80000) * interval '1 min',
    3, now() - (row_number() OVER () %% 80000) * interval '1 min', base_plan_id, '{}'
FROM billing_subscription WHERE stripe_customer_id LIKE 'cus_crowd%%5'
"""
_EVENTS = """
INSERT INTO billing_stripeevent (stripe_id, type, customer, points_to, payload, created_at, received_at, is_caught_up,
    state, attempts, next_attempt_at, error, done_at)
SELECT 'evt_crowd' || row_number() OVER (), 'invoice.paid', stripe_customer_id, '', '{}', now(), now(), false,
    CASE WHEN dead THEN 'dead' ELSE 'done' END, 1, now(), '', CASE WHEN NOT dead THEN now() END
FROM billing_subscription, LATERAL (SELECT stripe_customer_id LIKE '%%9' AS dead) of
WHERE stripe_customer_id LIKE 'cus_crowd%%'
"""
_TRAIL = """
INSERT INTO billing_auditentry (id, at, actor_name, action, workspace_id, workspace_name, target, reason, before, after)
SELECT uuidv7(), now(), '', 'give credits', s.workspace_id, w.name, 'subscription:' || s.id, 'An outage', '{}', '{}'
FROM billing_subscription s JOIN accounts_workspace w ON w.id = s.workspace_id
WHERE s.stripe_customer_id LIKE 'cus_crowd%%0'
"""
STEPS: Final = {
    "people": _PEOPLE,
    "workspaces": _WORKSPACES,
    "memberships": _MEMBERSHIPS,
    "ownerships": _OWNERSHIPS,
    "subscriptions": _SUBSCRIPTIONS,
    "history": _HISTORY,
    "periods": _PERIODS,
    "ledger": _LINES,
    "counters": _COUNTERS,
    "credits": _GRANTS,
    "refusals": _REFUSALS,
    "deliveries": _EVENTS,
    "trail": _TRAIL,
}
# Of the ledger at once.
AT_ONCE = 1_000_000


def gather(
    connection: psycopg.Connection, *, workspaces: int, lines: int, say: Callable[[str], None] | None = None
) -> None:
    """Into a database that is migrated and has its plans. As a superuser it takes a few minutes for a million."""
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        # What is written refers to what was written just now: no need to look at each line again.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("SET session_replication_role = replica")
    for name, sql in STEPS.items():
        begun = time.monotonic()
        spans = (
            [(n, min(n + AT_ONCE, lines + 1) - 1) for n in range(1, lines + 1, AT_ONCE)] if sql is _LINES else [(0, 0)]
        )
        count = 0
        for first, last in spans:
            done = connection.execute(
                sql,
                {
                    "workspaces": workspaces,
                    "lines": lines,
                    "first": first,
                    "last": last,
                    "pays": PAYS,
                    "rare": RARE,
                },
            )
            count += done.rowcount
        if say is not None:
            say(f"{name}: {count:,} in {time.monotonic() - begun:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crowd", description=__doc__)
    parser.add_argument("database", help="its address; as a superuser it is several times as fast")
    parser.add_argument("--workspaces", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=10_000_000, help="of the ledger")
    options = parser.parse_args()
    with psycopg.connect(options.database, autocommit=True) as connection:
        gather(connection, workspaces=options.workspaces, lines=options.lines, say=lambda text: print(text, flush=True))
        connection.execute("VACUUM ANALYZE")


if __name__ == "__main__":
    main()
