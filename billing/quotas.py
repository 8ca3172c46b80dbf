"""Runs are consumed and returned here, each with its ledger line, exactly.

The counter is kept by one conditional statement in the caller's transaction: it adds where the
sum stays within the limit, and a row that does not come back means no. Nothing is read, compared
and saved; no workspace is locked; of k units left, exactly k are granted, whoever asks at once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.formats import date_format, localize
from django.utils.translation import gettext as _

from accounts.errors import Problem
from accounts.models import User
from billing import refusals
from billing.entitlements import Entitlement, entitlement
from billing.models import CreditGrant, LedgerEntry, Plan, Source, Subscription, UsagePeriod

# A unit that comes back to a bucket that has ended is a credit for this long.
RETURNED_FOR = timedelta(days=30)


class Metric(StrEnum):
    RUNS = "runs"


@dataclass(frozen=True)
class Bucket:
    """The counter of the present period as it stood when it was read."""

    id: uuid.UUID
    plan_id: uuid.UUID
    runs_limit: int | None
    used: int


@dataclass(frozen=True)
class Quota:
    """What may still be started: of the period (`left`), of credits, of both (`remaining`). None: no limit."""

    subscription: Subscription
    entitlement: Entitlement
    bucket: Bucket | None
    credits: int
    carried: int = 0

    @property
    def used(self) -> int:
        """Runs of the period; before its bucket is opened, those that it will open with."""
        return self.bucket.used if self.bucket else self.carried

    @property
    def limit(self) -> int | None:
        if self.bucket is None:
            return self.entitlement.limit(self.entitlement.plan.pk, self.entitlement.plan_limit)
        return self.entitlement.limit(self.bucket.plan_id, self.bucket.runs_limit)

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def remaining(self) -> int | None:
        return None if self.left is None else self.left + self.credits

    def facts(self) -> dict[str, Any]:
        """As it is kept beside a refusal: what held at that instant, and how much of it was used."""
        held = self.entitlement
        return {
            "plan": held.plan.slug,
            "source": held.source,
            "period_start": held.period.start,
            "period_end": held.period.end,
            "limit": self.limit,
            "override": held.override,
            "cap": held.cap,
            "used": self.used,
            "credits": self.credits,
        }

    def headers(self) -> dict[str, str]:
        """X-Quota-*: the limit and the rest in runs, the reset in Unix seconds."""
        return {
            "X-Quota-Limit": "unlimited" if self.limit is None else str(self.limit),
            "X-Quota-Remaining": "unlimited" if self.remaining is None else str(self.remaining),
            "X-Quota-Reset": str(int(self.entitlement.period.end.timestamp())),
        }


class Refused(Problem):
    """402: the plan does not allow it. Carries what a client needs to explain it and to offer the way on."""

    status_code: int = 402

    def __init__(self, detail: str, code: str, quota: Quota) -> None:
        held = quota.entitlement
        self.quota = quota
        super().__init__(
            detail,
            code,
            headers=quota.headers(),
            subscription={
                "plan": held.plan.slug,
                "status": status_of(quota.subscription, held),
                "monthly_runs": quota.used,
                "monthly_runs_limit": quota.limit,
                "resets_at": held.period.end,
            },
            upgrade_url=f"{settings.SITE_URL}/billing/",
        )

    def answered(self, response: HttpResponseBase, user_id: uuid.UUID | None) -> None:
        refusals.note(
            response,
            workspace_id=self.quota.subscription.workspace_id,
            code=self.code,
            user_id=user_id,
            plan_id=self.quota.entitlement.plan.pk,
            held=self.quota.facts(),
        )


class QuotaExceeded(Refused):
    """The period's runs and all credits are spent. Names plan, number, period and reset in words."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(_spent_in_words(quota), "quota_exceeded", quota)


