"""The business in figures: one row a day, so that no page adds up millions of lines."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class DailyFigures(models.Model):
    """A day that is over, in UTC. What the figures are, `billing.reports` says."""

    day = models.DateField(primary_key=True)
    figures = models.JSONField(encoder=DjangoJSONEncoder)
    made_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-day"]
        verbose_name_plural = "daily figures"

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"
