"""Where one is signed in: browsers and programs, and signing out there."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session as StoredSession
from rest_framework.test import APIClient

from accounts import devices, tokens
from accounts.models import RefreshToken, TokenFamily
from tests.accounts.browsers import LINUX, Browser, browser_of
from tests.people import PASSWORD, Person

PATH = "/accounts/sessions/"
CHROME = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18 Safari/605"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/18 Safari/604"
)


def refresh(raw: str) -> int:
    return int(APIClient().post("/api/v1/auth/refresh", {"refresh_token": raw}, format="json").status_code)


def row_of(browser: Browser) -> UserSession:
    return UserSession.objects.get(session_key=browser.session.session_key)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (LINUX, "Firefox · Linux"),
        (CHROME, "Chrome · Windows"),
        (f"{CHROME} Edg/130.0.0.0", "Edge · Windows"),
        (SAFARI, "Safari · macOS"),
        (IPHONE, "Safari · iOS"),
        ("curl/8.5.0", ""),
        ("", ""),
    ],
)
def test_browsers_are_named_by_what_they_say(agent: str, name: str) -> None:
    assert devices.named(agent) == name


def test_browsers_are_listed_with_this_one_marked(bob: Person, charlie: Person) -> None:
    browser_of(charlie.user)
    phone = Browser(**{"User-Agent": IPHONE})
    phone.sign_in("bob@example.com")
    own = browser_of(bob.user)
    page = re.sub(r"\s+", " ", own.says(PATH)).partition("</h1>")[2].partition('id="programs"')[0]
    assert re.findall(r"<b>([^<]*)</b>( <span class=\"badge\")?", page) == [
        ("Firefox · Linux", ' <span class="badge"'),
        ("Safari · iOS", ""),
    ]
    assert page.count("127.0.0.1") == 2


def test_a_program_is_listed_by_the_name_that_it_gives_itself(bob: Person, charlie: Person) -> None:
    TokenFamily.objects.all().delete()
    body = {"email": "bob@example.com", "password": PASSWORD}
    client = APIClient(headers={"User-Agent": "night<ly>\x00/1"})
    assert client.post("/api/v1/auth/login", body, format="json").status_code == 200
    tokens.sign_in(charlie.user, user_agent="not-bobs/1")
    page = browser_of(bob.user).says(PATH)
    assert "night&lt;ly&gt;/1" in page
    assert "not-bobs" not in page
    assert TokenFamily.objects.get(user=bob.user).user_agent == "night<ly>/1"


def test_what_has_ended_is_not_listed(bob: Person) -> None:
    TokenFamily.objects.all().delete()
    gone, expired, ended = (browser_of(bob.user) for _ in range(3))
    StoredSession.objects.filter(pk=gone.session.session_key).delete()
    StoredSession.objects.filter(pk=expired.session.session_key).update(
        expire_date=datetime.now(UTC) - timedelta(minutes=1)
    )
    revoked, old = tokens.sign_in(bob.user, user_agent="revoked/1"), tokens.sign_in(bob.user, user_agent="old/1")
    tokens.revoke_family_of(revoked.refresh_token)
    RefreshToken.objects.filter(token_hash=tokens._hash(old.refresh_token)).update(
        expires_at=datetime.now(UTC) - timedelta(minutes=1)
    )
    own = browser_of(bob.user)
    listed = devices.browsers(bob.user, present=own.session.session_key)
    assert {device.id for device in listed} == {str(row_of(own).pk), str(row_of(ended).pk)}
    assert devices.programs(bob.user) == []
    bob.user.end_access_tokens()
    assert devices.browsers(bob.user, present=own.session.session_key) == []


def test_one_browser_is_signed_out(bob: Person) -> None:
    own, other, third = (browser_of(bob.user) for _ in range(3))
    answer = own.send(f"/accounts/sessions/browsers/{row_of(other).pk}/end/", on=PATH)
    assert answer["Location"] == PATH
    assert "This browser has been signed out." in own.says(PATH)
    assert (own.is_in, other.is_in, third.is_in) == (True, False, True)


def test_this_browser_signs_itself_out(bob: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    answer = own.send(f"/accounts/sessions/browsers/{row_of(own).pk}/end/", on=PATH)
    assert (answer["Location"], own.is_in, other.is_in) == ("/accounts/login/", False, True)


def test_one_program_is_signed_out(bob: Person) -> None:
    first, second = tokens.sign_in(bob.user), tokens.sign_in(bob.user)
    family = TokenFamily.objects.get(tokens__token_hash=tokens._hash(first.refresh_token))
    browser = browser_of(bob.user)
    path = f"/accounts/sessions/programs/{family.pk}/end/"
    assert browser.send(path, on=PATH)["Location"] == PATH
    assert (refresh(first.refresh_token), refresh(second.refresh_token)) == (401, 200)
    assert browser.send(path, on=PATH).status_code == 404


def test_everything_else_is_signed_out_at_once(bob: Person, charlie: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    unnoted, stranger = Browser(), browser_of(charlie.user)
    unnoted.force_login(bob.user)
    raw = tokens.sign_in(bob.user).refresh_token
    assert own.send(PATH)["Location"] == PATH
    assert (own.is_in, other.is_in, unnoted.is_in, stranger.is_in) == (True, False, False, True)
    assert (refresh(raw), bob.get("/auth/me").status_code) == (401, 401)
    assert charlie.get("/auth/me").status_code == 200
    assert UserSession.objects.filter(user=bob.user).count() == 1


def test_nobody_signs_out_somebody_else(bob: Person, charlie: Person) -> None:
    theirs, raw = browser_of(bob.user), tokens.sign_in(bob.user).refresh_token
    family = TokenFamily.objects.get(tokens__token_hash=tokens._hash(raw))
    browser = browser_of(charlie.user)
    pages = []
    for path in (
        f"/accounts/sessions/browsers/{row_of(theirs).pk}/end/",
        "/accounts/sessions/browsers/999999999999999999999/end/",
        f"/accounts/sessions/programs/{family.pk}/end/",
        "/accounts/sessions/programs/00000000-0000-0000-0000-000000000000/end/",
    ):
        answer = browser.send(path, on=PATH)
        pages.append(re.sub(r'value="\w{64}"|name this: \w+', "", answer.content.decode()).replace(path, ""))
        assert answer.status_code == 404
    assert len(set(pages)) == 1
    assert (theirs.is_in, refresh(raw)) == (True, 200)


def test_signing_out_takes_the_pages_token_and_a_post(bob: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    path = f"/accounts/sessions/browsers/{row_of(other).pk}/end/"
    assert (own.get(path).status_code, own.post(path).status_code, own.post(PATH).status_code) == (405, 403, 403)
    assert other.is_in


def test_where_the_client_is_not_known_nothing_is_shown_of_it(bob: Person) -> None:
    browser = Browser(**{"User-Agent": ""})
    browser.send("/accounts/login/", {"login": "bob@example.com", "password": PASSWORD}, REMOTE_ADDR="")
    page = browser.says(PATH)
    assert "Unknown browser" in page
    assert devices.NO_ADDRESS not in page


def test_notes_of_sessions_that_are_gone_are_forgotten(bob: Person) -> None:
    own, gone = browser_of(bob.user), browser_of(bob.user)
    StoredSession.objects.filter(pk=gone.session.session_key).delete()
    assert devices.forget_ended() == 1
    assert UserSession.objects.get() == row_of(own)
