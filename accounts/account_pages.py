"""What a person sees and changes of their own account."""

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from accounts import devices, email_changes, links, passwords, registration, second_factor
from accounts.access import Access
from accounts.errors import Problem
from accounts.forms import ChangePasswordForm, EmailChangeForm, NameForm
from accounts.models import User
from accounts.pages import back_to, held_by, page
from accounts.sign_in_pages import READ_AND_WRITE, limited


@page()
def account(request: HttpRequest, held: Access) -> HttpResponse:
    language = held.user.language or settings.LANGUAGE_CODE
    context = {
        "has_second_factor": second_factor.is_on(held.user),
        "language": get_language_info(language)["name_local"].capitalize(),
    }
    return render(request, "accounts/account.html", context)


@page(methods=READ_AND_WRITE, writes=False)
def name(request: HttpRequest, held: Access) -> HttpResponse:
    form = NameForm(request.POST or None, initial={"fullname": held.user.fullname})
    if request.method == "POST" and form.is_valid():
        User.objects.filter(pk=held.user.pk).update(fullname=form.cleaned_data["fullname"])
        messages.success(request, _("Your name is changed."))
        return redirect("accounts:account")
    return render(request, "accounts/name.html", {"form": form})


@page(methods=READ_AND_WRITE, writes=False)
def email(request: HttpRequest, held: Access) -> HttpResponse:
    """The present address, and the one that is to follow it."""
    if not held.user.is_email_verified:
        return render(request, "accounts/email.html")
    raise_if_reauthentication_required(request, app="accounts")
    form = EmailChangeForm(request.POST or None, user=held.user)
    if request.method == "POST" and form.is_valid():
        email_changes.ask(held.user, form.cleaned_data["email"])
        messages.success(
            request,
            _("A mail is on its way to %(email)s. Your address changes once you open the link in it.")
            % {"email": form.cleaned_data["email"]},
        )
        return redirect("account_email")
    return render(request, "accounts/email.html", {"form": form})


@page(methods=("POST",), writes=False)
def withdraw_email(request: HttpRequest, held: Access) -> HttpResponse:
    email_changes.withdraw(held.user)
    messages.success(request, _("Your address stays as it is."))
    return redirect("accounts:account")


@page(methods=READ_AND_WRITE, writes=False)
def confirm_new_email(request: HttpRequest, held: Access, key: str) -> HttpResponse:
    """Only from within the account: whoever got the mail by another's doing cannot give the address away."""
    wanted = links.email_to_change_to(held.user, key)
    if wanted is None:
        context = {
            "title": _("This link is not valid any more"),
            "text": _("It was used, or is too old, or there is a newer one, or it is for another account."),
            "then": _("You can ask for another one in your account."),
        }
        return render(request, "accounts/notice.html", context, status=410)
    if request.method == "POST":
        try:
            email_changes.complete(held.user, wanted, now=held.now)
        except email_changes.AddressTaken as problem:
            messages.error(request, str(problem.detail))
        else:
            messages.success(request, _("Your address is %(email)s now.") % {"email": wanted})
        return redirect("accounts:account")
    return render(request, "accounts/confirm_new_email.html", {"email": wanted})


@page(methods=("POST",), writes=False)
def send_verification(request: HttpRequest, held: Access) -> HttpResponse:
    registration.verify_again(held.user)
    if not held.user.is_email_verified:
        messages.success(
            request, _("A mail is on its way to %(email)s. Open the link in it.") % {"email": held.user.email}
        )
    return back_to(request, "accounts:account")


@sensitive_post_parameters("old_password", "password")
@page(methods=READ_AND_WRITE, writes=False)
def password(request: HttpRequest, held: Access) -> HttpResponse:
    form = ChangePasswordForm(request.POST or None, user=held.user)
    if request.method == "POST" and form.is_valid():
        if not passwords.change(held.user, form.cleaned_data["password"]):
            raise Problem(_("Your password was changed elsewhere in this moment. Sign in again."), "no_change")
        devices.keep(request, held.user)
        messages.success(request, _("Your password is changed. Every other browser and program has been signed out."))
        return redirect("accounts:account")
    return limited(render(request, "accounts/password.html", {"form": form}), form)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """For this browser and, of whoever is signed in, for mails."""
    response = set_language(request)
    chosen = request.POST.get("language", "")
    held = held_by(request)
    if held is not None and chosen in dict(settings.LANGUAGES):
        User.objects.filter(pk=held.user.pk).update(language=chosen)
    return response
