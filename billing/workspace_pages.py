"""Closing a workspace in a browser: it ends a subscription, so it is here and not in `accounts`."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import teams
from accounts.access import Access
from accounts.pages import page, switch_to
from accounts.roles import Act
from accounts.team_forms import PasswordForm
from accounts.workspace_pages import confirmed
from billing import lifecycle
from billing.snapshots import ENDED


@page(act=Act.CLOSE, methods=("GET", "HEAD", "POST"))
def close_workspace(request: HttpRequest, held: Access) -> HttpResponse:
    if held.workspace.is_personal:
        raise teams.PersonalWorkspace
    subscription = held.workspace.subscription
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, held.user, form):
        lifecycle.close(subscription, actor=held.user, now=held.now)
        switch_to(request, held.user.personal_workspace)
        messages.success(request, _("%(name)s is closed.") % {"name": held.workspace.name})
        return redirect("accounts:workspace")
    context = {
        "section": "workspace",
        "form": form,
        "is_live": subscription.stripe_status not in ("", *ENDED),
        "seats": teams.seats_of(held.workspace),
    }
    return render(request, "billing/close_workspace.html", context)
