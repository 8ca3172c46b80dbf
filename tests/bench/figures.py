"""Figures; and those of the metering, each a ratio taken within one run, both sides in turn on the same server."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import mean, median

from django.db import connection, transaction

from billing import quotas
from billing.entitlements import entitlement
from billing.models import Subscription
from deploy.files import LaunchError
from tests.bench.cast import Cast
from tests.bench.load import Deliveries, Load, Target, pgbench, steady, wrk

PGBENCH_WORKSPACES = 100
COUNT_AND_INSERT = """
BEGIN;
UPDATE bench_counter SET used = used + 1 WHERE id = {number};
INSERT INTO bench_line (counter) VALUES ({number});
END;
"""


@dataclass(frozen=True)
class Pace:
    """How long and how often."""

    rounds: int
    seconds: int


@dataclass(frozen=True)
class Figure:
    """Without a `target` it is only told. `value` is a ratio where there is no `unit`.

    `wrongs`, a sentence each, are what must not be, however fast or slow the machine.
    """

    name: str
    value: float
    target: float | None = None
    at_most: bool = False
    unit: str = ""
    seen: str = ""
    wrongs: Sequence[str] = ()

    @property
    def is_ok(self) -> bool:
        if self.wrongs:
            return False
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def bound(self) -> str:
        return "" if self.target is None else f"{'<=' if self.at_most else '>='} {self.target:g}"

    @property
    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "target": self.target,
            "ok": self.is_ok,
            "seen": self.seen,
            "wrongs": list(self.wrongs),
        }


def in_turn(targets: Sequence[Target | Deliveries], pace: Pace, *, connections: int = 16) -> dict[str, Load]:
    """Every target a moment in each round, so that whatever disturbs the machine disturbs all; the means.

    wrk's connections fall on gunicorn's processes by chance, evenly or not, and stay there for the
    round. A median would pick one such fall; the mean of many rounds has them all.
    """
    for target in targets:
        wrk(target, max(1, pace.seconds // 2), connections=connections)
    seen: dict[str, list[Load]] = {target.name: [] for target in targets}
    for _ in range(pace.rounds):
        for target in targets:
            seen[target.name].append(wrk(target, pace.seconds, connections=connections))
    return {
        name: Load(mean(load.rate for load in loads), mean(load.median for load in loads))
        for name, loads in seen.items()
    }


def posts(api: str, cast: Cast, pace: Pace) -> list[Figure]:
    tokens = [caller.token for caller in cast.granted]
    many = Target("sessions", api, "/sessions", tokens)
    one = Target("sessions-one", api, "/sessions", tokens[:1])
    refused = Target("sessions-refused", api, "/sessions", [caller.token for caller in cast.refused], is_refused=True)
    bare = Target("bare", api, "/bare", [caller.bare for caller in cast.granted])
    seen = in_turn([many, bare, one, refused], pace)

    rate = seen["sessions"].rate / 2
    latencies: dict[str, list[float]] = {"sessions": [], "bare": []}
    for _ in range(pace.rounds):
        for target in (many, bare):
            latencies[target.name].append(steady(target, rate, pace.seconds))
    ours, theirs = median(latencies["sessions"]), median(latencies["bare"])

    def rates(ours: str, theirs: str) -> str:
        return f"{seen[ours].rate:,.0f}/s, {seen[theirs].rate:,.0f}/s"

    return [
        Figure(
            "POST /sessions a second, 500 workspaces, against a bare view",
            seen["sessions"].rate / seen["bare"].rate,
            0.65,
            seen=rates("sessions", "bare"),
        ),
        Figure(
            "POST /sessions a second, one workspace, against a bare view",
            seen["sessions-one"].rate / seen["bare"].rate,
            0.5,
            seen=rates("sessions-one", "bare"),
        ),
        Figure(
            "POST /sessions 99th percentile at half of its peak, against the bare view's",
            ours / theirs,
            2,
            at_most=True,
            seen=f"{ours:.1f} ms, {theirs:.1f} ms at {rate:,.0f}/s",
        ),
        Figure(
            "a refusal (402) a second, against a grant",
            seen["sessions-refused"].rate / seen["sessions"].rate,
            1.0,
            seen=rates("sessions-refused", "sessions"),
        ),
    ]


def reads(api: str, cast: Cast, pace: Pace) -> list[Figure]:
    subscription = Target(
        "subscription", api, "/billing/subscription", [caller.token for caller in cast.granted], method="GET"
    )
    bare = Target("bare-read", api, "/bare-read", [caller.bare for caller in cast.granted], method="GET")
    many = Target("list-many", api, "/sessions", [cast.many_sessions.token], method="GET")
    few = Target("list-few", api, "/sessions", [cast.few_sessions.token], method="GET")
    seen = in_turn([subscription, bare, many, few], pace)
    return [
        Figure(
            "GET /billing/subscription a second, against a bare view that reads one row",
            seen["subscription"].rate / seen["bare-read"].rate,
            0.8,
            seen=f"{seen['subscription'].rate:,.0f}/s, {seen['bare-read'].rate:,.0f}/s",
        ),
        Figure(
            "GET /sessions with 100,000 sessions, against 20 sessions",
            seen["list-many"].median / seen["list-few"].median,
            1.2,
            at_most=True,
            seen=f"{seen['list-many'].median:.1f} ms, {seen['list-few'].median:.1f} ms",
        ),
    ]


def ledger_size(small_api: str, big_api: str, cast: Cast, pace: Pace, lines: int) -> list[Figure]:
    """At four connections: nothing waits for a thread, so that the latency is the request's own."""
    tokens = [caller.token for caller in cast.granted]
    small = Target("small-ledger", small_api, "/sessions", tokens)
    big = Target("big-ledger", big_api, "/sessions", tokens)
    seen = in_turn([small, big], pace, connections=4)
    return [
        Figure(
            f"POST /sessions median with {lines:,} ledger lines, against 1,000",
            seen["big-ledger"].median / seen["small-ledger"].median,
            1.1,
            at_most=True,
            seen=f"{seen['big-ledger'].median:.2f} ms, {seen['small-ledger'].median:.2f} ms",
        )
    ]


