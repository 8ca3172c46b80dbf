"""The pages behind mailed links: they show first, and act by their button."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import links
from accounts.models import User
from tests.people import PASSWORD, Person, person

NEW = "a wholly new password"


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def path_of(link: str) -> str:
    return link.removeprefix("http://127.0.0.1:8000")


def press(browser: Client, path: str, **fields: str) -> tuple[int, str]:
    """Open the page and send its form; the status and text of the answer."""
    page = browser.get(path)
    token = browser.cookies["csrftoken"].value
    assert page.status_code == 200
    answer = browser.post(path, {**fields, "csrfmiddlewaretoken": token})
    return answer.status_code, answer.content.decode()


def is_verified(person: Person) -> bool:
    return User.objects.get(pk=person.user.pk).is_email_verified


def can_sign_in(password: str) -> bool:
    body = {"email": "bob@example.com", "password": password}
    return APIClient().post("/api/v1/auth/login", body, format="json").status_code == 200


def test_looking_at_the_link_confirms_nothing_and_the_button_does(browser: Client, bob: Person) -> None:
    path = path_of(links.verification_link(bob.user))
    assert "bob@example.com" in browser.get(path).content.decode()
    assert not is_verified(bob)
    status, text = press(browser, path)
    assert (status, "Your address is confirmed" in text, is_verified(bob)) == (200, True, True)


def test_a_forged_or_foreign_key_confirms_nothing(browser: Client, bob: Person) -> None:
    key = links.verification_key(bob.user)
    for forged in ("x", key[:-1], f"{key}x"):
        answer = browser.get(f"/accounts/confirm-email/{forged}/")
        assert (answer.status_code, "not valid any more" in answer.content.decode()) == (410, True)
    bob.user.set_email("robert@example.com")
    bob.user.save()
    assert browser.get(f"/accounts/confirm-email/{key}/").status_code == 410
    assert not is_verified(bob)


def test_a_post_without_the_pages_token_is_refused(browser: Client, bob: Person) -> None:
    assert browser.post(path_of(links.verification_link(bob.user))).status_code == 403
    assert browser.post(path_of(links.reset_link(bob.user)), {"password": NEW}).status_code == 403
    assert (is_verified(bob), can_sign_in(PASSWORD)) == (False, True)


def test_a_new_password_is_set_once_and_ends_every_sign_in(browser: Client, bob: Person) -> None:
    path = path_of(links.reset_link(bob.user))
    status, text = press(browser, path, password=NEW)
    assert (status, "Your password is set" in text) == (200, True)
    assert (can_sign_in(PASSWORD), can_sign_in(NEW), bob.get("/auth/me").status_code) == (False, True, 401)
    assert browser.get(path).status_code == 410
    assert is_verified(bob)


def test_a_weak_password_is_explained_beside_its_field_and_not_set(browser: Client, bob: Person) -> None:
    status, text = press(browser, path_of(links.reset_link(bob.user)), password="bob@example.com")
    assert (status, "too similar to the email" in text, 'aria-invalid="true"' in text) == (200, True, True)
    assert can_sign_in(PASSWORD)
    assert bob.get("/auth/me").status_code == 200


def test_a_link_for_somebody_else_sets_nothing(browser: Client, bob: Person) -> None:
    other = person("other@example.com")
    token = links.reset_link(other.user).rstrip("/").partition("-")[2]
    assert browser.get(f"/accounts/password/reset/key/{bob.user.pk.hex}-{token}/").status_code == 410
    assert can_sign_in(PASSWORD)


def test_the_pages_load_nothing_inline_and_nothing_from_elsewhere(browser: Client, bob: Person) -> None:
    answer = browser.get(path_of(links.reset_link(bob.user)))
    text = answer.content.decode()
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    assert not any(word in text for word in ("style=", "<style", 'src="http', 'href="http'))
    assert text.count("<script") == text.count('<script src="/static/') > 0
