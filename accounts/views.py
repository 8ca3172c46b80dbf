"""The pages behind mailed links. A link only shows a page: what it is for is done by the button on it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import links, passwords
from accounts.forms import NewPasswordForm
from accounts.models import User

page = require_http_methods(["GET", "HEAD", "POST"])


@page
@never_cache
def confirm_email(request: HttpRequest, key: str) -> HttpResponse:
    """A programme that looks into links before a person does must not confirm anything."""
    user = links.user_to_verify(key)
    if user is None:
        return _ended(request, "To confirm your address, ask for a new link in your account.")
    if request.method == "POST":
        User.objects.filter(pk=user.pk).update(is_email_verified=True)
        return _done(request, "Your address is confirmed", f"{user.email} is yours now. You may close this page.")
    return render(request, "accounts/confirm_email.html", {"email": user.email})


@page
@never_cache
@sensitive_post_parameters("password")
def reset_password(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    again = "To reset your password, ask for a new link where you sign in."
    user = links.user_to_reset(uid, token)
    if user is None:
        return _ended(request, again)
    form = NewPasswordForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        if not passwords.reset(user, form.cleaned_data["password"]):
            return _ended(request, again)
        return _done(
            request, "Your password is set", "Every sign-in of your account has ended: sign in again with the new one."
        )
    return render(request, "accounts/reset_password.html", {"form": form, "email": user.email})


def _done(request: HttpRequest, title: str, text: str) -> HttpResponse:
    return render(request, "accounts/notice.html", {"title": title, "text": text})


def _ended(request: HttpRequest, text: str) -> HttpResponse:
    context = {"title": "This link is not valid any more", "text": f"It was used, or is too old. {text}"}
    return render(request, "accounts/notice.html", context, status=410)
