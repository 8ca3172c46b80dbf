"""Team workspaces and who belongs to them: each act is one transaction, and says why it is refused.

The acts of one workspace follow one another: each holds the workspace's row, and reads under it what the
roles are by now. It keeps no run waiting, for a run only needs the row to be there.
"""

import uuid
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection, transaction
from django.http import Http404
from django.utils.translation import gettext as _

from accounts import signals
from accounts.errors import Problem
from accounts.models import Invitation, Membership, MembershipChange, Ownership, Role, User, Workspace
from accounts.roles import MAY, Act, RoleRequired, Suspended

RANK = {Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}
#: What can be given: there is one owner, and they are one by opening the workspace or by a transfer.
GIVEN = (Role.MEMBER, Role.ADMIN)


class LastOwner(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("A workspace always has an owner. Transfer it to another member first, or close it."), "last_owner"
        )


class PersonalWorkspace(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("This is a personal workspace: it is one person's, and cannot be shared, left, transferred or closed."),
            "personal_workspace",
        )


class Seats(NamedTuple):
    """Of a workspace: who is in it, and who has an invitation that can still be accepted."""

    members: int
    invited: int

    @property
    def taken(self) -> int:
        return self.members + self.invited


def clean_name(name: str) -> str:
    """In one line, as it stands in headings and in the subjects of mails."""
    return " ".join(name.split())


def ranks_above(own: Role | str, other: Role | str) -> bool:
    """Roles below one's own are one's to give and to take."""
    return RANK[Role(own)] > RANK[Role(other)]


@transaction.atomic
def open_team(*, owner: User, name: str, now: datetime) -> Workspace:
    """A workspace that can be shared. Raises what a listener of `ownership_beginning` raises."""
    user = hold_user(owner)
    signals.ownership_beginning.send(sender=Workspace, user=user, workspace=None, now=now)
    return Workspace.objects.open(name=clean_name(name), owner=owner, now=now)


@transaction.atomic
def rename(*, workspace: Workspace, actor: User, name: str) -> None:
    held, _own = hold(workspace, actor, Act.RENAME)
    held.name = clean_name(name)
    held.save(update_fields=["name"])


@transaction.atomic
def let_admins_bill(*, workspace: Workspace, actor: User, is_allowed: bool) -> None:
    held, _own = hold_team(workspace, actor, Act.LET_ADMINS_BILL)
    held.may_admins_bill = is_allowed
    held.save(update_fields=["may_admins_bill"])


@transaction.atomic
def set_role(*, workspace: Workspace, actor: User, member: uuid.UUID, role: Role, now: datetime) -> Membership:
    """Give a member another role. Raises RoleRequired unless theirs and the new one are below one's own."""
    held, own = hold_team(workspace, actor, Act.INVITE)
    found = find(held, member)
    _refuse_unless_above(own, Role(found.role), role)
    before, found.role = found.role, role
    if before != role:
        found.save(update_fields=["role"])
        _record(found, actor, before, role, now)
        if role == Role.MEMBER:
            _withdraw_invitations_of(found)
    return found


@transaction.atomic
def remove(*, workspace: Workspace, actor: User, member: uuid.UUID, now: datetime) -> Membership:
    """Raises LastOwner for the owner by the owner, and RoleRequired unless the member's role is below one's own."""
    held, own = hold_team(workspace, actor, Act.INVITE)
    found = find(held, member)
    if own.role == found.role == Role.OWNER:
        raise LastOwner
    _refuse_unless_above(own, Role(found.role))
    _end(found, actor, now)
    # What they sent out while they were trusted goes with the trust.
    _withdraw_invitations_of(found)
    return found


@transaction.atomic
def leave(*, workspace: Workspace, actor: User, now: datetime) -> None:
    """Raises LastOwner for the owner (invariant 14)."""
    _held, own = hold_team(workspace, actor)
    if own.role == Role.OWNER:
        raise LastOwner
    _end(own, actor, now)


@transaction.atomic
def transfer(*, workspace: Workspace, actor: User, member: uuid.UUID, now: datetime) -> Membership:
    """Make a member the owner, and the owner an admin. Raises what a listener of `ownership_beginning` raises."""
    held, own = hold_team(workspace, actor, Act.TRANSFER)
    found = find(held, member)
    pass_on(held, own, found, actor=actor, now=now)
    return found


