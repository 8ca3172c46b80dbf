"""Setting the second factor up, its recovery codes, and turning it off."""

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.db import connection

from accounts import second_factor
from accounts.models import User
from tests.accounts.browsers import Browser, browser_of, reauthenticate
from tests.accounts.second_factors import authenticator, code_of, recovery_codes, wrong_code
from tests.people import PASSWORD, Person

ON, OFF = "/accounts/2fa/totp/activate/", "/accounts/2fa/totp/deactivate/"
CODES, NEW_CODES = "/accounts/2fa/recovery-codes/", "/accounts/2fa/recovery-codes/generate/"


@pytest.fixture
def robert(bob: Person) -> Person:
    """Bob, with his address proven."""
    User.objects.filter(pk=bob.user.pk).update(is_email_verified=True)
    bob.user.refresh_from_db()
    return bob


def secret_on(browser: Browser) -> str:
    (secret,) = re.findall(r'<code class="key">([A-Z2-7]{32})</code>', browser.says(ON))
    return str(secret)


def turn_on(browser: Browser, secret: str, code: str) -> Any:
    """Without loading the page again, which makes another secret."""
    return browser.post(ON, {"code": code, "csrfmiddlewaretoken": browser.cookies["csrftoken"].value})


def codes_on(page: str) -> list[str]:
    return [code.replace(" ", "") for code in re.findall(r"<code>(\d{4} \d{4})</code>", page)]


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT args ->> 'event' FROM procrastinate_jobs ORDER BY id")
        return [event for (event,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_an_app_is_set_up_and_its_codes_are_shown_once(robert: Person, work: Callable[[], None]) -> None:
    browser = browser_of(robert.user)
    assert "Off" in browser.says("/accounts/2fa/")
    secret = secret_on(browser)
    assert turn_on(browser, secret, wrong_code(secret)).status_code == 200
    assert not second_factor.is_on(robert.user)
    code = code_of(secret)
    assert turn_on(browser, secret, code)["Location"] == CODES
    assert second_factor.is_on(robert.user)

    page = browser.says(CODES)
    shown = codes_on(page)
    assert len(set(shown)) == 10
    (kept,) = re.findall(r'href="data:text/plain;charset=utf-8,([^"]*)"', page)
    assert re.findall(r"^\d{8}$", unquote(kept), re.M) == shown
    assert codes_on(browser.says(CODES)) == []
    assert "You have 10 left." in browser.says("/accounts/2fa/")

    # The code that proved the app is used up; the recovery codes are good.
    assert second_factor.use(robert.user, code) is None
    assert second_factor.use(robert.user, shown[3])
    assert "You have 9 left." in browser.says("/accounts/2fa/")
    work()
    assert [message.subject for message in mail.outbox] == ["Two-factor sign-in is on for your AI-Manus account"]


def test_the_qr_code_is_a_picture_that_the_policy_allows(robert: Person) -> None:
    browser = browser_of(robert.user)
    answer = browser.get(ON)
    (picture,) = re.findall(r'<img class="qr" src="data:image/svg\+xml;base64,([^"]+)"', answer.content.decode())
    assert base64.b64decode(picture).startswith(b"<?xml")
    assert "img-src 'self' data:;" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("path", [ON, OFF, NEW_CODES, CODES])
def test_nothing_of_it_is_done_without_the_password(path: str, robert: Person) -> None:
    if path != ON:
        authenticator(robert.user)
        recovery_codes(robert.user)
    before = list(Authenticator.objects.values())
    browser = Browser()
    browser.force_login(robert.user)
    browser.says()
    fields = {"code": "123456", "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    for answer in (browser.get(path), browser.post(path, fields)):
        # The codes are only looked at.
        if answer.status_code != 405:
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/accounts/reauthenticate/")
    assert list(Authenticator.objects.values()) == before


def test_what_was_to_be_done_goes_on_after_the_password(robert: Person) -> None:
    browser = Browser()
    browser.force_login(robert.user)
    asked = browser.get(ON)["Location"]
    answer = browser.send(asked, {"password": "wrong"})
    assert (answer.status_code, "This is not your password." in answer.content.decode()) == (200, True)
    assert browser.send(asked, {"password": PASSWORD})["Location"] == ON
    assert secret_on(browser)


def test_a_code_will_do_in_place_of_the_password(robert: Person) -> None:
    secret = authenticator(robert.user)
    browser = Browser()
    browser.force_login(robert.user)
    assert browser.get(OFF)["Location"].startswith("/accounts/reauthenticate/")
    path = f"/accounts/2fa/reauthenticate/?next={OFF}"
    assert "Use a code instead" in browser.says(f"/accounts/reauthenticate/?next={OFF}")
    assert browser.send(path, {"code": wrong_code(secret)}).status_code == 200
    assert browser.send(path, {"code": code_of(secret)})["Location"] == OFF
    assert browser.get(OFF).status_code == 200


def test_guesses_at_the_password_count_here_too(robert: Person) -> None:
    browser = browser_of(robert.user)
    for _ in range(5):
        assert reauthenticate(browser, "wrong").status_code == 200
    answer = reauthenticate(browser)
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (429, True)


@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com"])
def test_it_leads_on_to_our_own_pages_alone(target: str, robert: Person) -> None:
    browser = browser_of(robert.user)
    path = f"/accounts/reauthenticate/?next={target}"
    assert browser.send(path, {"password": PASSWORD})["Location"] == "/"


@pytest.mark.django_db(transaction=True)
def test_turning_it_off_takes_a_button_and_ends_the_codes(robert: Person, work: Callable[[], None]) -> None:
    authenticator(robert.user)
    codes = recovery_codes(robert.user)
    browser = browser_of(robert.user)
    assert second_factor.is_on(robert.user)
    assert browser.send(OFF)["Location"] == "/accounts/2fa/"
    assert not Authenticator.objects.exists()
    assert second_factor.use(robert.user, codes[0]) is None
    work()
    assert [message.subject for message in mail.outbox] == ["Two-factor sign-in is off for your AI-Manus account"]
    assert "Two-factor sign-in is off." in browser.says("/accounts/2fa/")


@pytest.mark.django_db(transaction=True)
def test_new_codes_end_the_old_ones(robert: Person) -> None:
    authenticator(robert.user)
    old = recovery_codes(robert.user)
    browser = browser_of(robert.user)
    assert browser.send(NEW_CODES)["Location"] == CODES
    new = codes_on(browser.says(CODES))
    assert (len(new), set(new) & set(old)) == (10, set())
    assert second_factor.use(robert.user, old[0]) is None
    assert second_factor.use(robert.user, new[0])
    assert jobs() == ["new_codes"]


def test_there_are_no_codes_without_an_app(robert: Person) -> None:
    browser = browser_of(robert.user)
    assert browser.get(CODES).status_code == 404
    assert "you have none set up" in browser.send(NEW_CODES, on="/account/").content.decode()
    assert browser.get(OFF).status_code == 404
    assert not Authenticator.objects.exists()


def test_with_an_unproven_address_none_is_set_up(bob: Person) -> None:
    """For the proof would end it."""
    browser = browser_of(bob.user)
    assert browser.get(ON)["Location"] == "/accounts/2fa/"
    assert browser.send(ON, {"code": "123456"}, on="/account/")["Location"] == "/accounts/2fa/"
    assert "Confirm your e-mail address first" in browser.says("/accounts/2fa/")
    assert not Authenticator.objects.exists()


def test_a_form_without_the_pages_token_does_nothing(robert: Person) -> None:
    authenticator(robert.user)
    browser = browser_of(robert.user)
    for path in (OFF, NEW_CODES):
        assert browser.post(path).status_code == 403
    assert (second_factor.is_on(robert.user), jobs()) == (True, [])
