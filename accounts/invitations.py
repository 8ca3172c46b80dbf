"""Invitations into a team: who has the mailed token, or an account with the proven address, may join, once.

Expiry is by the wall clock, as with every token. The acts of one workspace follow one another: see `teams`.
"""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts import guards, signals, teams, verification
from accounts.errors import Problem
from accounts.models import Invitation, Membership, Role, User, UserManager, Workspace
from accounts.roles import Act, RoleRequired, Suspended

VALID_FOR = timedelta(days=7)
# After its end; who joined is in the history of members.
KEPT = timedelta(days=90)


class InvitationEnded(Problem):
    """One sentence for whatever ended it, and for a token that never was."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "It was used or withdrawn, a newer mail has taken its place, or it is older than seven days."
                " Ask whoever invited you to send it again."
            ),
            "invitation_ended",
            status=410,
        )


class EmailNotVerified(Problem):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, "email_not_verified", status=403)


def invite(*, workspace: Workspace, actor: User, email: str, role: Role, now: datetime) -> Invitation:
    """Have a link mailed to the address, whether or not an account has it. Raises what `hold_team` raises,
    TooManyTries, and a Problem for an address that is in the workspace or invited already; and what a listener
    of `member_joining` raises, for invitations that are open take their seats.
    """
    _count(workspace, actor)
    email = UserManager.normalize_email(email)
    with transaction.atomic():
        held, own = teams.hold_team(workspace, actor, Act.INVITE)
        _refuse_unless_given_by(own, role)
        if Membership.objects.filter(workspace=held, user__email=email).exists():
            raise Problem(_("This address belongs to a member of this workspace."), "already_member")
        wall = _wall_clock()
        # Those that expired have no seat, and stand in the way of a new one for the same address.
        Invitation.objects.filter(
            workspace=held, email=email, accepted_at=None, withdrawn_at=None, expires_at__lte=wall
        ).update(withdrawn_at=wall)
        if open_ones().filter(workspace=held, email=email).exists():
            raise Problem(_("This address is invited already. You can send the invitation again."), "already_invited")
        _take_seat(held, now)
        made = Invitation.objects.create(
            workspace=held,
            email=email,
            role=role,
            invited_by=actor,
            created_at=wall,
            expires_at=wall + VALID_FOR,
        )
        _have_mailed(made)
    return made


def resend(*, workspace: Workspace, actor: User, invitation: uuid.UUID, now: datetime) -> Invitation:
    """Mail a new link, for seven days from now; the one before ends. Raises as `invite` does."""
    _count(workspace, actor)
    with transaction.atomic():
        held, own = teams.hold_team(workspace, actor, Act.INVITE)
        found = _find_unused(held, own, invitation)
        if found.expires_at <= _wall_clock():
            _take_seat(held, now)
        found.expires_at, found.token_hash = _wall_clock() + VALID_FOR, None
        # Who sends it again answers for it from now on.
        found.invited_by = actor
        found.save(update_fields=["expires_at", "token_hash", "invited_by"])
        _have_mailed(found)
    return found


@transaction.atomic
def withdraw(*, workspace: Workspace, actor: User, invitation: uuid.UUID) -> Invitation:
    held, own = teams.hold_team(workspace, actor, Act.INVITE)
    found = _find_unused(held, own, invitation)
    found.withdrawn_at = _wall_clock()
    found.save(update_fields=["withdrawn_at"])
    return found


def accept(*, token: str, user: User, now: datetime) -> Membership:
    """The token is the proof, whichever address the account has. Raises InvitationEnded, EmailNotVerified, a
    Problem for who is in the workspace already, Suspended, and what a listener of `member_joining` raises.

    Where the account's own address is the invited one, the token proves it too, which ends every sign-in from
    before: a view keeps its own browser by `devices.keep`.
    """
    found = find(token)
    if found is None:
        raise InvitationEnded
    return _join(found, Q(token_hash=_hash(token)), user, now)


def accept_by_address(*, invitation: uuid.UUID, user: User, now: datetime) -> Membership:
    """The account's proven address is the proof. Raises Http404 for an invitation of somebody else, and as `accept`."""
    found = for_user(user).filter(pk=invitation).first()
    if found is None:
        raise Http404
    return _join(found, Q(email=user.email), user, now, is_address_proof=True)


