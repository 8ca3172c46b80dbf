"""The books in a browser: every change of what is left, as a page and as a file, and the invoices."""

import csv
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from accounts.access import Access
from accounts.pages import page
from accounts.pagination import CursorPages
from accounts.roles import Act
from billing import payments
from billing.api import InvoicePages, LedgerPages
from billing.forms import LedgerForm
from billing.models import LedgerEntry

# Lines that the export reads at once: so much of it is in memory, however long it is.
AT_ONCE = 2000
COLUMNS = ("created_at", "kind", "quantity", "run_id", "bucket", "balance", "note")
# What a spreadsheet takes for the beginning of a formula.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  (they look like it)


@page(act=Act.SEE_LEDGER)
def ledger(request: HttpRequest, held: Access) -> HttpResponse:
    form = LedgerForm(request.GET)
    context: dict[str, Any] = {"section": "billing", "form": form, "filters": _filters(form)}
    if form.is_valid():
        context |= _shown(request, LedgerPages(), _lines(held, form).select_related("grant"))
    return render(request, "billing/ledger.html", context, status=200 if form.is_valid() else 400)


@page(act=Act.SEE_LEDGER)
def ledger_csv(request: HttpRequest, held: Access) -> HttpResponse:
    """The same lines as a file, from the oldest to the newest; sent as it is read."""
    form = LedgerForm(request.GET)
    if not form.is_valid():
        return render(request, "billing/ledger.html", {"section": "billing", "form": form}, status=400)
    answer = StreamingHttpResponse(_csv(_lines(held, form)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="ledger-{held.now:%Y-%m-%d}.csv"'
    return answer  # type: ignore[return-value]  # an HttpResponseBase, as every view's


@page(act=Act.SEE_LEDGER)
def invoices(request: HttpRequest, held: Access) -> HttpResponse:
    """All of them; from the mirror, as the API has them."""
    found = _shown(request, InvoicePages(), payments.invoices_of(held.workspace))
    found["rows"] = [payments.shown(invoice) for invoice in found["rows"]]
    return render(request, "billing/invoices.html", {"section": "billing", **found})


def cell(value: Any) -> Any:
    """A text that a spreadsheet would carry out is preceded by an apostrophe, which makes it a text. Numbers stay."""
    if isinstance(value, str) and value.lstrip(" ").startswith(DANGEROUS):
        return f"'{value}"
    return value


def _lines(held: Access, form: LedgerForm) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(workspace=held.workspace, **form.conditions)


def _csv(lines: QuerySet[LedgerEntry]) -> Iterator[str]:
    echo = csv.writer(Echo())
    yield echo.writerow(COLUMNS)
    read = lines.order_by("created_at", "id").values_list(
        "created_at", "kind", "quantity", "run_id", "period_id", "grant_id", "balance", "grant__reason"
    )
    for at, kind, quantity, run, period, grant, balance, reason in read.iterator(chunk_size=AT_ONCE):
        bucket = "period" if period else str(grant)
        row = (at.isoformat(), kind, quantity, run or "", bucket, "" if balance is None else balance, reason or "")
        yield echo.writerow([cell(value) for value in row])


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _filters(form: LedgerForm) -> str:
    """The query of what was asked for, as links and the export take it."""
    return urlencode({name: value for name in form.fields if (value := form.data.get(name))})


def _shown(request: HttpRequest, pages: CursorPages, found: QuerySet[Any]) -> dict[str, Any]:
    """A page of them, and where the newer and the older ones are. Raises Http404 for a cursor that is none of ours."""
    try:
        rows = pages.paginate_queryset(found, Request(request))
    except ValidationError as error:
        raise Http404 from error
    return {
        "rows": rows,
        "older": _query(pages.get_next_link()),
        "newer": _query(pages.get_previous_link()),
    }


def _query(link: str | None) -> str:
    return f"?{urlsplit(link).query}" if link else ""
