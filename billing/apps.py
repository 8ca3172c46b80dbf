from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import access
        from accounts.signals import (
            account_ending,
            member_joining,
            ownership_beginning,
            payer_changed,
            workspace_created,
        )
        from billing import checks, mirror, roles, sdk, secret_key  # noqa: F401  (registers the system checks)
        from billing.facts import ADDITION

        sdk.set_up()
        secret_key.keep_out_of_the_database()
        mirror.follow_no_features()
        mirror.look_owners_up_once()
        access.add(ADDITION)
        # The last of the apps to be migrated: by then every permission is there.
        post_migrate.connect(roles.load, sender=apps.get_app_config("sessions_app"), dispatch_uid="billing.roles")
        workspace_created.connect(open_subscription, dispatch_uid="billing.open_subscription")
        payer_changed.connect(address_invoices, dispatch_uid="billing.address_invoices")
        member_joining.connect(ask_for_seat, dispatch_uid="billing.ask_for_seat")
        account_ending.connect(refuse_to_strand, dispatch_uid="billing.refuse_to_strand")
        ownership_beginning.connect(ask_for_team, dispatch_uid="billing.ask_for_team")


def open_subscription(*, workspace: Any, now: Any, **kwargs: Any) -> None:
    """A workspace has its Subscription from the transaction on that makes it, and soon its Stripe customer."""
    from billing import gateway, jobs
    from billing.models import Subscription

    Subscription.objects.open(workspace, now=now)
    if gateway.is_configured():
        jobs.create_customer.defer(workspace_id=str(workspace.pk))


def address_invoices(*, workspace: Any, **kwargs: Any) -> None:
    """To whoever owns the workspace by now."""
    from billing import gateway, jobs

    if gateway.is_configured():
        jobs.address_invoices.defer(workspace_id=str(workspace.pk))


def ask_for_seat(*, workspace: Any, members: int, now: Any, **kwargs: Any) -> None:
    from billing import teams

    teams.refuse_over_seats(workspace, members=members, now=now)


def ask_for_team(*, user: Any, workspace: Any, now: Any, **kwargs: Any) -> None:
    from billing import teams

    teams.refuse_second_unpaid(user, workspace, now=now)


def refuse_to_strand(*, workspaces: Any, **kwargs: Any) -> None:
    from billing import teams

    teams.refuse_to_strand(workspaces)
