"""Signing in and out, the second step of it, and being asked again before something grave. The steps are allauth's."""

from collections.abc import Callable
from typing import Any, cast

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import Login
from allauth.account.views import LoginView, LogoutView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCodeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from accounts import devices
from accounts.access import Access
from accounts.forms import CodeAgainForm, CodeForm, PasswordAgainForm, SignInForm
from accounts.pages import page

READ_AND_WRITE = ("GET", "HEAD", "POST")

# Of a sign-in that waits for its second step: the epoch in which the password was right.
EPOCH = "auth_epoch"

type View = Callable[..., HttpResponse]


def own(view: View) -> View:
    """A view of allauth's as a page of one's own account, which no suspended workspace keeps from anybody."""

    @page(methods=READ_AND_WRITE, writes=False)
    def shown(request: HttpRequest, held: Access, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs)

    return shown


def limited(response: HttpResponse, form: Any) -> HttpResponse:
    """The page of a form that was not valid; past the limit of guesses it has the API's status and header."""
    if form.problem is not None:
        response.status_code = form.problem.status_code
        for name, value in form.problem.headers.items():
            response[name] = value
    return response


class SaysLimit:
    def form_invalid(self, form: Any) -> HttpResponse:
        return limited(super().form_invalid(form), form)  # type: ignore[misc]


class SignIn(SaysLimit, LoginView):  # type: ignore[misc]
    form_class = SignInForm
    template_name = "accounts/sign_in.html"

    def form_valid(self, form: SignInForm) -> HttpResponse:
        login = Login(
            user=form.user,
            email=form.user.email,
            redirect_url=self.get_success_url(),
            state={EPOCH: form.user.auth_epoch},
        )
        return cast(HttpResponse, perform_password_login(self.request, {"email": form.user.email}, login))


class SecondStep(SaysLimit, AuthenticateView):  # type: ignore[misc]
    form_class = CodeForm
    template_name = "accounts/second_step.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._ended() or super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._ended() or super().post(request, *args, **kwargs)

    def _ended(self) -> HttpResponse | None:
        """What ends sign-ins ends one that is half done too: the password may be another by now."""
        login = self.stage.login
        if login.user.is_active and login.user.auth_epoch == login.state.get(EPOCH):
            return None
        clear_login(self.request)
        return redirect("account_login")


class AskPassword(SaysLimit, ReauthenticateView):  # type: ignore[misc]
    form_class = PasswordAgainForm
    template_name = "accounts/ask_again.html"


class AskCode(SaysLimit, ReauthenticateByCodeView):  # type: ignore[misc]
    form_class = CodeAgainForm
    template_name = "accounts/ask_again.html"


class SignOut(LogoutView):  # type: ignore[misc]
    template_name = "accounts/sign_out.html"

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        devices.forget(self.request)
        return cast(HttpResponse, super().post(*args, **kwargs))


sign_in = SignIn.as_view()
second_step = SecondStep.as_view()
ask_password = own(AskPassword.as_view())
ask_code = own(AskCode.as_view())
sign_out = never_cache(SignOut.as_view())
