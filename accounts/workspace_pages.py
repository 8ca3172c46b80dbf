"""A workspace and who belongs to it: its page, and those on which that is changed."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import guards, invitations, teams
from accounts.access import Access
from accounts.addresses import client_address
from accounts.errors import Problem
from accounts.idempotency import once
from accounts.invitation_pages import roles_to_give
from accounts.models import Invitation, Membership, Role, User, Workspace
from accounts.pages import back_to, form_again, page, switch_to
from accounts.roles import MAY, Act, may
from accounts.team_forms import InviteForm, NameForm, PasswordForm, RoleForm, TransferForm

#: Of members and of invitations, so many are shown at once.
PAGE = 50

#: What each role may do, in words: the table on the page is drawn from the matrix by which it is enforced.
RIGHTS: list[tuple[Promise, Act]] = [
    (gettext_lazy("Start runs, and read all sessions"), Act.RUN),
    (gettext_lazy("See plan and usage"), Act.SEE_USAGE),
    (gettext_lazy("Stop and delete the sessions of others"), Act.TOUCH_OTHERS),
    (gettext_lazy("See the ledger and invoices"), Act.SEE_LEDGER),
    (gettext_lazy("Invite and remove people, and change roles, below their own"), Act.INVITE),
    (gettext_lazy("Rename the workspace"), Act.RENAME),
    (gettext_lazy("Buy, change and cancel the plan"), Act.BILL),
    (gettext_lazy("Transfer or close the workspace"), Act.CLOSE),
]


@dataclass(frozen=True)
class Row:
    """A member in the table; `is_below` says whether their role is the viewer's to give and to take."""

    member: Membership
    is_self: bool
    is_below: bool


@page()
def workspace(request: HttpRequest, held: Access) -> HttpResponse:
    return _workspace_page(request, held)


@page(methods=("POST",), writes=False)
def switch(request: HttpRequest, held: Access) -> HttpResponse:
    """Into another of one's workspaces. A foreign and a missing one are the same 404 (invariant 13)."""
    found = Workspace.objects.filter(pk=_uuid(request.POST.get("workspace")), members=held.user, closed_at=None).first()
    if found is None:
        raise Http404
    switch_to(request, found)
    return back_to(request, "/")


@page(methods=("GET", "HEAD", "POST"), writes=False)
def new(request: HttpRequest, held: Access) -> HttpResponse:
    form = NameForm(request.POST or None)

    def work() -> str:
        made = teams.open_team(owner=held.user, name=form.cleaned_data["name"], now=held.now)
        switch_to(request, made)
        messages.success(request, _("%(name)s is ready. Invite the people who work in it.") % {"name": made.name})
        return "/workspace/"

    if request.method == "POST" and form.is_valid():
        try:
            # The work itself switches, and a repetition must find the same token: at home one always is.
            home = replace(held, workspace=held.user.personal_workspace)
            return redirect(once(request, home, work))
        except Problem as problem:
            return form_again(request, "accounts/workspace_new.html", form, problem, section="workspace")
    return render(request, "accounts/workspace_new.html", {"section": "workspace", "form": form})


@page(act=Act.RENAME, methods=("POST",))
def rename(request: HttpRequest, held: Access) -> HttpResponse:
    form = NameForm(request.POST)
    if not form.is_valid():
        return _workspace_page(request, held, name_form=form)
    teams.rename(workspace=held.workspace, actor=held.user, name=form.cleaned_data["name"])
    messages.success(request, _("The workspace has its new name."))
    return redirect("accounts:workspace")


@page(act=Act.LET_ADMINS_BILL, methods=("POST",))
def let_admins_bill(request: HttpRequest, held: Access) -> HttpResponse:
    is_allowed = "may_admins_bill" in request.POST
    teams.let_admins_bill(workspace=held.workspace, actor=held.user, is_allowed=is_allowed)
    messages.success(
        request,
        _("Admins may change the plan now.") if is_allowed else _("Only you may change the plan now."),
    )
    return redirect("accounts:workspace")


@page(act=Act.INVITE, methods=("GET", "HEAD", "POST"))
def member(request: HttpRequest, held: Access, member: uuid.UUID) -> HttpResponse:
    """One person's role, and the way to remove them."""
    found = teams.find(held.workspace, member)
    form = RoleForm(request.POST or None, initial={"role": found.role})
    if request.method == "POST" and form.is_valid():
        changed = teams.set_role(
            workspace=held.workspace,
            actor=held.user,
            member=member,
            role=Role(form.cleaned_data["role"]),
            now=held.now,
        )
        sentence = _("%(name)s is an admin now.") if changed.role == Role.ADMIN else _("%(name)s is a member now.")
        messages.success(request, sentence % {"name": changed.user.fullname})
        return redirect("accounts:workspace")
    return render(
        request,
        "accounts/member.html",
        {
            "section": "workspace",
            "member": found,
            "form": form,
            "is_below": teams.ranks_above(held.role, found.role),
            "is_owner": held.role == Role.OWNER,
        },
    )


