"""The pages behind mailed links: they show first, and act by their button."""

import pytest
from django.core import mail
from rest_framework.test import APIClient

from accounts import guards, links, second_factor, tokens
from accounts.models import User
from tests.accounts.browsers import Browser, browser_of, unmasked
from tests.accounts.second_factors import authenticator
from tests.accounts.test_guards import tried
from tests.people import PASSWORD, Person, person

NEW = "a wholly new password"


@pytest.fixture
def browser() -> Browser:
    return Browser()


def path_of(link: str) -> str:
    return link.removeprefix("http://127.0.0.1:8000")


def is_verified(person: Person) -> bool:
    return User.objects.get(pk=person.user.pk).is_email_verified


def can_sign_in(password: str) -> bool:
    body = {"email": "bob@example.com", "password": password}
    return APIClient().post("/api/v1/auth/login", body, format="json").status_code == 200


def refresh(raw: str) -> int:
    return int(APIClient().post("/api/v1/auth/refresh", {"refresh_token": raw}, format="json").status_code)


def test_looking_at_the_link_confirms_nothing_and_the_button_does(browser: Browser, bob: Person) -> None:
    path = path_of(links.verification_link(bob.user))
    assert "bob@example.com" in browser.says(path)
    assert not is_verified(bob)
    answer = browser.send(path)
    assert (answer.status_code, answer["Location"], is_verified(bob)) == (302, "/accounts/login/", True)
    assert "Your address is confirmed." in browser.says("/accounts/login/")


def test_a_forged_or_foreign_key_confirms_nothing(browser: Browser, bob: Person) -> None:
    key = links.verification_key(bob.user)
    for forged in ("x", key[:-1], f"{key}x"):
        answer = browser.get(f"/accounts/confirm-email/{forged}/")
        assert (answer.status_code, "not valid any more" in answer.content.decode()) == (410, True)
    bob.user.set_email("robert@example.com")
    bob.user.save()
    assert browser.get(f"/accounts/confirm-email/{key}/").status_code == 410
    assert not is_verified(bob)


def test_a_post_without_the_pages_token_is_refused(browser: Browser, bob: Person) -> None:
    assert browser.post(path_of(links.verification_link(bob.user))).status_code == 403
    assert browser.post(path_of(links.reset_link(bob.user)), {"password": NEW}).status_code == 403
    assert (is_verified(bob), can_sign_in(PASSWORD)) == (False, True)


def test_the_proof_ends_what_was_set_before_and_keeps_the_browser_that_brought_it(bob: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    raw = tokens.sign_in(bob.user).refresh_token
    authenticator(bob.user)
    key = own.session.session_key
    answer = own.send(path_of(links.verification_link(bob.user)))
    assert (answer.status_code, is_verified(bob)) == (302, True)
    assert (own.is_in, other.is_in, refresh(raw)) == (True, False, 401)
    assert own.session.session_key != key
    assert not second_factor.is_on(bob.user)


def test_another_persons_browser_is_neither_signed_in_nor_out_by_the_link(bob: Person, charlie: Person) -> None:
    browser = browser_of(charlie.user)
    assert browser.send(path_of(links.verification_link(bob.user))).status_code == 302
    assert is_verified(bob)
    assert "charlie@example.com" in browser.says()


def test_a_new_password_is_set_once_and_ends_every_sign_in(browser: Browser, bob: Person) -> None:
    other = browser_of(bob.user)
    # Signing in noted the instant, which is in the link.
    bob.user.refresh_from_db()
    path = path_of(links.reset_link(bob.user))
    answer = browser.send(path, {"password": NEW})
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert "Your password is set" in browser.says("/accounts/login/")
    assert (can_sign_in(PASSWORD), can_sign_in(NEW), bob.get("/auth/me").status_code) == (False, True, 401)
    assert (other.is_in, browser.is_in) == (False, False)
    assert browser.get(path).status_code == 410
    assert is_verified(bob)


def test_whoever_resets_it_while_signed_in_stays_so_here(bob: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    bob.user.refresh_from_db()
    assert own.send(path_of(links.reset_link(bob.user)), {"password": NEW})["Location"] == "/account/"
    assert (own.is_in, other.is_in) == (True, False)


@pytest.mark.parametrize("was_proven", [True, False])
def test_a_reset_ends_the_factor_of_an_unproven_address_alone(was_proven: bool, browser: Browser, bob: Person) -> None:
    """Anybody could set it while the address was not proven. Afterwards a mailbox is not enough to get past it."""
    User.objects.filter(pk=bob.user.pk).update(is_email_verified=was_proven)
    bob.user.refresh_from_db()
    authenticator(bob.user)
    assert browser.send(path_of(links.reset_link(bob.user)), {"password": NEW}).status_code == 302
    assert second_factor.is_on(bob.user) is was_proven
    answer = browser.sign_in("bob@example.com", NEW)
    assert answer["Location"] == ("/accounts/2fa/authenticate/" if was_proven else "/")
    assert browser.is_in is not was_proven


def test_a_weak_password_is_explained_beside_its_field_and_not_set(browser: Browser, bob: Person) -> None:
    answer = browser.send(path_of(links.reset_link(bob.user)), {"password": "bob@example.com"})
    text = answer.content.decode()
    assert (answer.status_code, "too similar to the email" in text, 'aria-invalid="true"' in text) == (200, True, True)
    assert can_sign_in(PASSWORD)
    assert bob.get("/auth/me").status_code == 200


def test_a_link_for_somebody_else_sets_nothing(browser: Browser, bob: Person) -> None:
    other = person("other@example.com")
    token = links.reset_link(other.user).rstrip("/").partition("-")[2]
    assert browser.get(f"/accounts/password/reset/key/{bob.user.pk.hex}-{token}/").status_code == 410
    assert can_sign_in(PASSWORD)


def test_asking_for_a_link_answers_alike_for_everybody(browser: Browser, bob: Person) -> None:
    pages = []
    for email in ("bob@example.com", "nobody@example.com"):
        answer = browser.send("/accounts/password/reset/", {"email": email})
        pages.append((answer.status_code, answer["Location"], unmasked(browser.says(answer["Location"]))))
    assert pages[0] == pages[1]
    assert pages[0][:2] == (302, "/accounts/password/reset/done/")
    assert mail.outbox == []


def test_asking_too_often_is_refused_with_a_page(browser: Browser, bob: Person) -> None:
    tried(guards.RESET, "bob@example.com", 4)
    assert browser.send("/accounts/password/reset/", {"email": "BOB@example.com"}).status_code == 302
    answer = browser.send("/accounts/password/reset/", {"email": "bob@example.com"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "Too many tries" in answer.content.decode()


def test_the_pages_load_nothing_inline_and_nothing_from_elsewhere(browser: Browser, bob: Person) -> None:
    answer = browser.get(path_of(links.reset_link(bob.user)))
    text = answer.content.decode()
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    assert not any(word in text for word in ("style=", "<style", 'src="http', 'href="http'))
    assert text.count("<script") == text.count('<script src="/static/') > 0
    assert answer.headers["Referrer-Policy"] == "same-origin"
