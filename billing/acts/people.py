"""Acts on a person's account. `accounts.rescue` does them; the trail is kept here."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.urls import reverse

from accounts import rescue, second_factor
from accounts.errors import Problem
from accounts.models import Role, User, Workspace
from billing import audit, impersonation, roles
from billing.acts.act import NotAllowed, PersonAct, Wish
from billing.acts.forms import AppointForm, EmailForm, TransferForm

SIGN_IN, ACCOUNT = "Signing in", "The account"


class EndSessions(PersonAct):
    name, label, group = "end-sessions", "Sign out everywhere", SIGN_IN
    explanation = "Every browser and every program is signed out at once. The password stays."
    permission = "accounts.help_person"

    def carry_out(self, target: User, wish: Wish) -> str:
        return _done(self, target, wish, lambda: rescue.end_sessions(target), "Signed out everywhere.")


class ForceReset(PersonAct):
    name, label, group = "force-reset", "Force a new password", SIGN_IN
    explanation = "The password is good no more, every sign-in ends, and a link to choose another is mailed."
    permission = "accounts.help_person"
    is_harsh = is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return target.is_active

    def carry_out(self, target: User, wish: Wish) -> str:
        return _done(self, target, wish, lambda: rescue.force_reset(target), f"A link is on its way to {target.email}.")


class Unlock(PersonAct):
    name, label, group = "unlock", "Unlock", SIGN_IN
    explanation = "The wrong passwords of the last minutes are forgotten, so that they can try again at once."
    permission = "accounts.help_person"

    def carry_out(self, target: User, wish: Wish) -> str:
        return _done(self, target, wish, lambda: rescue.unlock(target), "They can try again at once.")


class ResetSecondFactor(PersonAct):
    name, label, group = "reset-second-factor", "Take the second factor away", SIGN_IN
    explanation = "For who lost it, and proved who they are. Every sign-in ends, and the owner is told by mail."
    permission = "accounts.decide_person"
    is_harsh = is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return second_factor.is_on(target)

    def carry_out(self, target: User, wish: Wish) -> str:
        def work() -> None:
            if not second_factor.is_on(target):
                raise Problem("This account has no second factor.", "no_change")
            rescue.take_second_factor(target)

        return _done(self, target, wish, work, "The second factor is gone; the password alone signs in now.")


class VerifyEmail(PersonAct):
    name, label, group = "verify-email", "Take the address as verified", ACCOUNT
    explanation = "On your word, without the mailed link. Whoever is signed in is signed out, as with the link."
    permission = "accounts.decide_person"
    is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return not target.is_email_verified and target.is_active

    def carry_out(self, target: User, wish: Wish) -> str:
        return _done(self, target, wish, lambda: rescue.verify(target), f"{target.email} counts as verified.")


class ChangeEmail(PersonAct):
    name, label, group = "change-email", "Change the address", ACCOUNT
    explanation = "The new one is asked to be verified, the old one gets a note, and every sign-in ends."
    permission = "accounts.decide_person"
    form = EmailForm
    is_grave = True

    def carry_out(self, target: User, wish: Wish) -> str:
        email = wish.data["email"]
        return _done(
            self, target, wish, lambda: rescue.change_email(target, email, now=wish.now), f"{email} is their address."
        )


class Transfer(PersonAct):
    name, label, group = "transfer", "Transfer a workspace", ACCOUNT
    explanation = "A member becomes the owner, and the owner an admin. Invoices go to the new one from then on."
    permission = "accounts.decide_person"
    form = TransferForm
    is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return bool(_teams_of(target))

    def form_arguments(self, target: User | None, now: datetime) -> dict[str, Any]:
        return {"workspaces": [(str(one.pk), one.name) for one in _teams_of(target)] if target else []}

    def carry_out(self, target: User, wish: Wish) -> str:
        workspace = Workspace.objects.get(pk=wish.data["workspace"])
        heir = workspace.members.filter(email=User.objects.normalize_email(wish.data["email"])).first()
        if heir is None:
            raise ValueError(f"{wish.data['email']} is no member of {workspace.name}.")
        with transaction.atomic():
            rescue.hand_over(workspace, to=heir, actor=wish.actor, now=wish.now)
            audit.record(
                "transfer",
                target=workspace,
                workspace=workspace,
                before={"owner": target.email},
                after={"owner": heir.email},
                **wish.by,
            )
        return f"{workspace.name} belongs to {heir.email}."


class Deactivate(PersonAct):
    name, label, group = "deactivate", "Deactivate", ACCOUNT
    explanation = "Nobody signs in there any more. Refused while somebody else, or a payment, depends on it."
    permission = "accounts.decide_person"
    is_harsh = is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return target.is_active

    def carry_out(self, target: User, wish: Wish) -> str:
        if target.pk == wish.actor.pk:
            raise NotAllowed("Nobody deactivates themselves.")
        return _done(
            self, target, wish, lambda: rescue.deactivate(target, now=wish.now), f"{target.email} is deactivated."
        )


class Activate(PersonAct):
    name, label, group = "activate", "Activate", ACCOUNT
    explanation = "They can sign in again, with the password that they had."
    permission = "accounts.decide_person"
    is_grave = True

    def is_offered(self, target: User, now: datetime) -> bool:
        return not target.is_active

    def carry_out(self, target: User, wish: Wish) -> str:
        return _done(self, target, wish, lambda: rescue.activate(target), f"{target.email} can sign in again.")


class Appoint(PersonAct):
    name, label, group = "appoint", "Give a staff role", ACCOUNT
    explanation = "Support reads and helps; billing decides about plans and money; admin about people and large sums."
    permission = "accounts.appoint_staff"
    form = AppointForm
    is_grave = True

    def notes(self, target: User, now: datetime) -> Sequence[str]:
        role = roles.role_of(target)
        return (f"They have the role {role} now.",) if role else ("They are not staff now.",)

    def carry_out(self, target: User, wish: Wish) -> str:
        if target.pk == wish.actor.pk:
            raise NotAllowed("Nobody appoints themselves: ask another admin.")
        role, before = wish.data["role"], roles.role_of(target)
        with transaction.atomic():
            roles.appoint(target, role)
            rescue.end_sessions(target)
            audit.record("appoint", target=target, before={"role": before}, after={"role": role}, **wish.by)
        return f"{target.email} has the role {role}." if role else f"{target.email} is not staff any more."


class SignInAs(PersonAct):
    name, label, group = "sign-in-as", "Look at it as they do", SIGN_IN
    explanation = (
        "For half an hour you see their pages as they do. Nothing can be changed or bought from there,"
        " and the trail shows it."
    )
    permission = "accounts.sign_in_as"

    def is_offered(self, target: User, now: datetime) -> bool:
        return target.is_active and not target.is_staff

    def carry_out(self, target: User, wish: Wish) -> str:
        if not impersonation.may_sign_in_as(hijacker=wish.actor, hijacked=target):
            raise NotAllowed("Nobody signs in as staff, as themselves, or as who cannot sign in.")
        impersonation.begin(wish.request, target, reason=wish.reason, now=wish.now)
        return f"You see the pages of {target.email}."

    def page_after(self, target: User) -> str | None:
        return reverse("root")


def _teams_of(user: User) -> list[Workspace]:
    owned = Workspace.objects.filter(membership__user=user, membership__role=Role.OWNER, closed_at=None)
    return list(owned.filter(personal_user=None).order_by("name")[:100])


@transaction.atomic
def _done(act: PersonAct, target: User, wish: Wish, work: Callable[[], object], sentence: str) -> str:
    before = _facts(target)
    work()
    target.refresh_from_db()
    workspace = Workspace.objects.filter(personal_user=target).first()
    after = _facts(target)
    audit.record(act.name, target=target, workspace=workspace, before=before, after=after, **wish.by)
    return sentence


def _facts(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "is_email_verified": user.is_email_verified,
        "is_active": user.is_active,
        "has_password": user.has_usable_password(),
        "has_second_factor": second_factor.is_on(user),
    }


ALL: tuple[type[PersonAct], ...] = (
    EndSessions,
    ForceReset,
    Unlock,
    ResetSecondFactor,
    SignInAs,
    VerifyEmail,
    ChangeEmail,
    Transfer,
    Deactivate,
    Activate,
    Appoint,
)