@dataclass(frozen=True)
class Making:
    """How the caller's run comes to be, in the very statement that charges it.

    `sql` is one or more CTEs, of which the last is named `run` and has a column `id`. They select
    from `counter`, which has the one row `(ends_at)` of the bucket that pays, or none when it is
    refused; so a run without its charge, or a charge without its run, cannot be.
    """

    sql: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, run_id: uuid.UUID) -> "Making":
        """A run that is there already."""
        return cls("run AS (SELECT %(run)s::uuid AS id FROM counter)", {"run": run_id})


@dataclass(frozen=True)
class Consumed:
    """A unit that was taken: what is left now, and the columns of `run` as the caller made it."""

    quota: Quota
    run: tuple[Any, ...]


def quota_for(subscription: Subscription, *, now: datetime) -> Quota:
    """What the workspace may still start at `now`; one statement, or none where the request has read the counters."""
    held = entitlement(subscription, now)
    counters, credits = subscription.__dict__.get("counters_read") or _read_counters(subscription, now)
    start, carried = held.period.start.timestamp(), 0
    for source, starts_at, ends_at, *bucket in counters:
        if source != held.bucket_source:
            continue
        if float(starts_at) == start:
            return Quota(subscription, held, Bucket(uuid.UUID(bucket[0]), uuid.UUID(bucket[1]), *bucket[2:]), credits)
        if source == Source.PAID and float(starts_at) < start < float(ends_at):
            carried = bucket[-1]
    return Quota(subscription, held, None, credits, carried)


#: What `quota_for` needs at `now` of a subscription `s`: the buckets that are live, or that the paid
#: period cut short, as JSON rows; and the sum of the workspace's credits.
COUNTERS = (
    """(SELECT json_agg(json_build_array(b.source, extract(epoch FROM b.starts_at), extract(epoch FROM b.ends_at),
            b.id, b.plan_id, b.runs_limit, b.used))
        FROM billing_usageperiod b WHERE b.workspace_id = s.workspace_id
          AND (b.ends_at > %(now)s OR (b.source = 'paid' AND b.ends_at > s.paid_start)))""",
    """(SELECT coalesce(sum(g.quantity - g.used), 0)::int FROM billing_creditgrant g
        WHERE g.workspace_id = s.workspace_id AND g.used < g.quantity
          AND (g.expires_at IS NULL OR g.expires_at > %(now)s))""",
)


def remember_counters(subscription: Subscription, counters: Sequence[Any] | None, credits: int) -> None:
    """Keep what the authenticating statement read, so that a request reads no counter twice."""
    subscription.__dict__["counters_read"] = (counters or [], credits)


def forget_counters(subscription: Subscription) -> None:
    subscription.__dict__.pop("counters_read", None)


def consume(subscription: Subscription, run: Making, *, now: datetime) -> Consumed:
    """Take one unit for a run, or raise QuotaExceeded. Call inside the transaction that the run belongs to.

    The period's own units go first, then credits: the earliest to expire, given before bought.
    """
    if consumed := _consume(subscription, run, now):
        return consumed
    # The facts were read before the counter was reached: a plan that changed in between decides anew.
    fresh = Subscription.objects.with_plans().get(pk=subscription.pk)
    is_changed = entitlement(fresh, now) != entitlement(subscription, now)
    if is_changed and (consumed := _consume(fresh, run, now)):
        return consumed
    forget_counters(fresh)
    raise QuotaExceeded(quota_for(fresh, now=now))


def open_period(quota: Quota, *, now: datetime) -> None:
    """Make the bucket of the present period, once, however many ask for it at once.

    Invariant 7: a paid bucket that begins before its predecessor's end ends that one, and opens
    with its `used`, by a ledger line. FREE, TRIAL and comp buckets begin at nothing.
    """
    held = quota.entitlement
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN_PERIOD,
            {
                "workspace": quota.subscription.workspace_id,
                "source": held.bucket_source,
                "start": held.period.start,
                "end": held.period.end,
                "plan": held.plan.pk,
                "now": now,
            },
        )


