"""Another address for an account: asked for, proven by a mailed link, and only then in the old one's place."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import guards, jobs, signals
from accounts.errors import Problem
from accounts.models import Role, User, Workspace
from accounts.verification import EmailNotVerified


class AddressTaken(Problem):
    def __init__(self) -> None:
        super().__init__(_("This address belongs to another account by now, so yours stays as it is."), "address_taken")


def ask(user: User, email: str) -> None:
    """Have a link mailed there; one that was asked for before ends. Raises TooManyTries and EmailNotVerified.

    It says nothing of whether another account has the address.
    """
    if not user.is_email_verified:
        raise EmailNotVerified(_("Confirm your present e-mail address first. Then you can change it."))
    guards.count(guards.EMAIL_CHANGE, str(user.pk))
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(pending_email=email)
        jobs.send_email_change.defer(user_id=str(user.pk))


def withdraw(user: User) -> None:
    User.objects.filter(pk=user.pk).update(pending_email="")


def complete(user: User, email: str, *, now: datetime) -> None:
    """Put it in the old one's place. Raises AddressTaken, and then nothing is asked for any more."""
    try:
        with transaction.atomic():
            held = User.objects.select_for_update().get(pk=user.pk)
            if held.pending_email != email:
                raise Problem(_("This change is not asked for any more."), "no_change")
            former = held.email
            held.set_email(email)
            held.pending_email = ""
            held.save(update_fields=["email", "person_hash", "pending_email"])
            owned = Workspace.objects.filter(membership__user=held, membership__role=Role.OWNER, closed_at=None)
            for workspace in owned:
                signals.payer_changed.send(sender=Workspace, workspace=workspace, now=now)
            # To the old one: whoever reads there should know.
            jobs.send_notice.defer(user_id=str(user.pk), event=jobs.Notice.EMAIL_CHANGED, to=former)
    except IntegrityError as error:
        withdraw(user)
        raise AddressTaken from error
