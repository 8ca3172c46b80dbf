"""`python -m tests.bench`: the figures as a table, and in .data/bench.json.

A figure that is not reached is said to be, and the exit code is 0 all the same: what is measured on a busy
machine is for a person to judge. What is wrong on any machine, an event that is dead or a grant that was not
right, is said too, and then the exit code is 1.

All of it takes about 25 minutes on two processors. Two figures are meant for more than is measured then:
--only reconciliation --customers 10000 takes 25 minutes by itself, --only renewals --renewals 20000 more than
an hour.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import django

from deploy.files import LaunchError
from deploy.postgres import Cluster
from tests.bench import server

if TYPE_CHECKING:
    from tests.bench.figures import Figure

LINES, FEW_LINES = 10_000_000, 1_000
EMPTY, MADE, BIG = "bench_empty", "bench", "bench_big"


@dataclass(frozen=True)
class Sizes:
    """How much of everything. `rounds` of so many `seconds` each."""

    lines: int
    rounds: int
    seconds: int
    payments: int
    events: int
    customers: int
    renewals: int
    workspaces: int


WHOLE = Sizes(
    lines=LINES, rounds=15, seconds=2, payments=100, events=10_000, customers=1_000, renewals=500, workspaces=1_000_000
)
QUICK = Sizes(
    lines=500_000, rounds=5, seconds=1, payments=10, events=1_000, customers=100, renewals=50, workspaces=50_000
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter, and with less of everything: for development")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part of it; may be repeated")
    parser.add_argument("--events", type=int, help=f"released shuffled, each of them twice; {WHOLE.events:,}")
    parser.add_argument("--customers", type=int, help=f"to be reconciled; {WHOLE.customers:,}")
    parser.add_argument("--renewals", type=int, help=f"within an hour of renewal day; {WHOLE.renewals:,}")
    options = parser.parse_args()
    sizes = QUICK if options.quick else WHOLE
    given = {name: value for name in ("events", "customers", "renewals") if (value := getattr(options, name))}
    try:
        measure(options.only or list(PARTS), Sizes(**vars(sizes) | given))
    except LaunchError as error:
        sys.exit(str(error))


def measure(parts: list[str], sizes: Sizes) -> None:
    server.SCRATCH.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(sentence: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {sentence}", flush=True)

    with server.cluster() as cluster:
        say("Starting PostgreSQL and making its tables ...")
        empty_url = cluster.create_database(EMPTY)
        server.manage("migrate", "--no-input", database_url=empty_url)
        server.manage("sync_plans", database_url=empty_url)
        made_url = cluster.create_database(MADE, template=EMPTY)
        production = server.environment(made_url)
        os.environ.clear()
        os.environ.update(production)
        django.setup()
        from tests.bench import figures

        found: list[Figure] = []
        for part in parts:
            try:
                # One by one, because what was found before it broke off is not lost.
                for figure in PARTS[part](cluster, sizes, say):
                    found.append(figure)
            except LaunchError as error:
                say(str(error))
                found.append(figures.Figure(f"{part}: broken off", 0, wrongs=str(error).splitlines()[:1]))
        say(f"Done, on {os.cpu_count()} processors, with a load average of {os.getloadavg()[0]:.1f}.")
    (server.DATA / "bench.json").write_text(figures.as_json(found))
    print(f"\n{figures.table(found)}\n")
    missed = sum(not figure.is_ok for figure in found)
    print(f"{missed} of {len(found)} figures are not reached." if missed else f"All {len(found)} figures are reached.")
    if any(figure.wrongs for figure in found):
        sys.exit(1)


# What follows imports what wants Django to be set up.


def runs(cluster: Cluster, sizes: Sizes, say: Callable[[str], None]) -> "list[Figure]":
    """What is metered. The worker for jobs does not run meanwhile, so the jobs pile up."""
    from django.db import connection

    from tests.bench import cast, figures

    pace = figures.Pace(sizes.rounds, sizes.seconds)
    with ExitStack() as stack:
        say("Making 1,000 workspaces ...")
        stack.enter_context(closing(connection))
        everybody = cast.make()
        connection.close()
        say(f"Writing {sizes.lines:,} ledger lines ...")
        small_url, big_url = cluster.url(MADE), cluster.create_database(BIG, template=MADE)
        cast.fill_ledger(cluster, MADE, FEW_LINES)
        cast.fill_ledger(cluster, BIG, sizes.lines)
        say("Measuring with the small and the big ledger ...")
        small = stack.enter_context(server.gunicorn(small_url, "small"))
        with server.gunicorn(big_url, "big") as big:
            found = figures.ledger_size(small, big, everybody, pace, sizes.lines)
        cluster.drop_database(BIG)
        say("Measuring POST /sessions ...")
        found = figures.posts(small, everybody, pace) + found
        say("Measuring what is read ...")
        found += figures.reads(small, everybody, pace)
        say("Measuring the consume statement ...")
        found += figures.consume(small_url, everybody, pace)
    return found


def deliveries(cluster: Cluster, sizes: Sizes, say: Callable[[str], None]) -> "Iterator[Figure]":
    """How Stripe's events are taken in."""
    from tests.bench import acknowledging, figures, money
    from tests.bench.till import open_till

    say("Measuring how Stripe's deliveries are acknowledged ...")
    with open_till(cluster, "acknowledging", EMPTY) as till:
        yield from acknowledging.acknowledgements(till, figures.Pace(sizes.rounds, sizes.seconds))
    say("Counting the calls to Stripe that its events cost ...")
    with open_till(cluster, "calls", EMPTY) as till:
        yield from money.calls(till)
    say(f"Releasing {sizes.events:,} of Stripe's events, shuffled and each twice ...")
    with open_till(cluster, "backlog", EMPTY) as till:
        yield from money.backlog(till, sizes.events)
    say(f"Measuring how soon {sizes.payments} payments show ...")
    with open_till(cluster, "soonness", EMPTY) as till:
        yield from money.soonness(till, sizes.payments)