@transaction.atomic
def refund(*, run_id: uuid.UUID, now: datetime) -> bool:
    """Give a run's unit back to the very bucket that it came from, once; False when there is nothing to give back.

    A bucket that has ended takes nothing back: the unit becomes a credit of one run for 30 days.
    """
    # Of any number of refunds of one run, all but the first wait here and then see its line.
    line = LedgerEntry.objects.select_for_update().filter(run_id=run_id, kind=LedgerEntry.Kind.CONSUME).first()
    if line is None or LedgerEntry.objects.filter(run_id=run_id, kind=LedgerEntry.Kind.REFUND).exists():
        return False
    parameters = {
        "workspace": line.workspace_id,
        "period": line.period_id,
        "grant": line.grant_id,
        "limit": _limit_of_bucket(line, now),
        "n": -line.quantity,
        "run": run_id,
        "now": now,
    }
    if _one(_REFUND_PERIOD if line.period_id else _REFUND_GRANT, parameters) is None:
        _return_as_credit(line, now)
    return True


def give(
    subscription: Subscription,
    *,
    quantity: int,
    kind: CreditGrant.Kind,
    reason: str,
    now: datetime,
    expires_at: datetime | None = None,
    by: User | None = None,
) -> CreditGrant:
    """Grant runs beside the plan, with the ledger line that says so."""
    with transaction.atomic():
        grant = CreditGrant.objects.create(
            workspace_id=subscription.workspace_id,
            kind=kind,
            quantity=quantity,
            expires_at=expires_at,
            reason=reason,
            created_at=now,
            created_by=by,
        )
        LedgerEntry.objects.create(
            workspace_id=subscription.workspace_id,
            kind=LedgerEntry.Kind.GRANT,
            quantity=quantity,
            grant=grant,
            balance=quantity,
            created_at=now,
        )
    return grant


def short_name(plan: Plan) -> str:
    """How a sentence names a plan: Free for AI-Manus FREE."""
    name = plan.name.removeprefix("AI-Manus ")
    return name.capitalize() if name.isupper() else name


def status_of(subscription: Subscription, held: Entitlement) -> str:
    match held.source:
        case Source.TRIAL:
            return "trialing"
        case Source.PAID:
            return subscription.stripe_status
        case _:
            return "active"


def day_in_words(day: datetime) -> str:
    return f"{day.day} {day:%B %Y}"


def _spent_in_words(quota: Quota) -> str:
    held = quota.entitlement
    match held.source:
        case Source.FREE:
            sentence = _(
                "You have used all %(limit)s runs of the %(plan)s plan for %(month)s. "
                "They reset on %(end)s; a larger plan gives you more now."
            )
        case Source.TRIAL:
            sentence = _(
                "You have used all %(limit)s runs of the %(plan)s plan for the trial. "
                "The trial ends on %(end)s; a larger plan gives you more now."
            )
        case _:
            sentence = _(
                "You have used all %(limit)s runs of the %(plan)s plan for the period from %(start)s. "
                "They reset on %(end)s; a larger plan gives you more now."
            )
    return sentence % {
        "limit": localize(quota.limit),
        "plan": short_name(held.plan),
        # The months of FREE are UTC's; a day is the viewer's, which for the API is UTC's too.
        "month": date_format(held.period.start, "F"),
        "start": date_format(timezone.localtime(held.period.start), "DATE_FORMAT"),
        "end": date_format(timezone.localtime(held.period.end), "DATE_FORMAT"),
    }


def _read_counters(subscription: Subscription, now: datetime) -> tuple[Sequence[Any], int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(COUNTERS)} FROM billing_subscription s WHERE s.id = %(id)s",  # noqa: S608  (of constants)
            {"id": subscription.pk, "now": now},
        )
        counters, credits = cursor.fetchone()
    return counters or [], credits


