"""Signing in on the page, with the API's limits and silence, and out again."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.backends import ModelBackend
from pytest_django import Settings as SettingsWrapper

from accounts import guards, tokens
from accounts.models import Attempt, User
from tests.accounts.browsers import Browser, browser_of, unmasked
from tests.accounts.test_guards import login, pass_by, tried
from tests.accounts.test_login import hashes
from tests.people import PASSWORD, Person

__all__ = ["hashes"]

WRONG = "The e-mail address or the password is wrong."


@pytest.fixture
def browser(db: None) -> Browser:
    return Browser()


def is_limited(answer: Any) -> bool:
    if answer.status_code == 429:
        assert int(answer["Retry-After"]) > 0
        assert "Too many tries" in answer.content.decode()
    return bool(answer.status_code == 429)


@pytest.mark.parametrize("email", ["bob@example.com", "BOB@Example.com", " bob@example.com"])
def test_the_right_password_lets_in_with_a_new_session(email: str, browser: Browser, bob: Person) -> None:
    browser.get("/accounts/login/")
    # Somebody had put a session of theirs into this browser.
    planted = browser.session
    planted["planted"] = True
    planted.save()
    answer = browser.sign_in(email)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert browser.is_in
    assert browser.session.session_key != planted.session_key
    thief = Browser()
    thief.cookies[configured.SESSION_COOKIE_NAME] = str(planted.session_key)
    assert not thief.is_in


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("bob@example.com", "not the password"),
        ("nobody@example.com", PASSWORD),
        ("deactivated@example.com", PASSWORD),
        ("unusable@example.com", PASSWORD),
    ],
)
def test_every_wrong_sign_in_answers_alike_and_hashes_once(
    email: str, password: str, browser: Browser, bob: Person, hashes: list[bytes]
) -> None:
    User.objects.create_user("deactivated@example.com", PASSWORD, is_active=False)
    User.objects.create_user("unusable@example.com", None)
    expected = browser.sign_in("bob@example.com", "another wrong one")
    hashes.clear()
    answer = browser.sign_in(email, password)
    assert (answer.status_code, len(hashes)) == (200, 1)
    text = unmasked(answer.content.decode())
    assert WRONG in text
    assert text.replace(email, "") == unmasked(expected.content.decode()).replace("bob@example.com", "")
    assert password not in text
    assert not browser.is_in


def test_an_account_takes_five_wrong_guesses_on_the_page_and_at_the_api_together(bob: Person) -> None:
    assert Browser().sign_in("bob@example.com", "wrong").status_code == 200
    tried(guards.SIGN_IN_ACCOUNT, "bob@example.com", 3)
    assert login("bob@example.com").status_code == 401
    for browser in (Browser(), Browser(REMOTE_ADDR="198.51.100.7")):
        assert is_limited(browser.sign_in("bob@example.com"))
        assert not browser.is_in
    assert Attempt.objects.filter(scope=guards.SIGN_IN_ACCOUNT.scope).count() == 5
    pass_by(timedelta(minutes=5))
    assert Browser().sign_in("bob@example.com").status_code == 302


def test_an_unknown_account_is_limited_alike(browser: Browser, bob: Person) -> None:
    pages = []
    for email in ("bob@example.com", "nobody@example.com"):
        tried(guards.SIGN_IN_ACCOUNT, email, 5)
        answer = browser.sign_in(email, "wrong")
        assert is_limited(answer)
        pages.append(unmasked(answer.content.decode()).replace(email, ""))
    assert pages[0] == pages[1]


def test_an_address_takes_ten_wrong_guesses_a_minute(browser: Browser, bob: Person) -> None:
    tried(guards.SIGN_IN_ADDRESS, "127.0.0.1", 9)
    assert browser.sign_in("nobody@example.com").status_code == 200
    assert is_limited(browser.sign_in("bob@example.com"))
    assert not browser.is_in
    pass_by(timedelta(minutes=1))
    assert browser.sign_in("bob@example.com").status_code == 302


def test_a_form_that_is_not_complete_is_no_guess(browser: Browser, bob: Person) -> None:
    for fields in ({"login": "", "password": "x"}, {"login": "bob@example.com", "password": ""}, {"login": "bob"}):
        assert browser.send("/accounts/login/", fields).status_code == 200
    assert not Attempt.objects.exists()


def test_without_the_pages_token_nobody_comes_in(browser: Browser, bob: Person) -> None:
    answer = browser.post("/accounts/login/", {"login": "bob@example.com", "password": PASSWORD})
    assert (answer.status_code, browser.is_in) == (403, False)
    assert "The form was not sent" in answer.content.decode()


@pytest.mark.parametrize(
    ("target", "led_to"),
    [
        ("/billing/?a=b", "/billing/?a=b"),
        ("http://testserver/billing/", "http://testserver/billing/"),
        ("https://evil.example.com/", "/"),
        ("//evil.example.com/", "/"),
        ("/\\evil.example.com", "/"),
        ("http:///evil.example.com", "/"),
        ("javascript:alert(1)", "/"),
        # Ours, but not the one that was asked.
        ("http://localhost/billing/", "/"),
    ],
)
def test_next_leads_to_our_own_addresses_alone(target: str, led_to: str, browser: Browser, bob: Person) -> None:
    assert browser.sign_in("bob@example.com", next=target)["Location"] == led_to
    # And so while signed in already.
    assert browser.get("/accounts/login/", {"next": target})["Location"] == led_to


def test_who_is_sent_to_sign_in_comes_back(browser: Browser, bob: Person) -> None:
    path = browser.get("/accounts/sessions/?a=b")["Location"]
    assert path == "/accounts/login/?next=/accounts/sessions/%3Fa%3Db"
    assert (
        browser.send(path, {"login": "bob@example.com", "password": PASSWORD})["Location"] == "/accounts/sessions/?a=b"
    )


class Interrupted(ModelBackend):
    """While the password is checked, the person signs out everywhere."""

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        user = super().authenticate(*args, **kwargs)
        tokens.revoke_families(User.objects.get(email="bob@example.com"))
        return user


def test_a_sign_in_that_was_ended_while_it_was_checked_comes_to_nothing(
    browser: Browser, bob: Person, settings: SettingsWrapper
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["tests.accounts.test_sign_in_page.Interrupted"]
    assert browser.sign_in("bob@example.com").status_code == 302
    assert not browser.is_in


def test_signing_out_takes_a_post(bob: Person) -> None:
    browser, other = browser_of(bob.user), browser_of(bob.user)
    assert "bob@example.com" in browser.says("/accounts/logout/")
    assert browser.is_in
    assert browser.post("/accounts/logout/").status_code == 403
    assert browser.is_in
    answer = browser.send("/accounts/logout/", on="/account/")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert (browser.is_in, other.is_in) == (False, True)
    assert "You are signed out." in browser.says("/accounts/login/")
    # Who is out already is led on.
    assert browser.get("/accounts/logout/")["Location"] == "/"


def test_the_old_session_is_worth_nothing_after_signing_out(bob: Person) -> None:
    browser, thief = browser_of(bob.user), Browser()
    key = str(browser.session.session_key)
    browser.send("/accounts/logout/")
    thief.cookies[configured.SESSION_COOKIE_NAME] = key
    assert not thief.is_in


def test_a_suspended_workspace_keeps_nobody_from_their_account(bob: Person) -> None:
    browser = browser_of(bob.user)
    bob.workspace.suspended_at = bob.workspace.created_at
    bob.workspace.save()
    assert browser.send("/accounts/name/", {"fullname": "Robert"}).status_code == 302
    assert browser.send("/accounts/logout/").status_code == 302
    assert User.objects.get(pk=bob.user.pk).fullname == "Robert"


def test_a_browser_that_speaks_no_language_takes_that_of_the_person(bob: Person, settings: SettingsWrapper) -> None:
    User.objects.filter(pk=bob.user.pk).update(language="de")
    browser = Browser()
    assert browser.sign_in("bob@example.com").cookies[settings.LANGUAGE_COOKIE_NAME].value == "de"
    browser = Browser()
    browser.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    assert settings.LANGUAGE_COOKIE_NAME not in browser.sign_in("bob@example.com").cookies


ALLAUTHS_OWN = [
    "inactive/",
    "confirm-email/",
    "password/set/",
    "login/code/",
    "login/code/confirm/",
    "password/reset/key/done/",
    "signup/passkey/",
    "3rdparty/",
    "2fa/webauthn/",
    "2fa/webauthn/add/",
    "2fa/trust/",
    "2fa/recovery-codes/download/",
    "social/login/cancelled/",
]


@pytest.mark.parametrize("path", ALLAUTHS_OWN)
def test_what_allauth_has_beside_our_pages_is_not_to_be_reached(path: str, bob: Person) -> None:
    for browser in (Browser(), browser_of(bob.user)):
        assert browser.get(f"/accounts/{path}").status_code == 404
