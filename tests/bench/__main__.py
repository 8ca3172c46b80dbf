"""`python -m tests.bench [--quick]`: the figures as a table, and in .data/bench.json.

A figure that is missed is said to be, and the exit code is 0 all the same: what is measured on a busy
machine is for a person to judge. The worker for jobs does not run meanwhile, so the jobs pile up.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack

import django

from deploy.files import LaunchError
from tests.bench import server

LINES, QUICK_LINES, FEW_LINES = 10_000_000, 500_000, 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, and with fewer ledger lines: for development")
    is_quick: bool = parser.parse_args().quick
    try:
        measure(is_quick=is_quick)
    except LaunchError as error:
        sys.exit(str(error))


def measure(*, is_quick: bool) -> None:
    server.SCRATCH.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(sentence: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {sentence}", flush=True)

    lines = QUICK_LINES if is_quick else LINES
    with ExitStack() as stack:
        say("Starting PostgreSQL and making 1,000 workspaces ...")
        cluster = stack.enter_context(server.cluster())
        small_url = cluster.create_database("bench")
        server.manage("migrate", "--no-input", database_url=small_url)
        server.manage("sync_plans", database_url=small_url)
        production = server.environment(small_url)
        os.environ.clear()
        os.environ.update(production)
        django.setup()
        from django.db import connection

        from tests.bench import cast, figures

        pace = figures.Pace(rounds=5, seconds=1) if is_quick else figures.Pace(rounds=15, seconds=2)
        everybody = cast.make()
        connection.close()
        say(f"Writing {lines:,} ledger lines ...")
        big_url = cluster.create_database("bench_big", template="bench")
        cast.fill_ledger(cluster, "bench", FEW_LINES)
        cast.fill_ledger(cluster, "bench_big", lines)
        say("Measuring with the small and the big ledger ...")
        small = stack.enter_context(server.gunicorn(small_url, "small"))
        with server.gunicorn(big_url, "big") as big:
            found = figures.ledger_size(small, big, everybody, pace, lines)
        say("Measuring POST /sessions ...")
        found = figures.posts(small, everybody, pace) + found
        say("Measuring what is read ...")
        found += figures.reads(small, everybody, pace)
        say("Measuring the consume statement ...")
        found += figures.consume(small_url, everybody, pace)
        connection.close()
        say(f"Done, on {os.cpu_count()} processors, with a load average of {os.getloadavg()[0]:.1f}.")
    (server.DATA / "bench.json").write_text(figures.as_json(found))
    print(f"\n{figures.table(found)}\n")
    missed = sum(not figure.is_ok for figure in found)
    print(f"{missed} of {len(found)} figures are missed." if missed else f"All {len(found)} figures are reached.")


if __name__ == "__main__":
    main()
