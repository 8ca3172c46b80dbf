"""What plans say about teams: how many members one has, and how many somebody owns without a plan."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db.models import F
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.errors import Problem
from accounts.models import Membership, Role, User, Workspace
from billing.entitlements import entitlement
from billing.models import Source, Subscription, UsagePeriod
from billing.periods import calendar_month
from billing.quotas import Quota, Refused, quota_for, short_name
from billing.snapshots import CHARGED

UNPAID = (Source.FREE, Source.TRIAL)


class SeatsExceeded(Refused):
    """402: the plan has no room for one more. Who is in stays in."""

    def __init__(self, quota: Quota, limit: int) -> None:
        super().__init__(
            ngettext(
                "The %(plan)s plan has room for %(limit)s member, counting open invitations."
                " A larger plan has room for more.",
                "The %(plan)s plan has room for %(limit)s members, counting open invitations."
                " A larger plan has room for more.",
                limit,
            )
            % {"plan": short_name(quota.entitlement.plan), "limit": limit},
            "seats_exceeded",
            quota,
        )


class UnpaidTeam(Problem):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, "unpaid_workspace")


def refuse_over_seats(workspace: Workspace, *, members: int, now: datetime) -> None:
    """Raises SeatsExceeded. For who is not in yet: a plan that became smaller puts nobody out."""
    subscription = Subscription.objects.with_plans().get(workspace=workspace)
    limit = entitlement(subscription, now).plan.members_limit
    if limit is not None and members > limit:
        raise SeatsExceeded(quota_for(subscription, now=now), limit)


def refuse_second_unpaid(user: User, workspace: Workspace | None, *, now: datetime) -> None:
    """Invariant 11: one free start. Raises UnpaidTeam where the user has theirs, and would own another without a plan.

    Closing one does not make room for the next in the month whose free runs were used in it.
    """
    owned = Membership.objects.filter(user=user, role=Role.OWNER, workspace__personal_user=None)
    if workspace is not None:
        if not _is_unpaid(Subscription.objects.with_plans().get(workspace=workspace), now):
            return
        owned = owned.exclude(workspace=workspace)
    present = Subscription.objects.with_plans().filter(
        workspace__in=owned.filter(workspace__closed_at=None).values("workspace")
    )
    unpaid = sum(_is_unpaid(subscription, now) for subscription in present)
    used_up = UsagePeriod.objects.filter(
        workspace__in=owned.filter(workspace__closed_at__isnull=False).values("workspace"),
        source=Source.FREE,
        ends_at__gt=now,
        used__gt=0,
    ).count()
    if unpaid + used_up >= settings.UNPAID_TEAMS_PER_OWNER:
        raise UnpaidTeam(_why(is_own=workspace is None, is_closed=not unpaid, now=now))


def _why(*, is_own: bool, is_closed: bool, now: datetime) -> str:
    if not is_own:
        return _("This member has had a team workspace without a plan already. Choose a plan for this one first.")
    if is_closed:
        return _(
            "The free runs of a team workspace that you have closed were used this month."
            " You can make another one from %(day)s on."
        ) % {"day": date_format(calendar_month(now).end, "DATE_FORMAT")}
    limit: int = settings.UNPAID_TEAMS_PER_OWNER
    return ngettext(
        "You can own %(limit)s team workspace without a plan, and do. Choose a plan for it first.",
        "You can own %(limit)s team workspaces without a plan, and do. Choose a plan for one of them first.",
        limit,
    ) % {"limit": limit}


def _is_unpaid(subscription: Subscription, now: datetime) -> bool:
    return entitlement(subscription, now).source in UNPAID


def refuse_to_strand(workspaces: Sequence[Workspace]) -> None:
    """Invariant 14: nobody pays for what nobody can use. Raises Problem."""
    paying = Subscription.objects.filter(
        workspace__in=workspaces, stripe_status__in=CHARGED, is_collection_paused=False
    ).exclude(cancel_at__lte=F("paid_end"))
    names = list(paying.order_by("pk").values_list("workspace__name", flat=True))
    if names:
        raise Problem(
            f"Stripe goes on charging for {', '.join(names)}. Cancel, end or transfer that first.", "last_owner"
        )
