"""A worker finds its next job as fast in a queue that has just filled as in one that PostgreSQL has statistics of.

Ten thousand events can come within a minute, before anybody has counted the table. Taking it for small, the planner
sorts all of it for each job that is fetched, which then takes seconds; and a first purchase waits behind. There is
one good way for every size: by priority, along the index that is there for it, up to the first job that may run.
"""

from django.db import migrations

FETCH = "procrastinate_fetch_job_v2(character varying[], bigint)"
OTHER_WAYS = ("enable_sort", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")


def unless_renamed(change: str) -> str:
    return f"DO $$ BEGIN IF to_regprocedure('{FETCH}') IS NOT NULL THEN ALTER FUNCTION {FETCH} {change}; END IF; END $$"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_refusals"),
        ("procrastinate", "0039_pre_priority_lock_fetch_job"),
    ]

    operations = [
        migrations.RunSQL(
            unless_renamed(" ".join(f"SET {way} = off" for way in OTHER_WAYS)),
            unless_renamed(" ".join(f"RESET {way}" for way in OTHER_WAYS)),
        ),
    ]
