"""Sessions and runs, as staff see them: without prompts and answers, which are the customer's."""

from typing import ClassVar

from django.contrib import admin

from accounts.admin import ReadOnly
from sessions_app.models import Run, Session


class RunsOfSession(ReadOnly, admin.TabularInline):
    model = Run
    fields = ("status", "failure_kind", "is_charged", "created_at", "started_at", "finished_at")
    extra = 0


@admin.register(Session)
class SessionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "workspace", "status", "last_activity_at", "created_at")
    list_filter = ("status",)
    list_select_related = ("workspace",)
    search_fields = ("id", "workspace__name", "workspace__id", "created_by__email")
    fields = ("id", "workspace", "created_by", "status", "last_activity_at", "created_at", "deleted_at")
    inlines = (RunsOfSession,)
    ordering: ClassVar = ["-last_activity_at"]
    show_full_result_count = False
