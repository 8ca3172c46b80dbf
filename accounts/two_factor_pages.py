"""The second factor: an authenticator app and the recovery codes that stand in for it. The pages are allauth's."""

from collections.abc import Callable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts import jobs, second_factor
from accounts.access import Access
from accounts.forms import TurnOnForm
from accounts.jobs import Notice
from accounts.pages import page
from accounts.sign_in_pages import own

type View = Callable[..., HttpResponse]


@page()
def two_factor(request: HttpRequest, held: Access) -> HttpResponse:
    factors = {row.type: row for row in Authenticator.objects.filter(user_id=held.user.pk)}
    codes = factors.get(second_factor.RECOVERY_CODES)
    context = {
        "app": factors.get(second_factor.APP),
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
    }
    return render(request, "accounts/two_factor.html", context)


def of_a_proven_address(view: View) -> View:
    """Whoever proves the address later ends what was set before, so before it nothing is set."""

    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_email_verified:  # type: ignore[union-attr]  # signed in
            return redirect("mfa_index")
        return view(request, *args, **kwargs)

    return shown


class Tells:
    """Has the account's owner told by mail, from the transaction that changed something."""

    notice: Notice
    request: HttpRequest

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            jobs.send_notice.defer(user_id=str(self.request.user.pk), event=self.notice)
            response: HttpResponse = super().form_valid(form)  # type: ignore[misc]
        return response


class TurnOn(Tells, ActivateTOTPView):  # type: ignore[misc]
    form_class = TurnOnForm
    template_name = "accounts/two_factor_on.html"
    notice = Notice.TWO_FACTOR_ON

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            # The code that proved the app is used up with that.
            second_factor.use(form.user, form.cleaned_data["code"])
        return response


class TurnOff(Tells, DeactivateTOTPView):  # type: ignore[misc]
    template_name = "accounts/two_factor_off.html"
    notice = Notice.TWO_FACTOR_OFF


class Codes(ViewRecoveryCodesView):  # type: ignore[misc]
    """Once: from then on there are new ones only."""

    template_name = "accounts/recovery_codes.html"


class NewCodes(Tells, GenerateRecoveryCodesView):  # type: ignore[misc]
    template_name = "accounts/new_recovery_codes.html"
    notice = Notice.NEW_CODES


turn_on = own(of_a_proven_address(TurnOn.as_view()))
turn_off = own(TurnOff.as_view())
codes = own(Codes.as_view())
new_codes = own(NewCodes.as_view())
