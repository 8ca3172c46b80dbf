"""Workspaces, and everything about one customer on one screen."""

from django.contrib import admin

from accounts.models import Membership, Workspace
from billing.admin.base import Desk, ReadOnly, Rows


class MembersOfWorkspace(Rows):
    model = Membership
    fields = readonly_fields = ("user", "role", "created_at")


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnly, Desk):
    list_display = ("name", "personal_user", "suspended_at", "created_at")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter),)
    list_select_related = ("personal_user",)
    search_path = "pk"
    readonly_fields = ("id", "personal_user", "created_at")
    fields = ("name", "id", "personal_user", "may_admins_bill", "suspended_at", "created_at")
    inlines = (MembersOfWorkspace,)
