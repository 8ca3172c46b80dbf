"""People, as staff see them. Nothing of an account is edited: what is done to it is an act."""

from django.contrib import admin

from accounts.models import Membership, User
from billing.admin.base import Desk, ReadOnly, Rows


class MembershipsOfUser(Rows):
    model = Membership
    fields = readonly_fields = ("workspace", "role", "created_at")


@admin.register(User)
class UserAdmin(ReadOnly, Desk):
    list_display = ("email", "fullname", "is_email_verified", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff")
    search_path = "pk"
    fields = ("email", "fullname", "is_email_verified", "is_active", "is_staff", "created_at", "last_login")
    inlines = (MembershipsOfUser,)