def pass_on(held: Workspace, own: Membership, found: Membership, *, actor: User, now: datetime) -> None:
    """From the owner to another member, in a workspace that is held. Raises Problem, and what a listener raises."""
    if found.pk == own.pk:
        raise Problem(_("You are the owner already."), "no_change")
    user = hold_user(found.user)
    if not user.is_active:
        # Invariant 14: an owner is somebody who can sign in.
        raise Problem(_("This account was deactivated, and cannot own a workspace."), "account_inactive")
    signals.ownership_beginning.send(sender=Workspace, user=user, workspace=held, now=now)
    # In this order: of two owners at once the unique index would refuse the second.
    for membership, role in ((own, Role.ADMIN), (found, Role.OWNER)):
        before, membership.role = membership.role, role
        membership.save(update_fields=["role"])
        _record(membership, actor, before, role, now)
    Ownership.objects.get_or_create(workspace=held, user=user, defaults={"since": now})
    signals.payer_changed.send(sender=Workspace, workspace=held, now=now)


@transaction.atomic
def refuse_to_close(*, workspace: Workspace, actor: User) -> None:
    """Raises what `close` would raise, and changes nothing."""
    hold_team(workspace, actor, Act.CLOSE)


@transaction.atomic
def close(*, workspace: Workspace, actor: User, now: datetime) -> None:
    """For good. Called once nothing is paid for it any more: see `billing.lifecycle.close` (invariant 14)."""
    held, _own = hold_team(workspace, actor, Act.CLOSE)
    held.closed_at = now
    held.save(update_fields=["closed_at"])
    still_open = Invitation.objects.filter(workspace=held, accepted_at=None, withdrawn_at=None)
    still_open.update(withdrawn_at=datetime.now(UTC))
    signals.workspace_closed.send(sender=Workspace, workspace=held, now=now)


def find(workspace: Workspace, member: uuid.UUID) -> Membership:
    """By the membership's id. Raises Http404 for a missing and for a foreign one alike (invariant 13)."""
    found = Membership.objects.select_related("user").filter(workspace=workspace, pk=member).first()
    if found is None:
        raise Http404
    return found


def seats_of(workspace: Workspace) -> Seats:
    """One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM accounts_membership WHERE workspace_id = %(workspace)s),
                (SELECT count(*) FROM accounts_invitation WHERE workspace_id = %(workspace)s
                    AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > %(wall)s)
            """,
            {"workspace": workspace.pk, "wall": datetime.now(UTC)},
        )
        return Seats(*cursor.fetchone())


def hold(workspace: Workspace, actor: User, act: Act | None = None) -> tuple[Workspace, Membership]:
    """The workspace's row until the transaction ends, and who acts as they are there by now.

    Raises Http404 where it is closed or the actor not in it any more, RoleRequired and Suspended.
    """
    held = hold_row(workspace.pk)
    own = Membership.objects.filter(workspace=held, user=actor).first() if held else None
    if held is None or own is None:
        raise Http404
    if act is not None and own.role not in MAY[act]:
        raise RoleRequired
    if held.suspended_at is not None:
        raise Suspended
    return held, own


def hold_team(workspace: Workspace, actor: User, act: Act | None = None) -> tuple[Workspace, Membership]:
    """The same, and raises PersonalWorkspace."""
    held, own = hold(workspace, actor, act)
    if held.is_personal:
        raise PersonalWorkspace
    return held, own


def hold_row(workspace_id: uuid.UUID) -> Workspace | None:
    """None where it is closed. Rows that refer to it can be written meanwhile: runs go on."""
    return Workspace.objects.select_for_update(no_key=True).filter(pk=workspace_id, closed_at=None).first()


def hold_user(user: User) -> User:
    """As they are by now. Where a workspace is held too, it was held before."""
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def admit(workspace: Workspace, user: User, role: Role, *, now: datetime) -> Membership:
    """Into a workspace that is held. Raises what a listener of `member_joining` raises."""
    members = Membership.objects.filter(workspace=workspace).count() + 1
    signals.member_joining.send(sender=Workspace, workspace=workspace, members=members, now=now)
    made = Membership.objects.create(workspace=workspace, user=user, role=role, created_at=now)
    _record(made, user, "", role, now)
    return made


def _refuse_unless_above(own: Membership, *roles: Role) -> None:
    if not all(ranks_above(own.role, role) for role in roles):
        raise RoleRequired(_("You can give and take away only roles that are below your own."))


def _end(membership: Membership, actor: User, now: datetime) -> None:
    Membership.objects.filter(pk=membership.pk).delete()
    _record(membership, actor, membership.role, "", now)


def _record(membership: Membership, actor: User, before: str, after: str, now: datetime) -> None:
    MembershipChange.objects.create(
        workspace_id=membership.workspace_id,
        user_id=membership.user_id,
        actor=actor,
        at=now,
        before=before,
        after=after,
    )


def _withdraw_invitations_of(membership: Membership) -> None:
    Invitation.objects.filter(
        workspace_id=membership.workspace_id, invited_by_id=membership.user_id, accepted_at=None, withdrawn_at=None
    ).update(withdrawn_at=datetime.now(UTC))
