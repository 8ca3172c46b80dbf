"""Who calls, and what the tables hold before the first request is measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from django.db import connection
from rest_framework_simplejwt.tokens import AccessToken

from accounts import tokens
from accounts.models import User
from billing import lifecycle
from billing.models import Plan, Subscription, UsagePeriod
from billing.periods import calendar_month
from deploy.postgres import SUPERUSER, Cluster
from tests.bench.models import Row

WORKSPACES = 500
MANY_SESSIONS, FEW_SESSIONS = 100_000, 20


@dataclass(frozen=True)
class Caller:
    """One user in their own workspace; `bare` is the token that the bare views understand."""

    workspace: str
    token: str
    bare: str


@dataclass(frozen=True)
class Cast:
    """`granted` are on an unlimited plan, `refused` on FREE with every run spent."""

    granted: list[Caller]
    refused: list[Caller]
    many_sessions: Caller
    few_sessions: Caller


def make() -> Cast:
    with connection.cursor() as cursor:
        # For this connection, which only prepares.
        cursor.execute("SET synchronous_commit = off")
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    now = datetime.now(UTC)
    Row.objects.create(user_id=User.objects.create_user("row@example.com", None, fullname="Row").pk, text="One row")
    granted = [_caller(f"granted-{number}", now, plan=Plan.ENTERPRISE) for number in range(WORKSPACES)]
    refused = [_caller(f"refused-{number}", now) for number in range(WORKSPACES)]
    _spend([caller.workspace for caller in refused], now)
    many, few = (_caller(name, now, plan=Plan.ENTERPRISE) for name in ("many", "few"))
    _fill_sessions(many.workspace, MANY_SESSIONS)
    _fill_sessions(few.workspace, FEW_SESSIONS)
    return Cast(granted, refused, many, few)


def _caller(name: str, now: datetime, *, plan: str = Plan.FREE) -> Caller:
    user = User.objects.create_user(f"{name}@example.com", None, fullname=name)
    if plan != Plan.FREE:
        subscription = Subscription.objects.with_plans().get(workspace__personal_user=user)
        lifecycle.comp(
            subscription,
            plan=Plan.objects.get(slug=plan),
            until=now + timedelta(days=300),
            reason="Benchmark",
            actor=None,
            now=now,
        )
    bare = AccessToken.for_user(user)
    return Caller(str(user.personal_workspace.pk), tokens.sign_in(user).access_token, str(bare))


def _spend(workspaces: Iterable[str], now: datetime) -> None:
    month, free = calendar_month(now), Plan.objects.free()
    UsagePeriod.objects.bulk_create(
        UsagePeriod(
            workspace_id=workspace,
            source="free",
            starts_at=month.start,
            ends_at=month.end,
            plan=free,
            runs_limit=free.runs_limit,
            used=free.runs_limit or 0,
        )
        for workspace in workspaces
    )


def _fill_sessions(workspace: str, count: int) -> None:
    """Ended ones, with a run each, spread over a year."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH session AS (
                INSERT INTO sessions_app_session (id, workspace_id, created_by_id, title, status, latest_message,
                    latest_message_at, last_activity_at, created_at)
                SELECT uuidv7(-shift), w.id, w.personal_user_id, 'Session', 'completed', 'Done.',
                    now() - shift, now() - shift, now() - shift
                FROM accounts_workspace w, generate_series(1, %(count)s) n,
                    LATERAL (SELECT n * interval '1 year' / %(count)s AS shift)
                WHERE w.id = %(workspace)s
                RETURNING id, workspace_id, created_at
            )
            INSERT INTO sessions_app_run (workspace_id, session_id, prompt, status, failure_kind, error, is_charged,
                created_at, handed_at, start_by, started_at, finished_at)
            SELECT workspace_id, id, 'Prompt', 'succeeded', '', '', true,
                created_at, created_at, created_at, created_at, created_at FROM session
            """,
            {"count": count, "workspace": workspace},
        )


def fill_ledger(cluster: Cluster, database: str, lines: int) -> None:
    """Consume lines of the past year: a fifth in one workspace, the rest spread over all.

    As the superuser, without triggers, and with the indexes built afterwards: what is there in the end
    is the same, and some minutes are saved.
    """
    with psycopg.connect(cluster.url(database, SUPERUSER), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("SET maintenance_work_mem = '512MB'")
        rebuilt = superuser.execute(
            """
            SELECT i.indexname, i.indexdef, c.conname, pg_get_constraintdef(c.oid) FROM pg_indexes i
            LEFT JOIN pg_constraint c ON c.conname = i.indexname AND c.conrelid = 'billing_ledgerentry'::regclass
            WHERE i.schemaname = 'public' AND i.tablename = 'billing_ledgerentry'
            """
        ).fetchall()
        for name, _, constraint, _ in rebuilt:
            superuser.execute(
                f"ALTER TABLE billing_ledgerentry DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {name}"
            )
        superuser.execute(_LEDGER, {"lines": lines})
        for _, index, constraint, definition in rebuilt:
            superuser.execute(
                f"ALTER TABLE billing_ledgerentry ADD CONSTRAINT {constraint} {definition}" if constraint else index
            )
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


_LEDGER = """
INSERT INTO billing_ledgerentry (id, workspace_id, kind, quantity, run_id, period_id, balance, created_at)
SELECT uuidv7(-shift), w.ids[CASE WHEN mod(n, 5) = 0 THEN 1 ELSE 1 + mod(n, cardinality(w.ids)) END],
    'consume', -1, uuidv7(-shift), p.id, 1, now() - shift
FROM (SELECT array_agg(id ORDER BY id) AS ids FROM accounts_workspace) w,
    (SELECT id FROM billing_usageperiod LIMIT 1) p,
    generate_series(1, %(lines)s) n,
    LATERAL (SELECT (%(lines)s - n) * interval '1 year' / %(lines)s AS shift)
"""
