"""A worker that loses a race for a lock looks for another job, where it would end with the error.

The looks at one customer share a lock, and a first purchase comes with a higher priority than what waits there
already. Between the instant at which one worker takes the older job and the one at which it says so, another worker
sees the newer one as the first of that lock; the unique index keeps it from taking it, by an error that Procrastinate
does not expect: the worker would stop, with all that it had under way.
"""

from django.db import migrations

FETCH = "procrastinate_fetch_job_v2"
UNGUARDED = "procrastinate_fetch_job_unguarded"
TYPES = "character varying[], bigint"

GUARD = f"""
DO $guard$ BEGIN
    IF to_regprocedure('{FETCH}({TYPES})') IS NULL THEN
        RETURN;
    END IF;
    ALTER FUNCTION {FETCH}({TYPES}) RENAME TO {UNGUARDED};
    CREATE FUNCTION {FETCH}(target_queue_names character varying[], p_worker_id bigint)
        RETURNS procrastinate_jobs LANGUAGE plpgsql AS $fetch$
    DECLARE found_job procrastinate_jobs;
    BEGIN
        -- Each attempt sees what was committed before it: the lock that was lost is then one that is taken.
        FOR attempt IN 1..5 LOOP
            BEGIN
                found_job := {UNGUARDED}(target_queue_names, p_worker_id);
                RETURN found_job;
            EXCEPTION WHEN unique_violation THEN
                NULL;
            END;
        END LOOP;
        -- As when there is nothing to do: it asks again in a moment.
        RETURN NULL;
    END $fetch$;
END $guard$
"""
UNGUARD = f"""
DO $guard$ BEGIN
    IF to_regprocedure('{UNGUARDED}({TYPES})') IS NOT NULL THEN
        DROP FUNCTION {FETCH}({TYPES});
        ALTER FUNCTION {UNGUARDED}({TYPES}) RENAME TO {FETCH};
    END IF;
END $guard$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0010_staff"),
        ("procrastinate", "0039_pre_priority_lock_fetch_job"),
    ]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
