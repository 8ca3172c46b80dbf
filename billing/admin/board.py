"""Of what the overview is made: cards of figures, drawings and tables, and the lists that they lead to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from billing import charts
from billing.reports.spans import last_days


@dataclass(frozen=True)
class Figure:
    label: str
    value: str
    #: The list behind it; empty for who may not see that.
    link: str = ""
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Drawing:
    title: str
    chart: charts.Chart
    #: The same in numbers, the latest first.
    rows: list[tuple[date, str]]


@dataclass(frozen=True)
class Row:
    """Of a table: a name, what it leads to, and cells. `share` is a bar's, in percent."""

    name: str
    cells: list[str]
    link: str = ""
    share: str = ""
    is_sum: bool = False


@dataclass(frozen=True)
class Table:
    caption: str
    heads: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Card:
    title: str
    #: How it is counted.
    counted: str
    figures: list[Figure] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    #: A sentence in place of all that, where there is nothing yet.
    empty: str = ""
    #: Two columns of three, or half of them.
    is_wide: bool = False
    is_half: bool = False
    #: Of when it is, where not of now.
    at: datetime | None = None


class Lists:
    """Addresses of the lists that the one who asks may see."""

    def __init__(self, request: HttpRequest) -> None:
        self.user = request.user

    def of(self, model: type[Model], **filters: str) -> str:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        if not self._may_see(model):
            return ""
        return f"{reverse(f'admin:{name}_changelist')}?{urlencode(filters)}"

    def one(self, row: Model | None) -> str:
        if row is None or not self._may_see(type(row)):
            return ""
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])

    def _may_see(self, model: type[Model]) -> bool:
        return self.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def drawing(
    title: str, values: Mapping[date, int], *, length: int, now: datetime, words: Callable[[int], str]
) -> Drawing:
    """Of so many days, today last; a day of which nothing is known is left empty."""
    days = {day: values.get(day, 0) for day in last_days(length, now).days}

    def said(day: date, value: int) -> str:
        return f"{day:%-d %B %Y}: {words(value)}"

    def marked(value: int) -> str:
        return words(value).partition(" ")[0].removesuffix(".00")

    first, last, most = min(days), max(days), max(days, key=lambda day: days[day])
    sentence = f"{title}. {said(first, days[first])}; {said(last, days[last])}; the most on {said(most, days[most])}."
    chart = charts.drawn(days, said=said, marked=marked, sentence=sentence)
    return Drawing(title, chart, [(day, words(values[day])) for day in sorted(values, reverse=True)])
