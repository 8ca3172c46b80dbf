from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class AccountsConfig(AppConfig):
    default = True
    name = "accounts"

    def ready(self) -> None:
        from allauth.account.signals import user_logged_in
        from allauth.usersessions.signals import on_user_logged_in

        from accounts import checks  # noqa: F401  (registers the system checks)

        # It looks at every session of the person, one by one, whenever they sign in: see `devices.remember`.
        user_logged_in.disconnect(on_user_logged_in)


class StaffConfig(admin_apps.AdminConfig):
    """The Django admin behind our own door."""

    default = False
    default_site = "accounts.staff.StaffSite"
