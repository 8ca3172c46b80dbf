"""What staff did: searchable, exportable, and never changed."""

from django.contrib import admin

from billing.admin.base import Desk, ReadOnly
from billing.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, Desk):
    list_display = ("at", "actor_name", "action", "workspace_name", "target", "reason")
    search_path = "workspace_id"