def reconciliation(cluster: Cluster, sizes: Sizes, say: Callable[[str], None]) -> "list[Figure]":
    from tests.bench import reconciling
    from tests.bench.till import open_till

    say(f"Reconciling {sizes.customers:,} customers ...")
    with open_till(cluster, "reconciling", EMPTY) as till:
        return reconciling.reconciliation(till, sizes.customers)


def renewals(cluster: Cluster, sizes: Sizes, say: Callable[[str], None]) -> "list[Figure]":
    from tests.bench.renewals import renewal_day
    from tests.bench.till import open_till

    say(f"Renewing {sizes.renewals:,} subscriptions within an hour ...")
    with open_till(cluster, "renewals", EMPTY) as till:
        return renewal_day(till, sizes.renewals)


def desk(cluster: Cluster, sizes: Sizes, say: Callable[[str], None]) -> "list[Figure]":
    """What staff see, however many customers there are."""
    from django.db import connection

    from tests.bench import desk as lists
    from tests.bench import figures

    with closing(connection):
        cookie = lists.employ()
    few_url = cluster.create_database("bench_desk_few", template=MADE)
    many_url = cluster.create_database("bench_desk_many", template=MADE)
    say(f"Writing {sizes.workspaces:,} workspaces and {sizes.workspaces * 10:,} ledger lines ...")
    lists.fill(cluster, "bench_desk_few", workspaces=lists.FEW, lines=lists.FEW_LINES, say=say)
    lists.fill(cluster, "bench_desk_many", workspaces=sizes.workspaces, lines=sizes.workspaces * 10, say=say)
    # As in production, where pages name their style sheets by their content.
    server.manage("collectstatic", "--no-input", database_url=few_url)
    say("Opening the lists of the desk ...")
    pace = figures.Pace(sizes.rounds, sizes.seconds)
    with server.gunicorn(few_url, "desk-few") as few, server.gunicorn(many_url, "desk-many") as many:
        found = lists.lists(few, many, cookie, pace, workspaces=sizes.workspaces)
    for name in ("bench_desk_few", "bench_desk_many"):
        cluster.drop_database(name)
    return found


PARTS: "dict[str, Callable[[Cluster, Sizes, Callable[[str], None]], Iterable[Figure]]]" = {
    "runs": runs,
    "deliveries": deliveries,
    "reconciliation": reconciliation,
    "renewals": renewals,
    "desk": desk,
}

if __name__ == "__main__":
    main()
