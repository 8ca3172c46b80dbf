"""What check_billing proves of runs: each was charged once, and what the platform failed at came back."""

from billing.proofs import Proof

RUN_PROOFS = [
    Proof(
        "a run has its consume line, and is charged as the ledger says",
        """
        SELECT r.id, format('%s run, charged %s, the ledger says %s', r.status, r.is_charged, coalesce(l.units, 0))
        FROM sessions_app_run r
        LEFT JOIN (SELECT run_id, -sum(quantity) AS units, count(*) AS lines FROM billing_ledgerentry
                   WHERE run_id IS NOT NULL GROUP BY run_id) l ON l.run_id = r.id
        WHERE l.run_id IS NULL OR (l.units > 0) <> r.is_charged
        """,
    ),
    Proof(
        "a consume line has its run, in the same workspace",
        """
        SELECT l.id, 'no such run' FROM billing_ledgerentry l
        LEFT JOIN sessions_app_run r ON r.id = l.run_id AND r.workspace_id = l.workspace_id
        WHERE l.kind = 'consume' AND r.id IS NULL
        """,
    ),
    Proof(
        "a run belongs to its session's workspace",
        """
        SELECT r.id, 'the session is another workspace''s'
        FROM sessions_app_run r JOIN sessions_app_session s ON s.id = r.session_id
        WHERE r.workspace_id <> s.workspace_id
        """,
    ),
    Proof(
        "no run is left over from a dead worker",
        """
        SELECT r.id, format('%s since %s', r.status, coalesce(r.started_at, r.handed_at))
        FROM sessions_app_run r
        WHERE r.status = 'queued' AND r.handed_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM procrastinate_jobs j WHERE j.status IN ('todo', 'doing')
              AND j.task_name = 'sessions_app.jobs.carry_out' AND j.args ->> 'run_id' = r.id::text)
        """,
    ),
]