def _consume(subscription: Subscription, run: Making, now: datetime) -> Consumed | None:
    quota = quota_for(subscription, now=now)
    if quota.bucket is None:
        open_period(quota, now=now)
    return _consume_period(quota, run, now) or _consume_grant(quota, run, now)


def _limit_of_bucket(line: LedgerEntry, now: datetime) -> int | None:
    """The limit by which a refund's balance is written: the entitlement's while the bucket is the present one."""
    if line.period_id is None:
        return None
    bucket = UsagePeriod.objects.get(pk=line.period_id)
    held = entitlement(Subscription.objects.with_plans().get(workspace=line.workspace_id), now)
    if (held.bucket_source, held.period.start) == (bucket.source, bucket.starts_at):
        return held.limit(bucket.plan_id, bucket.runs_limit)
    return bucket.runs_limit


# The plan's number is read where its row is held: one that staff change at this instant is seen, or waits for
# the bucket and changes it too. Who opens it second waits for the first at the predecessor's row, and then finds
# nothing to carry.
_OPEN_PERIOD = """
WITH plan AS (
    SELECT id, runs_limit, earlier_limits FROM billing_plan WHERE id = %(plan)s FOR KEY SHARE
), most AS (
    SELECT id, CASE WHEN earlier.was IS NULL THEN runs_limit ELSE (earlier.was ->> 'runs_limit')::int END AS runs_limit
    FROM plan LEFT JOIN LATERAL (
        SELECT was FROM jsonb_array_elements(earlier_limits) WITH ORDINALITY AS e (was, place)
        WHERE %(start)s < (was ->> 'until')::timestamptz ORDER BY place LIMIT 1
    ) earlier ON true
), predecessor AS (
    UPDATE billing_usageperiod SET ends_at = %(start)s
    WHERE workspace_id = %(workspace)s AND source = 'paid' AND source = %(source)s
      AND starts_at < %(start)s AND ends_at > %(start)s
    RETURNING used
), opened AS (
    INSERT INTO billing_usageperiod (workspace_id, source, starts_at, ends_at, plan_id, runs_limit, used)
    SELECT %(workspace)s, %(source)s, %(start)s, %(end)s, id, runs_limit,
        coalesce((SELECT max(used) FROM predecessor), 0)
    FROM most
    ON CONFLICT (workspace_id, source, starts_at) DO NOTHING
    RETURNING id, used, runs_limit
)
INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, period_id, balance, created_at)
SELECT %(workspace)s, 'adjust', -used, id,
    CASE WHEN runs_limit IS NOT NULL THEN GREATEST(runs_limit - used, 0) END, %(now)s
FROM opened WHERE used > 0
"""


