"""GET /billing/invoices, from the mirror."""

from collections.abc import Callable

from django.test.utils import CaptureQueriesContext

from tests.billing.stripe.payer import Payer


def test_an_invoice_as_it_is_charged(pro: Payer, calls: Callable[[], list[str]]) -> None:
    answer = pro.person.get("/billing/invoices")
    assert answer.status_code == 200
    page = answer.json()
    (invoice,) = page["results"]
    at_stripe = pro.invoices[0]
    calls()
    assert invoice == {
        "id": at_stripe.id,
        "number": at_stripe.number,
        "status": "paid",
        "total": 4900,
        "currency": "usd",
        "created_at": pro.person.get("/billing/invoices").json()["results"][0]["created_at"],
        "hosted_invoice_url": at_stripe.hosted_invoice_url,
        "invoice_pdf": at_stripe.invoice_pdf,
    }
    assert (page["next"], page["previous"]) == (None, None)
    assert calls() == []


def test_they_come_in_pages_newest_first_and_without_drafts(
    subscriber: Payer, statements: Callable[[], CaptureQueriesContext]
) -> None:
    for _ in range(3):
        subscriber.travel(days=31, hours=2)
    # The month after is a draft for its first hour, which is nobody's to pay yet.
    end = subscriber.one["items"].data[0].current_period_end
    subscriber.travel(seconds=end - subscriber.stand_in.control("GET", "clock")["now"] + 60)
    subscriber.sync()
    drafts = [invoice for invoice in subscriber.invoices if invoice.status == "draft"]
    assert len(drafts) == 1
    with statements() as seen:
        first = subscriber.person.get("/billing/invoices?limit=3").json()
    assert len(seen) == 2
    rest = subscriber.person.get(first["next"].removeprefix("http://testserver/api/v1")).json()
    found = [invoice["id"] for page in (first, rest) for invoice in page["results"]]
    assert found == [invoice.id for invoice in subscriber.invoices if invoice.status != "draft"]
    assert len(found) == 4


def test_nobody_sees_another_workspaces(pro: Payer, other: Payer) -> None:
    other.buy("basic")
    for payer in (pro, other):
        (seen,) = payer.person.get("/billing/invoices").json()["results"]
        assert seen["id"] == payer.invoices[0].id
