"""The webhook desk: the inbox, its filters, what an event brought, and the replay of those that were given up."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.utils import timezone

from accounts.idempotency import once_token
from billing import deliveries, roles
from billing.models import AuditEntry, StripeEvent, Subscription
from tests.desk import Desk, employ
from tests.people import Person, person

LIST = "/admin/billing/stripeevent/"
REPLAY = f"{LIST}replay/"
DEAD, DONE, WAITING, UNMATCHED = "dead", "done", "waiting", "unmatched"


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


def event(name: str, state: str = DEAD, *, ago: timedelta = timedelta(), **more: Any) -> StripeEvent:
    at = datetime.now(UTC) - ago
    fields: dict[str, Any] = {
        "type": "invoice.paid",
        "payload": {"id": f"evt_{name}", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}},
        "created_at": at,
        "received_at": at,
        "next_attempt_at": at,
        "attempts": 7 if state in (DEAD, UNMATCHED) else 0,
        "error": "stripe_unavailable: no answer" if state == DEAD else "",
        "done_at": at if state == DONE else None,
    }
    return StripeEvent.objects.create(stripe_id=f"evt_{name}", state=state, **fields | more)


def pays(somebody: Person, customer: str) -> str:
    Subscription.objects.filter(workspace=somebody.workspace).update(stripe_customer_id=customer)
    return customer


def text(answer: Any) -> str:
    assert answer.status_code in (200, 400), answer.status_code
    body = answer.content.decode().partition('id="content"')[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def listed(desk: Desk, **query: Any) -> list[str]:
    """The rows of the list, by their addresses."""
    answer = desk.get(LIST, **query)
    assert answer.status_code == 200
    names = dict(StripeEvent.objects.values_list("pk", "stripe_id"))
    found = re.findall(rf'<a href="{LIST}(\d+)/change/', answer.content.decode())
    return [names[int(pk)].removeprefix("evt_") for pk in found]


def send(desk: Desk, *, token: str = "", reason: str = "The database is back", **query: Any) -> Any:
    address = f"{REPLAY}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    return desk.client.post(address, {"reason": reason, "once": token or once_token()})


def states() -> dict[str, str]:
    return {id.removeprefix("evt_"): state for id, state in StripeEvent.objects.values_list("stripe_id", "state")}


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_inbox_shows_what_came_of_each(support: Desk, bob: Person) -> None:
    event("a", customer=pays(bob, "cus_bob"), ago=timedelta(hours=3))
    event("b", UNMATCHED, customer="cus_of_nobody", is_caught_up=True)
    page = text(support.get(LIST))
    for words in ("Dead", "7 times", "stripe_unavailable: no answer", "3 hours ago", "Unmatched", "cus_of_nobody"):
        assert words in page
    assert "found in Stripe's list" in page
    where = f"/admin/accounts/workspace/{bob.workspace.pk}/change/"
    assert f'<a href="{where}">Bob</a>' in support.get(LIST).content.decode()


def test_an_event_is_found_by_its_id_and_by_its_customer(support: Desk, bob: Person) -> None:
    event("a", customer=pays(bob, "cus_bob"))
    event("b", customer="cus_other")
    for words in ("evt_a", "cus_bob", "bob@example.com", "Bob", str(bob.workspace.pk)):
        assert listed(support, q=words) == ["a"], words
    assert listed(support, q="nobody@example.com") == []


def test_filters_by_state_type_and_day(support: Desk) -> None:
    event("dead")
    event("early", ago=timedelta(days=3))
    event("update", DONE, type="customer.updated")
    event("done", DONE, ago=timedelta(days=3))
    assert listed(support) == ["done", "update", "early", "dead"]
    assert listed(support, state__exact=DEAD) == ["early", "dead"]
    assert listed(support, type="customer.updated") == ["update"]
    today = timezone.localdate()
    assert listed(support, day=today.isoformat()) == ["update", "dead"]
    then = (today - timedelta(days=3)).isoformat()
    assert listed(support, day=then) == ["done", "early"]
    assert listed(support, day=then, state__exact=DEAD) == ["early"]
    assert listed(support, day="yesterday") == ["done", "update", "early", "dead"]


def test_a_day_is_the_readers(support: Desk) -> None:
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
    event("late", received_at=late)
    assert listed(support, day="2026-03-10") == ["late"]
    with timezone.override("Europe/Berlin"):
        assert list(StripeEvent.objects.filter(deliveries.received_on(late.date()))) == []
        assert StripeEvent.objects.filter(deliveries.received_on(late.date() + timedelta(days=1))).count() == 1


def test_an_event_is_shown_in_rows_and_its_error_first(support: Desk, bob: Person) -> None:
    payload = {
        "id": "evt_a",
        "created": 1_790_000_000,
        "data": {
            "object": {"id": "in_1", "currency": "usd", "amount_due": 4900, "lines": {"data": [{"id": "il_1"}]}},
            "previous_attributes": {"status": "draft"},
        },
    }
    one = event("a", customer=pays(bob, "cus_bob"), payload=payload)
    page = text(support.get(f"{LIST}{one.pk}/change/"))
    for words in ("stripe_unavailable: no answer", "49.00 USD", "il_1", "draft", "The customer is looked at.", "Bob"):
        assert words in page
    assert not re.search(r"\{'|\{\"|4900|1790000000", page)


@pytest.mark.parametrize("payload", [{}, {"data": {}}, {"data": None}, {"data": {"object": None}}])
def test_an_event_with_little_in_it_is_shown_too(support: Desk, payload: Any) -> None:
    one = event("a", payload=payload)
    assert "Nothing came with it." in text(support.get(f"{LIST}{one.pk}/change/"))


def test_nothing_is_edited(billing: Desk) -> None:
    one = event("a")
    assert billing.client.post(f"{LIST}{one.pk}/change/", {"state": DONE}).status_code == 403
    assert billing.get(f"{LIST}x/change/").status_code == 404
    assert states() == {"a": DEAD}


def test_one_is_replayed_once_however_often_the_button_is_pressed(billing: Desk) -> None:
    one, other = event("a"), event("b")
    token = once_token()
    for _ in range(2):
        answer = send(billing, ids=one.pk, token=token)
        assert (answer.status_code, answer.headers["Location"]) == (302, LIST)
    assert states() == {"a": WAITING, "b": other.state}
    one.refresh_from_db()
    assert one.attempts == 0
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.actor_name) == ("replay events", "stripe:evt_a", billing.user.email)
    assert (entry.reason, entry.after) == ("The database is back", {"replayed": 1, "events": ["evt_a"]})
    assert said(answer) == ["1 wait again. A worker takes them within 15 seconds."]
    # Another press, of another form: it waits already.
    assert send(billing, ids=one.pk).status_code == 302
    assert AuditEntry.objects.count() == 1


def test_some_are_ticked(billing: Desk) -> None:
    some = [event("a"), event("b", UNMATCHED), event("c", DONE)]
    event("d")
    ticked = {"action": "replay_ticked", "_selected_action": [one.pk for one in some]}
    answer = billing.client.post(LIST, ticked)
    where = answer.headers["Location"]
    assert (answer.status_code, where.startswith(REPLAY)) == (302, True)
    assert "2 events given up" in text(billing.client.get(where))
    assert billing.client.post(where, {"reason": "Mended", "once": once_token()}).status_code == 302
    assert states() == {"a": WAITING, "b": WAITING, "c": DONE, "d": DEAD}


def test_all_dead_ones_of_a_day_are_replayed(billing: Desk) -> None:
    for name, ago in (("a", 0), ("b", 3), ("c", 3)):
        event(name, ago=timedelta(days=ago))
    event("d", UNMATCHED, ago=timedelta(days=3))
    day = (timezone.localdate() - timedelta(days=3)).isoformat()
    page = billing.get(LIST, state__exact=DEAD, day=day).content.decode()
    assert f'href="{REPLAY}?state__exact=dead&amp;day={day}"' in page
    assert "2 events given up" in text(billing.get(REPLAY, state__exact=DEAD, day=day))
    assert send(billing, state__exact=DEAD, day=day).status_code == 302
    assert states() == {"a": DEAD, "b": WAITING, "c": WAITING, "d": UNMATCHED}
    entry = AuditEntry.objects.get()
    assert (entry.target, entry.after) == ("stripeevent", {"replayed": 2, "events": ["evt_b", "evt_c"]})


def test_all_that_is_given_up_is_replayed(billing: Desk) -> None:
    for name, state in (("a", DEAD), ("b", UNMATCHED), ("c", WAITING), ("d", DONE)):
        event(name, state)
    assert "2 events given up" in text(billing.get(REPLAY))
    assert send(billing).status_code == 302
    assert states() == {"a": WAITING, "b": WAITING, "c": WAITING, "d": DONE}


def test_without_a_reason_nothing_is_replayed(billing: Desk) -> None:
    event("a")
    answer = send(billing, reason=" ")
    assert (answer.status_code, "Say why" in text(answer) or "required" in text(answer)) == (400, True)
    assert (states(), AuditEntry.objects.count()) == ({"a": DEAD}, 0)


def test_where_nothing_is_given_up_that_is_said(billing: Desk) -> None:
    one = event("a", DONE)
    for query in ({"ids": one.pk}, {"ids": "x,,-1"}, {}):
        assert "there is nothing to replay" in text(billing.get(REPLAY, **query))


def test_support_sees_and_does_not_replay(support: Desk) -> None:
    one = event("a")
    for path in (LIST, f"{LIST}{one.pk}/change/"):
        page = support.get(path).content.decode()
        assert "replay" not in page.lower().replace("replayed", "")
    assert support.get(REPLAY).status_code == send(support).status_code == 403
    support.client.post(LIST, {"action": "replay_ticked", "_selected_action": [one.pk]})
    assert (states(), AuditEntry.objects.count()) == ({"a": DEAD}, 0)


def test_who_has_no_role_sees_nothing(db: None) -> None:
    one = event("a")
    clerk = Desk(person("clerk@staff.example", is_staff=True))
    assert [clerk.get(path).status_code for path in (LIST, f"{LIST}{one.pk}/change/", REPLAY)] == [403, 404, 403]


def test_no_page_needs_more_statements_for_more_events(billing: Desk, statements: Callable[[], Any]) -> None:
    def counts() -> list[int]:
        found = []
        for path in (LIST, f"{LIST}{first.pk}/change/", REPLAY):
            with statements() as seen:
                assert billing.get(path).status_code == 200
            found.append(len(seen))
        return found

    first = event("first", customer="cus_1")
    before = counts()
    for number in range(30):
        event(f"{number}", customer=f"cus_{number}")
    assert counts() == before
    assert max(before) <= 12


@pytest.mark.parametrize(
    ("state", "indexes"), [("", {"event_done", "event_not_done"}), (DEAD, {"event_not_done"}), (DONE, {"event_done"})]
)
def test_a_days_events_are_found_by_an_index(db: None, state: str, indexes: set[str]) -> None:
    found = StripeEvent.objects.filter(deliveries.received_on(timezone.localdate()))
    if state:
        found = found.filter(state=state)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = found.order_by().explain()
    assert set(re.findall(r"event_\w+", plan)) - {"event_by_type"} == indexes, plan