def consume(database_url: str, cast: Cast, pace: Pace) -> list[Figure]:
    workspaces = [caller.workspace for caller in cast.granted[:PGBENCH_WORKSPACES]]
    for workspace in workspaces:
        _open_bucket(workspace)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_counter (id int PRIMARY KEY, used int NOT NULL) WITH (fillfactor = 50)")
        cursor.execute("CREATE TABLE bench_line (id bigserial PRIMARY KEY, counter int NOT NULL)")
        cursor.execute("INSERT INTO bench_counter SELECT n, 0 FROM generate_series(1, %s) n", [PGBENCH_WORKSPACES])
    ours = [_consume_of(workspace) for workspace in workspaces]
    bare = [COUNT_AND_INSERT.format(number=number) for number in range(1, PGBENCH_WORKSPACES + 1)]
    sides: dict[str, tuple[Sequence[str], list[float]]] = {"consume": (ours, []), "counter": (bare, [])}
    for scripts, _ in sides.values():
        pgbench(database_url, scripts, 2, "warm-up")
    lines = _lines()
    for _ in range(pace.rounds):
        for name, (scripts, rates) in sides.items():
            rates.append(pgbench(database_url, scripts, pace.seconds, name))
    taken, counted = median(sides["consume"][1]), median(sides["counter"][1])
    # A statement that finds no bucket is fast, and says nothing.
    if _lines() - lines < taken * pace.seconds:
        raise LaunchError("The consume statement took no units.")
    return [
        Figure(
            "the consume statement a second, against a two-column counter and a bare insert in one transaction",
            taken / counted,
            0.6,
            seen=f"{taken:,.0f}/s, {counted:,.0f}/s",
        )
    ]


def _open_bucket(workspace: str) -> None:
    subscription = Subscription.objects.with_plans().get(workspace__pk=workspace)
    with transaction.atomic():
        quotas.consume(subscription, quotas.Making.of(uuid.uuid4()), now=datetime.now(UTC))


def _lines() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_ledgerentry")
        return int(cursor.fetchone()[0])


def _consume_of(workspace: str) -> str:
    """The very statement of billing.quotas, its parameters written out as the server would see them."""
    now = datetime.now(UTC)
    held = entitlement(Subscription.objects.with_plans().get(workspace__pk=workspace), now + timedelta(seconds=1))
    making = quotas.Making.of(held.plan.pk)
    sql = quotas._CONSUME_PERIOD.format(run=making.sql.replace("%(run)s::uuid", "uuidv7()"))
    values: dict[str, object] = {
        "workspace": workspace,
        "source": held.bucket_source,
        "start": held.period.start,
        "plan": held.plan.pk,
        "limit": held.plan.runs_limit,
        "override": held.override,
        "cap": held.cap,
        "now": now,
    }
    for name, value in values.items():
        sql = sql.replace(f"%({name})s", "NULL" if value is None else f"'{value}'")
    return f"{sql.strip()};\n"


def table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    lines = []
    for figure in figures:
        told = f"{figure.value:,.2f}{figure.unit and ' '}{figure.unit}"
        verdict = "ok" if figure.is_ok else "NOT REACHED"
        lines.append(f"{figure.name:<{width}}  {told:>12}  {figure.bound:>7}  {verdict:<11}  {figure.seen}")
        lines += [f"{'':{width}}  {wrong}" for wrong in figure.wrongs]
    return "\n".join(line.rstrip() for line in lines)


def as_json(figures: Sequence[Figure]) -> str:
    return json.dumps([figure.as_json for figure in figures], indent=2) + "\n"
