"""The pages of one's own account under /accounts/. Where allauth has one, its path and its name are allauth's,
which leads there by them; what it has beside these is not to be reached."""

from django.urls import include, path, re_path
from django.views.generic import RedirectView

from accounts import account_pages, device_pages, link_pages, sign_in_pages, sign_up_pages, two_factor_pages

two_factor = [
    path("", two_factor_pages.two_factor, name="mfa_index"),
    path("authenticate/", sign_in_pages.second_step, name="mfa_authenticate"),
    path("reauthenticate/", sign_in_pages.ask_code, name="mfa_reauthenticate"),
    path("totp/activate/", two_factor_pages.turn_on, name="mfa_activate_totp"),
    path("totp/deactivate/", two_factor_pages.turn_off, name="mfa_deactivate_totp"),
    path("recovery-codes/", two_factor_pages.codes, name="mfa_view_recovery_codes"),
    path("recovery-codes/generate/", two_factor_pages.new_codes, name="mfa_generate_recovery_codes"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="accounts:account")),
    path("signup/", sign_up_pages.sign_up, name="account_signup"),
    path("signup/done/", sign_up_pages.signed_up, name="account_signed_up"),
    path("login/", sign_in_pages.sign_in, name="account_login"),
    path("logout/", sign_in_pages.sign_out, name="account_logout"),
    path("reauthenticate/", sign_in_pages.ask_password, name="account_reauthenticate"),
    path("confirm-email/send/", account_pages.send_verification, name="account_send_verification"),
    path("confirm-email/<str:key>/", link_pages.confirm_email, name="confirm_email"),
    path("password/reset/", link_pages.ask_reset, name="account_reset_password"),
    path("password/reset/done/", link_pages.asked_reset, name="account_reset_password_done"),
    # The uid has no hyphen, the token has.
    re_path(
        r"^password/reset/key/(?P<uid>[0-9A-Za-z]+)-(?P<token>[0-9A-Za-z-]+)/$",
        link_pages.reset_password,
        name="reset_password",
    ),
    path("name/", account_pages.name, name="account_name"),
    path("email/", account_pages.email, name="account_email"),
    path("email/withdraw/", account_pages.withdraw_email, name="account_withdraw_email"),
    path("email/confirm/<str:key>/", account_pages.confirm_new_email, name="account_confirm_new_email"),
    path("password/change/", account_pages.password, name="account_change_password"),
    path("2fa/", include(two_factor)),
    path("sessions/", device_pages.signed_in, name="usersessions_list"),
    path("sessions/browsers/<int:row_id>/end/", device_pages.end_browser, name="account_end_browser"),
    path("sessions/programs/<uuid:family_id>/end/", device_pages.end_program, name="account_end_program"),
]
