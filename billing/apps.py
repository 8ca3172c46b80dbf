from typing import Any

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import access
        from accounts.signals import workspace_created
        from billing import checks, mirror, mirror_admin, sdk, secret_key  # noqa: F401  (registers the system checks)
        from billing.facts import ADDITION

        sdk.set_up()
        secret_key.keep_out_of_the_database()
        mirror.follow_no_features()
        mirror_admin.take_over()
        access.add(ADDITION)
        workspace_created.connect(open_subscription, dispatch_uid="billing.open_subscription")


def open_subscription(*, workspace: Any, now: Any, **kwargs: Any) -> None:
    """A workspace has its Subscription from the transaction on that makes it, and soon its Stripe customer."""
    from billing import gateway, jobs
    from billing.models import Subscription

    Subscription.objects.open(workspace, now=now)
    if gateway.is_configured():
        jobs.create_customer.defer(workspace_id=str(workspace.pk))
