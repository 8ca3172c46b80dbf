"""The pages behind mailed links. A link only shows a page: what it is for is done by the button on it."""

from typing import cast

from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import devices, guards, jobs, links, passwords, verification
from accounts.access import Access
from accounts.forms import NewPasswordForm, ResetForm
from accounts.models import User
from accounts.pages import page
from accounts.sign_in_pages import READ_AND_WRITE
from accounts.sign_up_pages import signed_up_here


@page(methods=READ_AND_WRITE, sign_in=False, writes=False)
def confirm_email(request: HttpRequest, held: Access | None, key: str) -> HttpResponse:
    """A programme that looks into links before a person does must not confirm anything."""
    user = links.user_to_verify(key)
    if user is None:
        return _ended(request, _("To confirm your address, sign in and ask for a new link."))
    if request.method == "POST":
        return _confirmed(request, held, user)
    return render(request, "accounts/confirm_email.html", {"email": user.email})


@page(methods=READ_AND_WRITE, sign_in=False, writes=False)
def ask_reset(request: HttpRequest, held: Access | None) -> HttpResponse:
    """The answer is the same whether or not the address has an account."""
    form = ResetForm(request.POST or None, initial={"email": held.user.email if held else ""})
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"]
        guards.count(guards.RESET, email)
        jobs.send_password_reset.defer(email=email)
        return redirect("account_reset_password_done")
    return render(request, "accounts/ask_reset.html", {"form": form})


@page(sign_in=False)
def asked_reset(request: HttpRequest, held: Access | None) -> HttpResponse:
    return render(request, "accounts/asked_reset.html")


@sensitive_post_parameters("password")
@page(methods=READ_AND_WRITE, sign_in=False, writes=False)
def reset_password(request: HttpRequest, held: Access | None, uid: str, token: str) -> HttpResponse:
    again = _("To reset your password, ask for a new link where you sign in.")
    user = links.user_to_reset(uid, token)
    if user is None:
        return _ended(request, again)
    form = NewPasswordForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        if not passwords.reset(user, form.cleaned_data["password"]):
            return _ended(request, again)
        if _is_in(held, user):
            devices.keep(request, user)
            messages.success(request, _("Your password is set. Every other browser and program has been signed out."))
            return redirect("accounts:account")
        messages.success(
            request, _("Your password is set. Every sign-in of your account has ended: sign in again with the new one.")
        )
        return redirect("account_login")
    return render(request, "accounts/reset_password.html", {"form": form, "email": user.email})


def _confirmed(request: HttpRequest, held: Access | None, user: User) -> HttpResponse:
    """What was set before has ended, but for this browser where it is known to be the same person's."""
    is_first = verification.confirm(user)
    messages.success(request, _("Your address is confirmed."))
    if _is_in(held, user):
        if is_first:
            devices.keep(request, user)
        return redirect("root")
    # Whoever chose the password in this browser has now opened the mail as well.
    target = signed_up_here(request, user)
    if is_first and held is None and target is not None:
        return cast(HttpResponse, perform_login(request, Login(user=user, redirect_url=target or None)))
    return redirect("root" if held else "account_login")


def _is_in(held: Access | None, user: User) -> bool:
    return held is not None and held.user.pk == user.pk


def _ended(request: HttpRequest, text: str) -> HttpResponse:
    context = {
        "title": _("This link is not valid any more"),
        "text": _("It was used, or is too old, or there is a newer one."),
        "then": text,
    }
    return render(request, "accounts/notice.html", context, status=410)
