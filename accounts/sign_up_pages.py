"""Signing up. The page answers alike whether or not the address has an account: the mail tells its owner which."""

from typing import Any

from allauth.account.adapter import get_adapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.views.decorators.debug import sensitive_post_parameters

from accounts import jobs, registration
from accounts.access import Access
from accounts.addresses import client_address
from accounts.forms import SignUpForm
from accounts.guards import TooManyTries
from accounts.models import User
from accounts.pages import page
from accounts.sign_in_pages import READ_AND_WRITE, limited

# Of the browser session: who signed up with it, and where they were going. It is set for an address that
# has an account too, or the cookie would tell.
SIGNED_UP = "signed_up"


@sensitive_post_parameters("password1")
@page(methods=READ_AND_WRITE, sign_in=False, writes=False)
def sign_up(request: HttpRequest, held: Access | None) -> HttpResponse:
    """A new account is not signed in at once, which would tell a new address from a known one."""
    target = next_of(request)
    if held is not None:
        return redirect(target or "root")
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = registration.register(
                address=client_address(request.META),
                email=form.cleaned_data["email"],
                password=form.cleaned_data["password1"],
                fullname=form.cleaned_data["fullname"],
                language=get_language() or "",
            )
        except ValidationError as error:
            form.add_error("password1", error)
        except TooManyTries as problem:
            form.problem = problem
            form.add_error(None, str(problem.detail))
        else:
            _note(request, user, form.cleaned_data["email"], target)
            return redirect("account_signed_up")
    return limited(render(request, "accounts/sign_up.html", {"form": form, "next": target}), form)


@page(sign_in=False)
def signed_up(request: HttpRequest, held: Access | None) -> HttpResponse:
    noted: dict[str, Any] | None = request.session.get(SIGNED_UP)
    if noted is None:
        return redirect("account_signup")
    return render(request, "accounts/signed_up.html", {"email": noted["email"], "next": noted["next"]})


def signed_up_here(request: HttpRequest, user: User) -> str | None:
    """Where somebody was going who signed up with this very browser; None for anybody else. Told once."""
    noted = request.session.get(SIGNED_UP)
    if noted is None or noted["user"] != str(user.pk):
        return None
    del request.session[SIGNED_UP]
    return str(noted["next"])


def next_of(request: HttpRequest) -> str:
    """The address of ours that `next` names, or nothing."""
    target = request.POST.get("next") or request.GET.get("next", "")
    return target if target and get_adapter().is_safe_url(target) else ""


def _note(request: HttpRequest, user: User | None, email: str, target: str) -> None:
    if user is None:
        jobs.send_address_taken.defer(email=email)
    request.session[SIGNED_UP] = {"user": str(user.pk) if user else "", "email": email, "next": target}
