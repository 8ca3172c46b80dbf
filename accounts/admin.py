"""What the desk shows of people is with `billing.admin`; here is what no page of it may show."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

# Nobody keeps them: which address is proven stands in the User.
admin.site.unregister(EmailAddress)
# Keys that open a browser's session.
admin.site.unregister(UserSession)
admin.site.unregister(Authenticator)
# Roles are written in the code, and given by an act.
admin.site.unregister(Group)


class ReadOnly:
    """For tables that only the application writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
