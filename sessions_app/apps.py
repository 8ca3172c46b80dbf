from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions_app"
    label = "sessions_app"
    verbose_name = "Agent sessions"

    def ready(self) -> None:
        from billing.proofs import PROOFS
        from sessions_app.proofs import RUN_PROOFS

        PROOFS.extend(proof for proof in RUN_PROOFS if proof not in PROOFS)
