"""What allauth asks us: who may be led where, what a request's address is, how a session is remembered.

It has the steps of signing in, the second factor and asking for the password again. Addresses, registration,
passwords and mails are ours, and so are the limits on guessing.
"""

from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from accounts import devices
from accounts.addresses import client_ip
from accounts.models import User

# By the template in which allauth would look. What is not named here is shown by the page itself.
SAID = {
    "account/messages/logged_out.txt": _("You are signed out."),
    "mfa/messages/totp_activated.txt": _("Two-factor sign-in is on."),
    "mfa/messages/totp_deactivated.txt": _("Two-factor sign-in is off. The recovery codes are not valid any more."),
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_safe_url(self, url: str) -> bool:
        """Only the host that was asked, and nothing less safe than it was asked by."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )

    def get_login_stages(self) -> list[str]:
        return ["allauth.mfa.stages.AuthenticateStage"]

    def get_client_ip(self, request: HttpRequest) -> str:
        return str(client_ip(request.META) or devices.NO_ADDRESS)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Switched off in the moment between the check and the sign-in."""
        return redirect("account_login")

    def is_ajax(self, request: HttpRequest) -> bool:
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        devices.remember(request, user)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        response = cast(HttpResponse, super().post_login(request, user, **kwargs))
        # A browser that nobody has told otherwise speaks the language that the person chose elsewhere.
        if user.language and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            set_language_cookie(response, user.language)
        return response

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if message_template in SAID:
            messages.add_message(request, level, SAID[message_template])

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Mails are jobs, deferred where what they tell is done."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The same."""


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def is_mfa_enabled(self, user: User, types: list[str] | None = None) -> bool:
        """Asked up to five times a page: read once for the user as they were loaded for this request."""
        if user.is_anonymous:
            return False
        if not hasattr(user, "_factors"):
            rows = Authenticator.objects.filter(user_id=user.pk)
            user._factors = set(rows.values_list("type", flat=True))  # type: ignore[attr-defined]
        found: set[str] = user._factors  # type: ignore[attr-defined]
        return bool(found if types is None else found.intersection(types))


def set_language_cookie(response: HttpResponse, language: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite="Lax",
    )
