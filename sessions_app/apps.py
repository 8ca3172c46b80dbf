from typing import Any

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions_app"
    label = "sessions_app"
    verbose_name = "Agent sessions"

    def ready(self) -> None:
        from accounts.signals import workspace_closed
        from billing.proofs import PROOFS
        from sessions_app.proofs import RUN_PROOFS

        PROOFS.extend(proof for proof in RUN_PROOFS if proof not in PROOFS)
        workspace_closed.connect(stop_runs, dispatch_uid="sessions_app.stop_runs")


def stop_runs(*, workspace: Any, now: Any, **kwargs: Any) -> None:
    """Nobody could read what they report; what is queued gives its unit back."""
    from sessions_app import runs

    runs.stop_all(workspace.pk, now=now)