@page(act=Act.INVITE, methods=("GET", "HEAD", "POST"))
def remove(request: HttpRequest, held: Access, member: uuid.UUID) -> HttpResponse:
    found = teams.find(held.workspace, member)
    if request.method == "POST":
        gone = teams.remove(workspace=held.workspace, actor=held.user, member=member, now=held.now)
        messages.success(request, _("%(name)s is not in this workspace any more.") % {"name": gone.user.fullname})
        return redirect("accounts:workspace")
    if not teams.ranks_above(held.role, found.role):
        return redirect("accounts:member", member=member)
    return render(request, "accounts/member_remove.html", {"section": "workspace", "member": found})


@page(methods=("GET", "HEAD", "POST"))
def leave(request: HttpRequest, held: Access) -> HttpResponse:
    if held.workspace.is_personal:
        raise teams.PersonalWorkspace
    if request.method == "POST":
        teams.leave(workspace=held.workspace, actor=held.user, now=held.now)
        switch_to(request, held.user.personal_workspace)
        messages.success(request, _("You have left %(name)s.") % {"name": held.workspace.name})
        return redirect("accounts:workspace")
    return render(request, "accounts/workspace_leave.html", {"section": "workspace"})


@page(act=Act.TRANSFER, methods=("GET", "HEAD", "POST"))
def transfer(request: HttpRequest, held: Access) -> HttpResponse:
    if held.workspace.is_personal:
        raise teams.PersonalWorkspace
    form = TransferForm(
        request.POST or None, workspace=held.workspace, initial={"member": request.GET.get("member", "")}
    )
    if request.method == "POST" and form.is_valid() and confirmed(request, held.user, form):
        try:
            found = teams.transfer(
                workspace=held.workspace, actor=held.user, member=uuid.UUID(form.cleaned_data["member"]), now=held.now
            )
        except Problem as problem:
            return form_again(request, "accounts/workspace_transfer.html", form, problem, section="workspace")
        messages.success(
            request,
            _("%(name)s owns this workspace now, and you are an admin.") % {"name": found.user.fullname},
        )
        return redirect("accounts:workspace")
    return render(request, "accounts/workspace_transfer.html", {"section": "workspace", "form": form})


def confirmed(request: HttpRequest, user: User, form: PasswordForm) -> bool:
    """Whether the password is the user's; where it is not, the form says so. Raises TooManyTries."""
    with guards.guessing(address=client_address(request.META), account=user.email) as outcome:
        outcome.append(user.check_password(form.cleaned_data["password"]))
    if outcome != [True]:
        form.add_error("password", _("This is not your password."))
    return outcome == [True]


def _workspace_page(request: HttpRequest, held: Access, *, name_form: NameForm | None = None) -> HttpResponse:
    members = Membership.objects.filter(workspace=held.workspace).select_related("user").order_by("id")
    shown, more = _a_page_of(members, request.GET.get("after"))
    unused: list[Invitation] = []
    is_more_invited = False
    if may(held, Act.INVITE) and not held.workspace.is_personal:
        unused = list(invitations.unused_of(held.workspace)[: PAGE + 1])
        is_more_invited = len(unused) > PAGE
    context = {
        "section": "workspace",
        "rows": [
            Row(one, is_self=one.user_id == held.user.pk, is_below=teams.ranks_above(held.role, one.role))
            for one in shown
        ],
        "more": more,
        "seats": teams.seats_of(held.workspace),
        "unused": unused[:PAGE],
        "is_more_invited": is_more_invited,
        "wall": datetime.now(UTC),
        "received": invitations.for_user(held.user).select_related("workspace", "invited_by").order_by("-id")[:PAGE],
        "may_invite": may(held, Act.INVITE),
        "may_rename": may(held, Act.RENAME),
        "is_owner": held.role == Role.OWNER,
        "name_form": name_form or NameForm(initial={"name": held.workspace.name}),
        "invite_form": InviteForm(roles=roles_to_give(held)) if may(held, Act.INVITE) else None,
        "rights": _rights(held.workspace),
    }
    return render(request, "accounts/workspace.html", context)


def _rights(workspace: Workspace) -> list[tuple[Promise, list[bool]]]:
    """For each act whether member, admin and owner may."""

    def allows(role: Role, act: Act) -> bool:
        return role in MAY[act] or (act is Act.BILL and role is Role.ADMIN and workspace.may_admins_bill)

    return [(label, [allows(role, act) for role in (Role.MEMBER, Role.ADMIN, Role.OWNER)]) for label, act in RIGHTS]


def _a_page_of(members: QuerySet[Membership], after: str | None) -> tuple[list[Membership], uuid.UUID | None]:
    """And behind whom the next page begins, where there is one."""
    if after is not None:
        members = members.filter(pk__gt=_uuid(after))
    found = list(members[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None


def _uuid(text: str | None) -> uuid.UUID:
    """Raises Http404."""
    try:
        return uuid.UUID(text or "")
    except ValueError as error:
        raise Http404 from error
