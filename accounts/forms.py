"""What the pages about one's own account ask for."""

from collections.abc import Callable
from typing import Any

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm as SecondStepForm
from allauth.mfa.base.forms import ReauthenticateForm as SecondStepAgainForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import guards, second_factor
from accounts.addresses import client_address
from accounts.models import User, UserManager
from accounts.serializers import PASSWORD_LENGTH

# Longer than any code, with what people put between its digits.
CODE_LENGTH = 20

# What AUTH_PASSWORD_VALIDATORS ask for, in one sentence.
PASSWORD_RULES = _(
    "At least 8 characters. Not a common password, not digits alone, and nothing like your name or address."
)


class Plain(forms.Form):
    """Labels without a colon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"label_suffix": ""})


class EmailField(forms.EmailField):
    """An address as it is kept."""

    def __init__(self, **attributes: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "email", **attributes})
        super().__init__(label=_("E-mail address"), max_length=254, widget=widget)

    def to_python(self, value: Any) -> str:
        return UserManager.normalize_email(super().to_python(value))


class PasswordField(forms.CharField):
    def __init__(self, label: Any, *, is_new: bool = False, **attributes: Any) -> None:
        autocomplete = "new-password" if is_new else "current-password"
        super().__init__(
            label=label,
            strip=False,
            max_length=PASSWORD_LENGTH,
            help_text=PASSWORD_RULES if is_new else "",
            widget=forms.PasswordInput(attrs={"autocomplete": autocomplete, **attributes}),
        )


class CodeField(forms.CharField):
    def __init__(self, label: Any) -> None:
        attributes = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "spellcheck": "false"}
        super().__init__(label=label, max_length=CODE_LENGTH, widget=forms.TextInput(attrs=attributes))


class NameForm(Plain):
    fullname = forms.CharField(
        label=_("Full name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


class SignUpForm(NameForm):
    # Of registering too often, for its page to answer with.
    problem: guards.TooManyTries | None = None

    email = EmailField()
    password1 = PasswordField(_("Password"), is_new=True)


class Guarded:
    """A form that checks a secret. Past the limit of guesses `problem` is set, for its page to answer with."""

    problem: guards.TooManyTries | None = None

    def guess[T](self, account: str, check: Callable[[], T | None]) -> T | None:
        """What `check` finds; nothing is a wrong guess. Raises ValidationError past the limit."""
        try:
            with guards.guessing(address=client_address(context.request.META), account=account) as outcome:
                found = check()
                outcome.append(bool(found))
                return found
        except guards.TooManyTries as problem:
            self.problem = problem
            raise ValidationError(str(problem.detail)) from problem

    def check_password(self, user: User, password: str, wrong: str) -> str:
        if not self.guess(user.email, lambda: user.check_password(password)):
            raise ValidationError(wrong)
        return password


class SignInForm(Guarded, Plain):
    login = EmailField(autofocus=True)
    password = PasswordField(_("Password"))

    user: User

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean(self) -> dict[str, Any]:
        if self.errors:
            return self.cleaned_data
        email, password = self.cleaned_data["login"], self.cleaned_data["password"]
        # Django hashes once also for an address that nobody has, so the time tells nothing.
        user = self.guess(email, lambda: authenticate(self.request, username=email, password=password))
        if not isinstance(user, User):
            raise ValidationError(gettext("The e-mail address or the password is wrong."))
        self.user = user
        return self.cleaned_data


class PasswordAgainForm(Guarded, Plain):
    """Before something grave."""

    password = PasswordField(_("Your password"), autofocus=True)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        return self.check_password(self.user, self.cleaned_data["password"], gettext("This is not your password."))


class Code(Guarded):
    """Of the second factor; for a form of allauth's, which takes it from there."""

    user: User
    authenticator: Any
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        self.authenticator = self.guess(self.user.email, lambda: second_factor.use(self.user, code))
        if self.authenticator is None:
            raise ValidationError(gettext("This code is wrong, or was used before."))
        return code


class CodeForm(Code, Plain, SecondStepForm):  # type: ignore[misc]
    code = CodeField(_("Code"))


class CodeAgainForm(Code, Plain, SecondStepAgainForm):  # type: ignore[misc]
    code = CodeField(_("Code"))


class TurnOnForm(Plain, ActivateTOTPForm):  # type: ignore[misc]
    code = CodeField(_("Code from the app"))


class ResetForm(Plain):
    email = EmailField(autofocus=True)


class EmailChangeForm(Plain):
    email = EmailField()

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["email"].label = _("New e-mail address")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if email == self.user.email:
            raise ValidationError(gettext("This is your address already."))
        return email


class NewPasswordForm(Plain):
    """With a mailed link."""

    password = PasswordField(_("New password"), is_new=True, autofocus=True)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self.user)
        return password


class ChangePasswordForm(Guarded, NewPasswordForm):
    """Knowing the old one."""

    old_password = PasswordField(_("Present password"))
    password = PasswordField(_("New password"), is_new=True)

    field_order = ("old_password", "password")

    def clean_old_password(self) -> str:
        return self.check_password(
            self.user, self.cleaned_data["old_password"], gettext("This is not your present password.")
        )
