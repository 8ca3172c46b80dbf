"""Renewal day: subscriptions that renew within a simulated hour, and what everybody may run at any instant of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.entitlements import entitlement
from billing.models import Plan, Source, Subscription, UsagePeriod
from billing.periods import Period
from tests.bench.figures import Figure
from tests.bench.till import MOST_LINES, Till

HOUR = timedelta(hours=1)
# The last one begins an hour after the first, and is charged an hour later.
LENGTH = 2 * HOUR + timedelta(minutes=5)
STEP = timedelta(minutes=5)


@dataclass(frozen=True)
class Held:
    """What Stripe has of a subscription: the period under way, and since when it is paid."""

    period: Period
    paid_at: datetime | None


def renewal_day(till: Till, count: int) -> list[Figure]:
    """The clock goes on in steps; before and after each is told of, everybody's grant is held against Stripe."""
    everybody = till.subscribe(count, over=int(HOUR.total_seconds()))
    day = _Day(till)
    with till.workers():
        till.look_at([who.customer for who in everybody], within=120 + count)
        theirs = day.told = day.at_stripe()
        first = min(held.period.end for held in theirs.values())
        # What was told on the way there is another day's.
        till.stand_in.control("POST", "webhooks", mode="drop")
        day.go_on(first - STEP - till.now())
        till.hold()
        day.seconds = 0.0
        while till.now() < first + LENGTH:
            day.go_on(STEP)
            day.check()
            day.tell(within=120 + count / 2)
            day.check()
        day.check_buckets()
    return [
        Figure(
            f"{count:,} subscriptions renewing within an hour: renewals a second",
            count / day.seconds,
            unit="/s",
            seen=f"{day.seconds:.0f} s, {day.checked:,} grants looked at",
            wrongs=[*first_of(day.wrongs), *till.drift()],
        )
    ]


def first_of(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more:,} more"] if more > 0 else [])]


class _Day:
    """`seen` is what Stripe had when it was last looked at, `told` what it had before what was held then was sent."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.wrongs: list[str] = []
        self.checked = 0
        self.seconds = 0.0
        self.seen: dict[str, Held] = {}
        self.told: dict[str, Held] = {}

    def go_on(self, step: timedelta) -> None:
        begun = time.monotonic()
        self.till.stand_in.advance(seconds=int(step.total_seconds()))
        self.seconds += time.monotonic() - begun

    def tell(self, *, within: float) -> None:
        """What was held until now, and until nobody has anything to do."""
        begun = time.monotonic()
        self.told = self.seen
        self.till.release()
        self.till.wait_until_done(within)
        self.seconds += time.monotonic() - begun

    def at_stripe(self) -> dict[str, Held]:
        """By customer."""
        return {
            one["customer"]: _held(one)
            for one in self.till.pages("/v1/subscriptions", status="all", **{"expand[]": "data.latest_invoice"})
        }

    def check(self) -> None:
        """Time goes on while it looks: our rows are read first, so that Stripe's side is never the older one."""
        rows = list(_rows())
        now = self.till.now()
        self.seen = self.at_stripe()
        for row in rows:
            held = self.seen[str(row.stripe_customer_id)]
            # Else it was renewed since, and is left to the next time.
            if held.period.start <= now:
                self.checked += 1
                if not self._is_right(row, held, now):
                    period, paid_at = held.period.start, held.paid_at
                    self.wrongs.append(f"{row.stripe_customer_id}, at {now}: renewed {period}, paid {paid_at}")

    def _is_right(self, row: Subscription, held: Held, now: datetime) -> bool:
        """PRO throughout, in Stripe's period; in full once we were told of its payment, and never before it is paid."""
        grant = entitlement(row, now)
        limit = grant.limit(grant.plan.pk, grant.plan.runs_limit)
        in_full, unpaid = grant.plan.runs_limit, grant.plan.unpaid_runs_limit
        if held.paid_at is None:
            allowed = {unpaid}
        elif self.told[str(row.stripe_customer_id)] == held:
            allowed = {in_full}
        else:
            allowed = {in_full, unpaid}
        where = (grant.plan.slug, grant.source, grant.period)
        return where == (Plan.PRO, Source.PAID, held.period) and limit in allowed

    def check_buckets(self) -> None:
        """Each new period has one, of the plan's size, with nothing used."""
        theirs = self.at_stripe()
        buckets = {
            (bucket.workspace_id, bucket.starts_at): (bucket.ends_at, bucket.runs_limit, bucket.used)
            for bucket in UsagePeriod.objects.filter(source=Source.PAID).iterator()
        }
        for row in _rows():
            period = theirs[str(row.stripe_customer_id)].period
            limit = row.paid_plan.runs_limit if row.paid_plan else None
            if buckets.get((row.workspace_id, period.start)) != (period.end, limit, 0):
                self.wrongs.append(f"{row.stripe_customer_id} has no bucket of {limit} runs since {period.start}")


def _rows() -> Iterator[Subscription]:
    return Subscription.objects.with_plans().exclude(stripe_customer_id=None).iterator(chunk_size=500)


def _held(subscription: dict[str, Any]) -> Held:
    (item,) = subscription["items"]["data"]
    period = Period(_instant(item["current_period_start"]), _instant(item["current_period_end"]))
    invoice = subscription["latest_invoice"]
    (line,) = invoice["lines"]["data"]
    assert _instant(line["period"]["start"]) == period.start
    paid_at = invoice["status_transitions"]["paid_at"]
    return Held(period, None if paid_at is None else _instant(paid_at))


def _instant(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
