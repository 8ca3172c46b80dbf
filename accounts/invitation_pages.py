"""Inviting into a workspace, and coming in."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import devices, invitations, teams
from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once
from accounts.models import Membership, Role
from accounts.pages import form_again, page, switch_to, with_problem
from accounts.roles import Act
from accounts.team_forms import InviteForm


@page(act=Act.INVITE, methods=("GET", "HEAD", "POST"))
def invite(request: HttpRequest, held: Access) -> HttpResponse:
    form = InviteForm(request.POST or None, roles=roles_to_give(held))

    def work() -> str:
        made = invitations.invite(
            workspace=held.workspace,
            actor=held.user,
            email=form.cleaned_data["email"],
            role=Role(form.cleaned_data["role"]),
            now=held.now,
        )
        messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": made.email})
        return "/workspace/#invitations"

    if held.workspace.is_personal:
        raise teams.PersonalWorkspace
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(once(request, held, work))
        except Problem as problem:
            return form_again(request, "accounts/workspace_invite.html", form, problem, section="workspace")
    return render(request, "accounts/workspace_invite.html", {"section": "workspace", "form": form})


@page(act=Act.INVITE, methods=("POST",))
def resend(request: HttpRequest, held: Access, invitation: uuid.UUID) -> HttpResponse:
    found = invitations.resend(workspace=held.workspace, actor=held.user, invitation=invitation, now=held.now)
    messages.success(
        request,
        _("A new link is on its way to %(email)s; the one before has ended.") % {"email": found.email},
    )
    return redirect("/workspace/#invitations")


@page(act=Act.INVITE, methods=("POST",))
def withdraw(request: HttpRequest, held: Access, invitation: uuid.UUID) -> HttpResponse:
    found = invitations.withdraw(workspace=held.workspace, actor=held.user, invitation=invitation)
    messages.success(request, _("The invitation of %(email)s is withdrawn.") % {"email": found.email})
    return redirect("/workspace/#invitations")


@page(methods=("GET", "HEAD", "POST"), sign_in=False, writes=False)
def join(request: HttpRequest, held: Access | None, token: str) -> HttpResponse:
    """What a mailed link leads to. Looking at it joins nothing, for programmes look into links before people do."""
    invitation = invitations.find(token)
    if invitation is None:
        return _invitation_ended(request)
    problem: Problem | None = None
    if request.method == "POST" and held is not None:
        try:
            made = invitations.accept(token=token, user=held.user, now=held.now)
            if made.user.is_email_verified and not held.user.is_email_verified:
                devices.keep(request, made.user)
            return _joined(request, made)
        except invitations.InvitationEnded:
            return _invitation_ended(request)
        except Problem as refused:
            problem = refused
    context: dict[str, Any] = {"invitation": invitation, "problem": problem}
    if held is not None:
        context["is_member"] = Membership.objects.filter(workspace=invitation.workspace, user=held.user).exists()
        context["is_same_address"] = held.user.email == invitation.email
    response = render(request, "accounts/join.html", context)
    return with_problem(request, response, problem) if problem else response


@page(methods=("POST",), writes=False)
def accept(request: HttpRequest, held: Access, invitation: uuid.UUID) -> HttpResponse:
    """By the account's proven address, without the mail."""
    return _joined(request, invitations.accept_by_address(invitation=invitation, user=held.user, now=held.now))


def roles_to_give(held: Access) -> list[Role]:
    return [role for role in teams.GIVEN if teams.ranks_above(held.role, role)]


def _joined(request: HttpRequest, membership: Membership) -> HttpResponse:
    switch_to(request, membership.workspace)
    messages.success(request, _("You are in %(name)s now.") % {"name": membership.workspace.name})
    return redirect("accounts:workspace")


def _invitation_ended(request: HttpRequest) -> HttpResponse:
    problem = invitations.InvitationEnded()
    context = {"title": _("This invitation is not valid any more"), "text": problem.detail}
    return render(request, "accounts/notice.html", context, status=problem.status_code)
