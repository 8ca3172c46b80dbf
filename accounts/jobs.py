"""What accounts leaves to the worker: a job row in the transaction that wants the effect (invariant 12).

Links are made by the worker, so that no secret lies in a job row.
"""

import re
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import translation
from procrastinate import JobContext
from procrastinate.contrib.django import app

from accounts import devices, guards, idempotency, invitations, links, teams
from accounts.models import RefreshToken, User, UserManager

MAIL_QUEUE = "mail"
HOUSEKEEPING_QUEUE = "housekeeping"
LINK_LIKE = re.compile(r"[/@:\\]|\.\w")


class Notice(StrEnum):
    """What an account's owner is told when it happened, in case it was not them."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105  (the name of an event)
    EMAIL_CHANGED = "email_changed"
    TWO_FACTOR_ON = "two_factor_on"
    TWO_FACTOR_OFF = "two_factor_off"
    NEW_CODES = "new_codes"


@app.task(queue=MAIL_QUEUE, retry=5)
def send_verification(*, user_id: str) -> None:
    user = User.objects.filter(pk=user_id, is_active=True, is_email_verified=False).first()
    if user is not None:
        send(user, "verify_email", link=links.verification_link(user))


@app.task(queue=MAIL_QUEUE, retry=5)
def send_password_reset(*, email: str) -> None:
    """Takes the address as it was typed: whether an account has it is found out here, unseen by who asked."""
    user = User.objects.filter(email=UserManager.normalize_email(email), is_active=True).first()
    if user is not None:
        send(user, "password_reset", link=links.reset_link(user))


@app.task(queue=MAIL_QUEUE, retry=5)
def send_address_taken(*, email: str) -> None:
    """To the account of an address with which somebody wanted another one; not often, whoever goes on trying."""
    user = User.objects.filter(email=UserManager.normalize_email(email), is_active=True).first()
    if user is None:
        return
    try:
        guards.count(guards.ADDRESS_TAKEN, user.email)
    except guards.TooManyTries:
        return
    send(user, "address_taken", site=settings.SITE_URL)


@app.task(queue=MAIL_QUEUE, retry=5)
def send_email_change(*, user_id: str) -> None:
    """To the address that is asked for. Whether another account has it is found out here, unseen by who asked."""
    user = User.objects.filter(pk=user_id, is_active=True).exclude(pending_email="").first()
    if user is None:
        return
    if User.objects.filter(email=user.pending_email).exists():
        send_address_taken(email=user.pending_email)
    else:
        send(user, "change_email", link=links.email_change_link(user), to=user.pending_email)


@app.task(queue=MAIL_QUEUE, retry=5)
def send_notice(*, user_id: str, event: str, to: str = "") -> None:
    """`to` is the account's former address where that is what changed."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        send(user, "notice", event=event, site=settings.SITE_URL, to=to or user.email)


@app.task(queue=MAIL_QUEUE, retry=5)
def send_invitation(*, invitation_id: str) -> None:
    """In the language of whoever invites: of the other one nothing is known. Run twice, the later mail counts."""
    made = invitations.new_link(uuid.UUID(invitation_id))
    if made is not None:
        invitation, link = made
        with translation.override(invitation.invited_by.language or settings.LANGUAGE_CODE):
            context = {
                "inviter": harmless(invitation.invited_by.fullname) or translation.gettext("Somebody"),
                "workspace": harmless(invitation.workspace.name) or translation.gettext("a workspace"),
                "role": invitation.role,
                "link": link,
            }
            text = render_to_string("emails/invitation.txt", context)
        _mail(text, to=invitation.email)


@app.periodic(cron="17 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE, pass_context=False)
def forget_what_expired(timestamp: int) -> None:
    """Nightly, by the wall clock: old tries, idempotent answers, refresh tokens and browser sessions."""
    now = datetime.fromtimestamp(timestamp, UTC)
    guards.forget_old(now)
    idempotency.forget_old(now)
    invitations.forget_old(now)
    RefreshToken.objects.filter(expires_at__lt=now).delete()
    SessionStore.clear_expired()
    devices.forget_ended()


@app.periodic(cron="37 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE, pass_context=True)
async def forget_old_jobs(context: JobContext, timestamp: int) -> None:
    """Nightly: jobs that failed are kept for a month, for whoever looks into them."""
    await context.app.job_manager.delete_old_jobs(nb_hours=30 * 24, include_failed=True)


def send(user: User, template: str, *, to: str = "", **context: Any) -> None:
    """A mail by `templates/emails`, in the language that the person chose."""
    name = user.get_short_name()
    # Whoever signs up with another's address chooses the name: it is to be no message, and no link.
    context["name"] = name if name.replace("-", "").isalpha() else ""
    with translation.override(user.language or settings.LANGUAGE_CODE):
        text = render_to_string(f"emails/{template}.txt", {"user": user, **context})
    _mail(text, to=to or user.email)


def harmless(name: str) -> str:
    """In one line; empty for what a mail programme, or its reader, would take for a link."""
    return "" if LINK_LIKE.search(name) else teams.clean_name(name)


def _mail(text: str, *, to: str) -> None:
    """The first line is the subject."""
    subject, _, body = text.partition("\n")
    EmailMessage(subject=subject.strip(), body=body.lstrip("\n"), to=[to]).send()
