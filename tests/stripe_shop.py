"""Our plans at the stand-in: published once as they are by staff, and from then on put back as that left everything."""

from dataclasses import dataclass, field
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django.db.models import Model
from djstripe import models as djstripe

from billing import publishing
from billing.models import Plan, Price, StripeOperation
from tests.fake_stripe.running import StandIn

# In an order in which each finds the rows that it names.
WRITTEN: list[type[Model]] = [
    *(djstripe.Account, djstripe.APIKey, djstripe.Product, djstripe.Price),
    *(Price, StripeOperation),
]


@dataclass
class Published:
    """Of one pytest worker."""

    unpublished: Any = None
    objects: list[dict[str, Any]] = field(default_factory=list)
    rows: list[list[Model]] = field(default_factory=list)

    def at(self, stand_in: StandIn) -> None:
        """On a stand-in that was reset. A catalogue that differs from the one that was published is published anew."""
        catalogue = _catalogue()
        if catalogue != self.unpublished:
            publishing.reflect(publishing.publish())
            self.unpublished = catalogue
            self.objects = stand_in.control("GET", "objects")["objects"]
            self.rows = [list(model._base_manager.all()) for model in WRITTEN]
            return
        stand_in.control("POST", "reset", objects=self.objects)
        for model, rows in zip(WRITTEN, self.rows, strict=True):
            others = [one.name for one in model._meta.fields if not one.primary_key]
            model._base_manager.bulk_create(
                rows, update_conflicts=True, unique_fields=[model._meta.pk.name], update_fields=others
            )
        _count_on()


def _catalogue() -> Any:
    return list(Plan.objects.order_by("pk").values()), list(Price.objects.order_by("pk").values())


def _count_on() -> None:
    """Keys that were given out in another database are not given out once more in this one."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), WRITTEN):
            cursor.execute(statement)
