"""The trial, which every person has once."""

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from accounts.errors import Problem
from accounts.models import Ownership, User
from accounts.verification import EmailNotVerified
from billing.entitlements import entitlement
from billing.models import Plan, Source, Subscription, SubscriptionChange, TrialUse

TRIAL_LENGTH = timedelta(days=14)


class AlreadySubscribed(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("This workspace is already on a plan, so a trial would give it nothing."), "already_subscribed"
        )


class TrialAlreadyUsed(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("The trial was used before; everybody has one. A plan gives you more runs now."), "trial_already_used"
        )


def activate_trial(subscription: Subscription, *, actor: User, now: datetime) -> None:
    """Start the one trial of the workspace's owner.

    Raises AlreadySubscribed, TrialAlreadyUsed or EmailNotVerified, and then nothing has changed.
    """
    if entitlement(subscription, now).source in (Source.COMP, Source.PAID):
        raise AlreadySubscribed
    if standing_of(subscription).is_trial_used:
        raise TrialAlreadyUsed
    owner = subscription.workspace.owner
    if settings.TRIAL_REQUIRES_VERIFIED_EMAIL and not owner.is_email_verified:
        raise EmailNotVerified(_("Confirm your e-mail address first: the trial begins with a verified one."))
    workspaces = Ownership.objects.filter(user=owner).values_list("workspace_id", flat=True)
    try:
        with transaction.atomic():
            # Of any number of starts at once, in whichever of the person's workspaces, the unique
            # index lets one through (invariant 11).
            TrialUse.objects.bulk_create(
                TrialUse(kind=kind, subject=subject, at=now)
                for kind, subject in (
                    (TrialUse.USER, str(owner.pk)),
                    (TrialUse.ADDRESS, owner.person_hash),
                    (TrialUse.WORKSPACE, str(subscription.workspace_id)),
                )
            )
            TrialUse.objects.bulk_create(
                (TrialUse(kind=TrialUse.WORKSPACE, subject=str(workspace), at=now) for workspace in workspaces),
                ignore_conflicts=True,
            )
            subscription.change(
                cause=SubscriptionChange.TRIAL,
                now=now,
                actor=actor,
                trial_plan=Plan.objects.trial(),
                trial_start=now,
                trial_end=now + TRIAL_LENGTH,
            )
    except IntegrityError as error:
        raise TrialAlreadyUsed from error


class Standing(NamedTuple):
    """Whose the subscription is, and whether the person's one trial is gone."""

    owner_id: uuid.UUID
    is_trial_used: bool


def standing_of(subscription: Subscription) -> Standing:
    """One statement. It is gone when the workspace, its owner's address, or anybody who ever owned it had it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT u.id, EXISTS (
                SELECT FROM billing_trialuse t
                WHERE (t.kind = 'workspace' AND t.subject = m.workspace_id::text)
                   OR (t.kind = 'address' AND t.subject = u.person_hash)
                   OR (t.kind = 'user' AND t.subject IN (
                        SELECT o.user_id::text FROM accounts_ownership o WHERE o.workspace_id = m.workspace_id)))
            FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id
            WHERE m.workspace_id = %s AND m.role = 'owner'
            """,
            [subscription.workspace_id],
        )
        owner_id, is_used = cursor.fetchone()
    # Who has paid here before would get nothing from a trial (invariant 8).
    return Standing(owner_id, is_used or subscription.first_paid_at is not None)
