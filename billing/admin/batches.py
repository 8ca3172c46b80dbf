"""Acts on many workspaces, and what became of each."""

from django.contrib import admin

from billing.admin.base import Desk, ReadOnly, Rows
from billing.models import Batch, BatchItem


class ItemsOfBatch(Rows):
    model = BatchItem
    fields = readonly_fields = ("workspace", "state", "sentence")
    per_page = 50


@admin.register(Batch)
class BatchAdmin(ReadOnly, Desk):
    list_display = ("created_at", "act", "actor", "reason", "confirmed_at", "finished_at")
    list_select_related = ("actor",)
    inlines = (ItemsOfBatch,)
