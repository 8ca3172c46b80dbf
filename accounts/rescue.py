"""What staff do to an account, at its owner's request or for everybody's safety. Who may, the desk decides."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.http import Http404

from accounts import guards, jobs, second_factor, signals, teams, tokens, verification
from accounts.errors import Problem
from accounts.models import Membership, Role, User, Workspace


class OwnsWorkspaces(Problem):
    """Invariant 14: a workspace always has an owner who can sign in."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"They own what would be left without anybody who can sign in: {', '.join(names)}."
            " Transfer or close it, or end what is paid for it, first.",
            "last_owner",
            status=409,
        )


class AddressInUse(Problem):
    def __init__(self) -> None:
        super().__init__("Another account has this address.", "address_taken")


def end_sessions(user: User) -> None:
    """Every browser and every program, at once."""
    tokens.revoke_families(user)


@transaction.atomic
def force_reset(user: User) -> None:
    """The password is good no more, every sign-in ends, and a link to choose another is mailed."""
    held = teams.hold_user(user)
    held.set_unusable_password()
    held.save(update_fields=["password"])
    tokens.revoke_families(held)
    jobs.send_password_reset.defer(email=held.email)


@transaction.atomic
def take_second_factor(user: User) -> None:
    """For who lost it. The codes that stand in for the app go with the app, and the owner is told."""
    second_factor.remove(user)
    tokens.revoke_families(user)
    jobs.send_notice.defer(user_id=str(user.pk), event=jobs.Notice.TWO_FACTOR_OFF)


def unlock(user: User) -> int:
    """Forget the wrong passwords that keep the account shut; how many there were."""
    return guards.forget(guards.SIGN_IN_ACCOUNT, user.email)


def verify(user: User) -> None:
    """Take staff's word for the address; whatever was set before ends, as with the link. Raises Problem where it is."""
    if not verification.confirm(user):
        raise Problem("This address is verified already, or the account is not active.", "no_change")


def change_email(user: User, email: str, *, now: datetime) -> None:
    """Not proven: its owner gets the link that proves it, and the old one a note. Raises AddressInUse."""
    try:
        with transaction.atomic():
            held = teams.hold_user(user)
            former = held.email
            held.set_email(email)
            if held.email == former:
                raise Problem("This is their address already.", "no_change")
            held.is_email_verified, held.pending_email = False, ""
            held.save(update_fields=["email", "person_hash", "is_email_verified", "pending_email"])
            tokens.revoke_families(held)
            for workspace in _owned(held):
                signals.payer_changed.send(sender=Workspace, workspace=workspace, now=now)
            jobs.send_notice.defer(user_id=str(held.pk), event=jobs.Notice.EMAIL_CHANGED, to=former)
            jobs.send_verification.defer(user_id=str(held.pk))
    except IntegrityError as error:
        raise AddressInUse from error


@transaction.atomic
def deactivate(user: User, *, now: datetime) -> None:
    """Nobody signs in there any more. Raises Problem, and what a listener of `account_ending` raises."""
    held = teams.hold_user(user)
    if not held.is_active:
        raise Problem("This account is deactivated already.", "no_change")
    owned = [workspace for workspace in _owned(held) if not workspace.is_personal]
    shared = [workspace.name for workspace in owned if workspace.members.exclude(pk=held.pk).exists()]
    if shared:
        raise OwnsWorkspaces(shared)
    signals.account_ending.send(sender=User, user=held, workspaces=_owned(held), now=now)
    held.is_active = False
    held.save(update_fields=["is_active"])
    # Whoever is switched off stays signed out also when switched on again.
    tokens.revoke_families(held)


@transaction.atomic
def activate(user: User) -> None:
    if not User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        raise Problem("This account is active already.", "no_change")


@transaction.atomic
def hand_over(workspace: Workspace, *, to: User, actor: User, now: datetime) -> None:
    """Make a member the owner, and the owner an admin. Raises Problem, and what `ownership_beginning` raises."""
    held = teams.hold_row(workspace.pk)
    found = Membership.objects.filter(workspace=held, user=to).first() if held else None
    if held is None or found is None:
        raise Http404
    own = Membership.objects.get(workspace=held, role=Role.OWNER)
    teams.pass_on(held, own, found, actor=actor, now=now)


def _owned(user: User) -> list[Workspace]:
    owned = Workspace.objects.filter(membership__user=user, membership__role=Role.OWNER, closed_at=None)
    return list(owned.order_by("pk"))