# Invariant 1. The limit is the entitlement's at this instant, so that the end of an override, a comp
# or a cap needs no job. LEAST leaves NULL out: an unlimited plan without a cap stays unlimited.
_MOST = """
    CASE WHEN %(override)s::int IS NOT NULL THEN %(override)s::int
    ELSE LEAST(CASE WHEN b.plan_id = %(plan)s THEN b.runs_limit ELSE %(limit)s::int END, %(cap)s::int) END
"""
_CONSUME_PERIOD = f"""
WITH counter AS (
    UPDATE billing_usageperiod b SET used = b.used + 1
    WHERE b.workspace_id = %(workspace)s AND b.source = %(source)s AND b.starts_at = %(start)s
      AND b.ends_at > %(now)s AND ({_MOST} IS NULL OR b.used + 1 <= {_MOST})
    RETURNING b.id, b.plan_id, b.runs_limit, b.used, b.ends_at, {_MOST} - b.used AS balance
), {{run}}, line AS (
    INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, period_id, balance, created_at)
    SELECT %(workspace)s, 'consume', -1, run.id, counter.id, balance, %(now)s FROM counter, run
)
SELECT counter.id, plan_id, runs_limit, used, run.* FROM counter, run
"""  # noqa: S608  (of constants)
_CONSUME_GRANT = """
WITH counter AS (
    UPDATE billing_creditgrant SET used = used + 1
    WHERE id = (
        SELECT id FROM billing_creditgrant
        WHERE workspace_id = %(workspace)s AND used < quantity AND (expires_at IS NULL OR expires_at > %(now)s)
        ORDER BY expires_at NULLS LAST, kind = 'bought', id LIMIT 1 FOR UPDATE
    )
    RETURNING id, quantity - used AS balance, coalesce(expires_at, 'infinity') AS ends_at
), {run}, line AS (
    INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, grant_id, balance, created_at)
    SELECT %(workspace)s, 'consume', -1, run.id, counter.id, balance, %(now)s FROM counter, run
)
SELECT run.* FROM run
"""
# More may be used than the limit now is, and less than nothing is never left. GREATEST leaves NULL out.
_REFUND_PERIOD = """
WITH counter AS (
    UPDATE billing_usageperiod SET used = used - %(n)s WHERE id = %(period)s AND ends_at > %(now)s
    RETURNING id, used
)
INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, period_id, balance, created_at)
SELECT %(workspace)s, 'refund', %(n)s, %(run)s, id,
    CASE WHEN %(limit)s::int IS NOT NULL THEN GREATEST(%(limit)s::int - used, 0) END, %(now)s
FROM counter RETURNING id
"""
_REFUND_GRANT = """
WITH counter AS (
    UPDATE billing_creditgrant SET used = used - %(n)s
    WHERE id = %(grant)s AND (expires_at IS NULL OR expires_at > %(now)s)
    RETURNING id, quantity - used AS balance
)
INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, grant_id, balance, created_at)
SELECT %(workspace)s, 'refund', %(n)s, %(run)s, id, balance, %(now)s FROM counter RETURNING id
"""


def _consume_period(quota: Quota, run: Making, now: datetime) -> Consumed | None:
    held = quota.entitlement
    row = _one(
        _CONSUME_PERIOD.format(run=run.sql),
        {
            "workspace": quota.subscription.workspace_id,
            "source": held.bucket_source,
            "start": held.period.start,
            "plan": held.plan.pk,
            "limit": held.plan_limit,
            "override": held.override,
            "cap": held.cap,
            "now": now,
            **run.parameters,
        },
    )
    if row is None:
        return None
    return Consumed(replace(quota, bucket=Bucket(*row[:4])), tuple(row[4:]))


def _consume_grant(quota: Quota, run: Making, now: datetime) -> Consumed | None:
    workspace = quota.subscription.workspace_id
    while True:
        row = _one(_CONSUME_GRANT.format(run=run.sql), {"workspace": workspace, "now": now, **run.parameters})
        if row is not None:
            # Read again: others may have taken what the period had left when this request began.
            forget_counters(quota.subscription)
            return Consumed(quota_for(quota.subscription, now=now), tuple(row))
        # The grant that was waited for may have been emptied meanwhile: only when none has
        # anything left is the answer no. Every further round means that somebody else was served.
        left = CreditGrant.objects.filter(workspace=workspace, used__lt=F("quantity"))
        if not left.filter(Q(expires_at=None) | Q(expires_at__gt=now)).exists():
            return None


def _return_as_credit(line: LedgerEntry, now: datetime) -> None:
    grant = CreditGrant.objects.create(
        workspace_id=line.workspace_id,
        kind=CreditGrant.Kind.RETURNED,
        quantity=-line.quantity,
        expires_at=now + RETURNED_FOR,
        reason="A run came back after its period had ended.",
        created_at=now,
    )
    LedgerEntry.objects.create(
        workspace_id=line.workspace_id,
        kind=LedgerEntry.Kind.REFUND,
        quantity=-line.quantity,
        run_id=line.run_id,
        grant=grant,
        balance=-line.quantity,
        created_at=now,
    )


def _one(sql: str, parameters: dict[str, Any]) -> Sequence[Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row: Sequence[Any] | None = cursor.fetchone()
    return row
