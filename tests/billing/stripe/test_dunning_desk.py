"""The dunning desk: what it shows, to whom, and where its buttons lead."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts import clock
from accounts.idempotency import once_token
from billing import dunning, roles
from billing.dunning import Order, Standing
from billing.models import AuditEntry, Subscription
from tests.billing.stripe.payer import Payer
from tests.billing.stripe.test_dunning import lapse, status
from tests.desk import Desk, employ
from tests.people import Person, person

PATH, CARDS = "/admin/dunning/", "/admin/dunning/cards/"
OF_MONEY = ("retry-payment", "void-invoice", "give-up-invoice")


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


def shown(desk: Desk, path: str = PATH, **query: Any) -> str:
    answer = desk.get(path, **query)
    assert answer.status_code == 200
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode().partition('id="content"')[2])))


def links(desk: Desk) -> list[str]:
    return re.findall(r'href="(/admin/acts/[^"]+)"', unescape(desk.get(PATH).content.decode()))


def names(desk: Desk) -> list[str]:
    return [link.split("/")[3] for link in links(desk)]


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_debt_is_shown_with_what_can_be_done_about_it(pro: Payer, billing: Desk) -> None:
    assert "Nobody owes anything." in shown(billing)
    invoice = lapse(pro)
    page = shown(billing)
    for words in ("Bob", "bob@example.com", "49.00 USD", "Past due", "Your card was declined.", "1 time", "Visa 0341"):
        assert words in page
    assert "Until 12/2034" in page
    assert names(billing) == [
        *("send-pay-link", "retry-payment", "extend-grace"),
        *("void-invoice", "give-up-invoice", "end-now"),
    ]
    act = billing.get(links(billing)[1])
    assert f'<option value="{invoice}" selected' in act.content.decode()


def test_support_looks_and_does_nothing(pro: Payer, support: Desk) -> None:
    invoice = lapse(pro)
    assert "49.00 USD" in shown(support)
    assert links(support) == []
    for name in ("send-pay-link", *OF_MONEY):
        assert support.act(name, pro.person.workspace, invoice=invoice).status_code == 403
    assert (status(pro, invoice), AuditEntry.objects.count()) == ("open", 0)
    assert not ProcrastinateJob.objects.filter(task_name__endswith="send_pay_link").exists()


def test_who_may_not_see_subscriptions_does_not_see_the_desk(pro: Payer) -> None:
    lapse(pro)
    clerk, customer = Desk(person("clerk@staff.example", is_staff=True)), Desk(pro.person)
    for path in (PATH, CARDS):
        assert clerk.get(path).status_code == 403
        assert customer.get(path).headers["Location"].startswith("/admin/login/")


def test_money_asks_for_a_fresh_sign_in(pro: Payer) -> None:
    invoice, stale = lapse(pro), employ(roles.ADMIN, is_fresh=False)
    for name in OF_MONEY:
        answer = stale.act(name, pro.person.workspace, invoice=invoice)
        assert (answer.status_code, "/reauthenticate/" in answer.headers["Location"]) == (302, True)
    assert (status(pro, invoice), AuditEntry.objects.count()) == ("open", 0)


def test_what_is_more_than_the_role_moves_is_left_to_another(pro: Payer, billing: Desk, settings: Any) -> None:
    settings.STAFF_LARGE_AMOUNT = 4899
    invoice = lapse(pro)
    for name in OF_MONEY:
        answer = billing.act(name, pro.person.workspace, invoice=invoice)
        assert (answer.status_code, "more than your role moves" in answer.content.decode()) == (403, True)
    assert (status(pro, invoice), AuditEntry.objects.count()) == ("open", 0)
    assert employ(roles.ADMIN).act("void-invoice", pro.person.workspace, invoice=invoice).status_code == 302
    assert status(pro, invoice) == "void"


def test_a_retry_leads_back_to_the_desk_and_says_what_was_collected(pro: Payer, billing: Desk) -> None:
    lapse(pro)
    pro.card("pm_card_visa")
    link = links(billing)[1]
    form = {"invoice": re.findall(r"invoice=(in_\w+)", link)[0], "reason": "They called", "once": once_token()}
    for _ in range(2):
        answer = billing.client.post(link, form)
        assert (answer.status_code, answer.headers["Location"]) == (302, PATH)
    assert said(answer) == ["49.00 USD collected."]
    assert [entry.reason for entry in AuditEntry.objects.all()] == ["They called"]
    assert "Nobody owes anything." in shown(billing)


def test_a_link_elsewhere_is_not_followed(pro: Payer, billing: Desk) -> None:
    invoice = lapse(pro)
    path = f"/admin/acts/void-invoice/{pro.person.workspace.pk}/?next=https://evil.example.com/"
    answer = billing.client.post(path, {"invoice": invoice, "reason": "Goodwill", "once": once_token()})
    assert answer.headers["Location"] == f"/admin/accounts/workspace/{pro.person.workspace.pk}/change/"


def test_a_decline_is_said_where_it_was_tried(pro: Payer, billing: Desk) -> None:
    invoice = lapse(pro)
    answer = billing.act("retry-payment", pro.person.workspace, invoice=invoice)
    assert answer.status_code == 409
    assert "nothing was charged. Your card was declined." in unescape(answer.content.decode())
    assert status(pro, invoice) == "open"


def test_another_workspaces_invoice_cannot_be_chosen(pro: Payer, billing: Desk, charlie: Person) -> None:
    invoice = lapse(pro)
    for name in ("send-pay-link", *OF_MONEY):
        answer = billing.act(name, charlie.workspace, invoice=invoice)
        assert (answer.status_code, "another workspace" in unescape(answer.content.decode())) == (409, True)
    assert (status(pro, invoice), AuditEntry.objects.count()) == ("open", 0)


def test_what_is_no_invoice_is_refused(pro: Payer, billing: Desk) -> None:
    lapse(pro)
    assert billing.act("void-invoice", pro.person.workspace, invoice="sub_1").status_code == 400
    assert not AuditEntry.objects.exists()


def test_the_pay_link_is_sent_once_a_day(pro: Payer, billing: Desk) -> None:
    invoice = lapse(pro)
    assert billing.act("send-pay-link", pro.person.workspace, invoice=invoice).status_code == 302
    again = billing.act("send-pay-link", pro.person.workspace, invoice=invoice)
    assert (again.status_code, "sent today already" in again.content.decode()) == (409, True)
    assert ProcrastinateJob.objects.filter(task_name__endswith="send_pay_link").count() == 1


def test_which_rows_and_in_which_order_is_chosen_by_the_address(pro: Payer, other: Payer, billing: Desk) -> None:
    other.buy("basic")
    other.card("pm_card_authenticationRequired")
    lapse(pro)
    other.sync()
    waiting = shown(billing, standing="action")
    assert ("charlie@example.com" in waiting, "bob@example.com" in waiting) == (True, False)
    assert "Wants confirmation" in waiting
    largest = shown(billing, order="amount")
    assert largest.index("bob@example.com") < largest.index("charlie@example.com")
    assert "Nobody is unpaid." in shown(billing, standing="unpaid")
    # What is no choice is the first.
    assert "bob@example.com" in shown(billing, standing="'; --", order="x", p="-3")


def test_it_is_turned_page_by_page(pro: Payer, other: Payer, billing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dunning, "PAGE", 1)
    other.buy("basic")
    other.card("pm_card_chargeCustomerFail")
    lapse(pro)
    other.sync()
    first, second = billing.get(PATH, order="amount").content.decode(), shown(billing, order="amount", p=2)
    assert 'href="/admin/dunning/?standing=owed&amp;order=amount&amp;p=2"' in first
    assert 'rel="prev"' not in first
    assert ("bob@example.com" in first, "bob@example.com" in second) == (True, False)
    assert "charlie@example.com" in second
    assert ("Previous" in second, "Next " in second.rpartition("charlie")[2].rpartition("Previous")[2]) == (True, False)


def expires(payer: Payer, at: datetime) -> None:
    Subscription.objects.filter(pk=payer.row.pk).update(card_expires_at=at)


def test_cards_that_run_out_before_they_must_pay(pro: Payer, other: Payer, billing: Desk) -> None:
    other.buy("basic")
    assert "No card runs out" in shown(billing, CARDS)
    end = pro.row.paid_end
    assert end is not None
    expires(pro, end)
    expires(other, end + timedelta(days=40))
    page = shown(billing, CARDS)
    assert ("bob@example.com" in page, "charlie@example.com" in page) == (True, False)
    assert "49.00 USD" in page


@pytest.mark.parametrize("name", ["cancel_at_period_end", "pause_collection"])
def test_who_pays_no_more_needs_no_card(pro: Payer, billing: Desk, name: str) -> None:
    expires(pro, clock.now())
    assert "bob@example.com" in shown(billing, CARDS)
    value: Any = {"behavior": "void"} if name == "pause_collection" else True
    pro.client.v1.subscriptions.update(pro.one.id, {name: value})  # type: ignore[arg-type]
    pro.sync()
    expires(pro, clock.now())
    assert "No card runs out" in shown(billing, CARDS)


def test_the_card_of_a_real_month_is_found(pro: Payer, billing: Desk) -> None:
    card = pro.one.default_payment_method
    assert isinstance(card, str)
    now = datetime.now(UTC)
    pro.client.v1.payment_methods.update(card, {"card": {"exp_month": now.month, "exp_year": now.year}})
    pro.sync()
    assert f"{now:%m/%Y}" in shown(billing, CARDS)


def test_no_page_needs_more_statements_for_more_rows(
    pro: Payer, other: Payer, billing: Desk, statements: Callable[[], Any]
) -> None:
    def count(path: str) -> int:
        with statements() as seen:
            assert billing.get(path).status_code == 200
        return len(seen)

    other.buy("basic")
    other.card("pm_card_chargeCustomerFail")
    lapse(pro)
    for one in (pro, other):
        expires(one, clock.now())
    before = [count(path) for path in (PATH, CARDS)]
    other.sync()
    expires(other, clock.now())
    assert len(re.findall("@example.com", shown(billing))) == 2
    after = [count(path) for path in (PATH, CARDS)]
    assert after == before
    assert max(after) <= 12


@pytest.mark.parametrize("standing", list(Standing))
@pytest.mark.parametrize("order", list(Order))
def test_nothing_is_read_but_what_is_open(
    db: None, statements: Callable[[], Any], standing: Standing, order: Order
) -> None:
    with statements() as seen:
        dunning.open_invoices(standing, order, page=1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {seen[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    assert "billing_open_invoices" in plan, plan


def test_cards_are_found_by_their_index(db: None, statements: Callable[[], Any]) -> None:
    with statements() as seen:
        dunning.expiring(clock.now(), page=1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {seen[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # By which of them, the planner chooses by how many rows there are: see test_admin_lists.
    assert "Seq Scan on billing_subscription" not in plan, plan
