"""Where one is signed in, and signing out there."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import devices
from accounts.access import Access
from accounts.pages import page
from accounts.sign_in_pages import READ_AND_WRITE


@page(methods=READ_AND_WRITE, writes=False)
def signed_in(request: HttpRequest, held: Access) -> HttpResponse:
    """By POST: sign out everywhere else."""
    if request.method == "POST":
        devices.end_others(request, held.user)
        messages.success(request, _("Every other browser and program has been signed out."))
        return redirect("usersessions_list")
    context = {
        "browsers": devices.browsers(held.user, present=request.session.session_key),
        "programs": devices.programs(held.user),
        "most": devices.LISTED,
    }
    return render(request, "accounts/devices.html", context)


@page(methods=("POST",), writes=False)
def end_browser(request: HttpRequest, held: Access, row_id: int) -> HttpResponse:
    is_this = devices.end_browser(request, held.user, row_id)
    messages.success(request, _("You are signed out.") if is_this else _("This browser has been signed out."))
    return redirect("account_login" if is_this else "usersessions_list")


@page(methods=("POST",), writes=False)
def end_program(request: HttpRequest, held: Access, family_id: uuid.UUID) -> HttpResponse:
    devices.end_program(held.user, family_id)
    messages.success(request, _("This program has been signed out."))
    return redirect("usersessions_list")
