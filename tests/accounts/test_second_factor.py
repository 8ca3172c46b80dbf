"""The second factor at the API's door and the page's: asked for, right once, and not to be guessed."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import NoneType
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from rest_framework.test import APIClient

from accounts import guards, second_factor, tokens
from accounts.models import Attempt, TokenFamily, User
from tests.accounts.browsers import Browser
from tests.accounts.second_factors import authenticator, code_of, recovery_codes, wrong_code
from tests.accounts.test_guards import pass_by, tried
from tests.people import PASSWORD, Person
from tests.threads import at_once

SECOND_STEP = "/accounts/2fa/authenticate/"


@pytest.fixture
def secret(bob: Person) -> str:
    """Of the authenticator app that bob has set up."""
    return authenticator(bob.user)


def login(otp: str | None = None, password: str = PASSWORD, email: str = "bob@example.com") -> Any:
    body = {"email": email, "password": password} | ({} if otp is None else {"otp": otp})
    return APIClient().post("/api/v1/auth/login", body, format="json")


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "in")


REFUSED, WRONG, IN, LIMITED = (401, "mfa_required"), (401, "invalid_credentials"), (200, "in"), (429, "rate_limited")


def at_second_step() -> Browser:
    browser = Browser()
    assert browser.sign_in("bob@example.com")["Location"] == SECOND_STEP
    assert not browser.is_in
    return browser


# At the API


def test_without_its_code_the_api_gives_no_tokens(bob: Person, secret: str) -> None:
    before = TokenFamily.objects.count()
    for otp in (None, "", wrong_code(secret), "x", "\u0663" * 6):
        assert outcome(login(otp)) == REFUSED
    assert TokenFamily.objects.count() == before
    assert outcome(login(code_of(secret))) == IN
    assert TokenFamily.objects.count() == before + 1


def test_it_is_asked_for_only_where_the_password_is_right(bob: Person, secret: str) -> None:
    for otp in (None, code_of(secret)):
        assert outcome(login(otp, "not the password")) == WRONG
        assert outcome(login(otp, email="nobody@example.com")) == WRONG
    # Nor was the code used up by that.
    assert outcome(login(code_of(secret))) == IN


def test_an_account_without_one_needs_no_code(bob: Person) -> None:
    assert outcome(login()) == IN
    assert outcome(login("123456")) == IN


def test_a_code_passes_once_by_whichever_door(bob: Person, secret: str) -> None:
    code = code_of(secret)
    assert outcome(login(code)) == IN
    assert outcome(login(code)) == REFUSED
    assert at_second_step().send(SECOND_STEP, {"code": code}).status_code == 200
    # Nor one from before it, which is a little late.
    assert outcome(login(code_of(secret, steps=-1))) == REFUSED
    assert outcome(login(code_of(secret, steps=1))) == IN


@pytest.mark.parametrize(("steps", "expected"), [(-2, REFUSED), (-1, IN), (0, IN), (1, IN), (2, REFUSED)])
def test_a_clock_may_be_off_by_half_a_minute(steps: int, expected: tuple[int, str], bob: Person, secret: str) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False):
        assert outcome(login(code_of(secret, steps=steps))) == expected


def test_codes_are_read_as_people_write_them(bob: Person, secret: str) -> None:
    code = code_of(secret)
    assert outcome(login(f" {code[:3]} {code[3:]} ")) == IN


def test_a_recovery_code_stands_in_once(bob: Person, secret: str) -> None:
    first, second = recovery_codes(bob.user)[:2]
    assert outcome(login(first)) == IN
    assert outcome(login(first)) == REFUSED
    browser = at_second_step()
    assert browser.send(SECOND_STEP, {"code": f"{second[:4]}-{second[4:]}"})["Location"] == "/"
    assert outcome(login(second)) == REFUSED


def test_nobody_elses_code_passes(bob: Person, charlie: Person, secret: str) -> None:
    others = authenticator(charlie.user)
    codes = recovery_codes(charlie.user)
    for otp in (code_of(others), codes[0]):
        assert outcome(login(otp)) == REFUSED
    assert outcome(login(code_of(others), email="charlie@example.com")) == IN


def test_wrong_codes_are_counted_with_wrong_passwords(bob: Person, secret: str) -> None:
    tried(guards.SIGN_IN_ACCOUNT, "bob@example.com", 3)
    # Who has not been asked for a code yet has guessed nothing.
    for _ in range(3):
        assert outcome(login()) == REFUSED
    assert outcome(login(wrong_code(secret))) == REFUSED
    page = at_second_step()
    assert page.send(SECOND_STEP, {"code": wrong_code(secret)}).status_code == 200
    assert Attempt.objects.filter(scope=guards.SIGN_IN_ACCOUNT.scope).count() == 5
    # Now not even the right one.
    assert outcome(login(code_of(secret))) == LIMITED
    answer = page.send(SECOND_STEP, {"code": code_of(secret)})
    assert (answer.status_code, int(answer["Retry-After"]) > 0, page.is_in) == (429, True, False)
    assert "Too many tries" in answer.content.decode()
    pass_by(timedelta(minutes=5))
    assert outcome(login(code_of(secret))) == IN


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_many_at_once_with_one_code_one_comes_in(kind: str, bob: Person, secret: str) -> None:
    """The guard lets the tries at one account take turns; where it is switched off the rows themselves do."""
    code = code_of(secret, steps=1) if kind == "app" else recovery_codes(bob.user)[0]
    used = at_once([partial(second_factor.use, bob.user, code)] * 4)
    assert Counter(map(type, used)) == {Authenticator: 1, NoneType: 3}


# At the page


def test_the_page_asks_for_it_after_the_password(bob: Person, secret: str) -> None:
    browser = Browser()
    assert browser.sign_in("bob@example.com", next="/billing/")["Location"] == SECOND_STEP
    before = browser.session.session_key
    assert not browser.is_in
    answer = browser.send(SECOND_STEP, {"code": wrong_code(secret)})
    assert (answer.status_code, browser.is_in) == (200, False)
    assert "This code is wrong, or was used before." in answer.content.decode()
    assert browser.send(SECOND_STEP, {"code": code_of(secret)})["Location"] == "/billing/"
    assert browser.is_in
    assert browser.session.session_key != before


def test_the_second_step_is_nothing_without_the_first(bob: Person, secret: str) -> None:
    browser = Browser()
    assert browser.get(SECOND_STEP)["Location"] == "/accounts/login/"
    answer = browser.send(SECOND_STEP, {"code": code_of(secret)}, on="/accounts/login/")
    assert (answer["Location"], browser.is_in) == ("/accounts/login/", False)
    assert browser.sign_in("bob@example.com", "wrong").status_code == 200
    assert browser.get(SECOND_STEP)["Location"] == "/accounts/login/"


def sign_out_everywhere(person: Person) -> None:
    tokens.revoke_families(person.user)


def switch_off(person: Person) -> None:
    User.objects.filter(pk=person.user.pk).update(is_active=False)


@pytest.mark.parametrize("end", [sign_out_everywhere, switch_off])
def test_what_ends_sign_ins_ends_one_between_its_steps(end: Callable[[Person], None], bob: Person, secret: str) -> None:
    browser = at_second_step()
    page = browser.get(SECOND_STEP)
    assert page.status_code == 200
    end(bob)
    fields = {"code": code_of(secret), "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    answer = browser.post(SECOND_STEP, fields)
    assert (answer["Location"], browser.is_in) == ("/accounts/login/", False)
    assert browser.get(SECOND_STEP)["Location"] == "/accounts/login/"


def test_between_the_steps_one_can_begin_anew(bob: Person, charlie: Person, secret: str) -> None:
    browser = at_second_step()
    assert browser.get("/accounts/login/")["Location"] == SECOND_STEP
    answer = browser.send("/accounts/logout/", {"next": "/accounts/login/"}, on=SECOND_STEP)
    assert answer["Location"] == "/accounts/login/"
    assert browser.sign_in("charlie@example.com")["Location"] == "/"
    assert "charlie@example.com" in browser.says()


def test_when_it_was_used_is_noted(bob: Person, secret: str) -> None:
    assert Authenticator.objects.get().last_used_at is None
    login(code_of(secret))
    assert Authenticator.objects.get().last_used_at is not None