def unused_of(workspace: Workspace) -> QuerySet[Invitation]:
    """With those that expired, which can be sent again; newest first."""
    return (
        Invitation.objects.filter(workspace=workspace, accepted_at=None, withdrawn_at=None)
        .select_related("invited_by")
        .order_by("-created_at", "-id")
    )


def open_ones() -> QuerySet[Invitation]:
    """That can be accepted now."""
    return Invitation.objects.filter(
        accepted_at=None, withdrawn_at=None, expires_at__gt=_wall_clock(), workspace__closed_at=None
    )


def for_user(user: User) -> QuerySet[Invitation]:
    """That can be accepted without their token: none while the address is not proven."""
    if not user.is_email_verified:
        return Invitation.objects.none()
    return open_ones().filter(email=user.email).exclude(workspace__members=user)


def find(token: str) -> Invitation | None:
    return open_ones().select_related("workspace", "invited_by").filter(token_hash=_hash(token)).first()


def new_link(invitation: uuid.UUID) -> tuple[Invitation, str] | None:
    """For the worker: a link with a token that is made here, and kept as a hash; one that was mailed before ends.

    None where the invitation is not open any more.
    """
    token = secrets.token_urlsafe(32)
    if not open_ones().filter(pk=invitation).update(token_hash=_hash(token)):
        return None
    found = Invitation.objects.select_related("workspace", "invited_by").get(pk=invitation)
    return found, f"{settings.SITE_URL}/workspace/join/{token}/"


def forget_old(now: datetime) -> int:
    """Delete those that ended long ago, and with them addresses of people who never came; `now` is the wall clock's."""
    return Invitation.objects.filter(expires_at__lt=now - KEPT).delete()[0]


def _join(found: Invitation, proof: Q, user: User, now: datetime, *, is_address_proof: bool = False) -> Membership:
    with transaction.atomic():
        workspace = teams.hold_row(found.workspace_id)
        # Of any number who accept it, or accept and withdraw it, at once, the second finds it ended.
        invitation = open_ones().filter(proof, pk=found.pk).first()
        if workspace is None or invitation is None:
            raise InvitationEnded
        if workspace.suspended_at is not None:
            raise Suspended
        user = teams.hold_user(user)
        if Membership.objects.filter(workspace=workspace, user=user).exists():
            raise Problem(_("You are in this workspace already."), "already_member")
        if not user.is_email_verified:
            if is_address_proof or user.email != invitation.email:
                raise EmailNotVerified(_("Confirm the e-mail address of your account first, and then join."))
            verification.confirm(user)
        made = teams.admit(workspace, user, Role(invitation.role), now=now)
        invitation.accepted_at, invitation.accepted_by = _wall_clock(), user
        invitation.save(update_fields=["accepted_at", "accepted_by"])
    return made


def _find_unused(workspace: Workspace, own: Membership, invitation: uuid.UUID) -> Invitation:
    found = Invitation.objects.filter(workspace=workspace, pk=invitation, accepted_at=None, withdrawn_at=None).first()
    if found is None:
        raise Http404
    _refuse_unless_given_by(own, Role(found.role))
    return found


def _refuse_unless_given_by(own: Membership, role: Role) -> None:
    if role not in teams.GIVEN or not teams.ranks_above(own.role, role):
        raise RoleRequired(_("You can invite only into roles that are below your own."))


def _count(workspace: Workspace, actor: User) -> None:
    """Before any row is held: of one workspace's tries one counts at a time."""
    if not actor.is_email_verified:
        raise EmailNotVerified(_("Confirm your own e-mail address first: invitations are sent in your name."))
    guards.count(guards.INVITATION, str(workspace.pk))


def _take_seat(workspace: Workspace, now: datetime) -> None:
    seats = teams.seats_of(workspace)
    signals.member_joining.send(sender=Workspace, workspace=workspace, members=seats.taken + 1, now=now)


def _have_mailed(invitation: Invitation) -> None:
    from accounts import jobs  # which import this module

    jobs.send_invitation.defer(invitation_id=str(invitation.pk))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _wall_clock() -> datetime:
    return datetime.now(UTC)
