"""Cursor pages: links that lead through everything once, and cursors that are not ours refused."""

from base64 import b64encode
from urllib.parse import quote

import pytest

from sessions_app.models import Session
from tests.people import Person


def test_the_links_lead_through_everything_once_and_back(alice: Person) -> None:
    made = [alice.post("/sessions", {"title": str(number)}).json()["id"] for number in range(5)]
    page = alice.get("/sessions?limit=2").json()
    assert set(page) == {"next", "previous", "results"}
    assert page["previous"] is None
    seen = [page]
    while seen[-1]["next"]:
        seen.append(alice.client.get(seen[-1]["next"]).json())
    found = [[session["id"] for session in page["results"]] for page in seen]
    assert found == [made[:2:-1], made[2:0:-1], made[:1]]
    assert seen[1]["next"].startswith("http://testserver/api/v1/sessions?")
    back = alice.client.get(seen[-1]["previous"]).json()
    assert [session["id"] for session in back["results"]] == found[1]


def test_what_is_equally_old_is_neither_lost_nor_shown_twice(alice: Person) -> None:
    made = {alice.post("/sessions", {}).json()["id"] for _ in range(5)}
    newest = Session.objects.order_by("-last_activity_at").first()
    assert newest is not None
    Session.objects.update(last_activity_at=newest.last_activity_at)
    link, found = "/api/v1/sessions?limit=2", []
    while link:
        page = alice.client.get(link).json()
        found += [session["id"] for session in page["results"]]
        link = page["next"]
    assert (len(found), set(found)) == (5, made)


@pytest.mark.parametrize(("limit", "shown"), [("1", 1), ("100", 21), ("1000", 21), ("0", 20), ("-1", 20), ("x", 20)])
def test_a_page_holds_as_many_as_asked_within_reason(limit: str, shown: int, alice: Person) -> None:
    for _ in range(21):
        alice.post("/sessions", {})
    answer = alice.get(f"/sessions?limit={limit}")
    assert (answer.status_code, len(answer.json()["results"])) == (200, shown)


@pytest.mark.parametrize(
    "inside",
    [
        b"p=yesterday",
        b"p=2026-02-31 00:00:00+00:00",
        b"p=2026-01-01 00:00:00",
        b"p=2026-01-01",
        b"p=%00",
        b"p=1",
        b"p=",
        b"p=infinity",
        b"o=-1",
        b"o=x",
        b"r=x",
        b"o=" + b"9" * 5000,
        b"\xff",
    ],
)
@pytest.mark.parametrize("path", ["/sessions", "/billing/ledger"])
def test_a_forged_cursor_is_refused(path: str, inside: bytes, alice: Person) -> None:
    alice.post("/sessions", {})
    answer = alice.get(f"{path}?cursor={quote(b64encode(inside))}")
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"cursor": ["This cursor is not one that was handed out here."]}


@pytest.mark.parametrize("cursor", ["x", "%00", "é", "%F0%9F%92%A9", "====", "%"])
def test_what_is_no_cursor_at_all_is_refused(cursor: str, alice: Person) -> None:
    assert alice.get(f"/sessions?cursor={cursor}").status_code == 400


def test_a_cursor_of_another_workspace_shows_ones_own(alice: Person, bob: Person) -> None:
    for _ in range(3):
        alice.post("/sessions", {})
    cursor = alice.get("/sessions?limit=1").json()["next"].partition("cursor=")[2]
    answer = bob.get(f"/sessions?cursor={cursor}")
    assert (answer.status_code, answer.json()["results"]) == (200, [])
