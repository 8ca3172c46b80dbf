"""What a browser is shown when something does not work, as in production, and what a program is told."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import path
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import errors
from accounts.models import User, Workspace
from config.urls import urlpatterns as ours
from tests.accounts.browsers import Browser, browser_of
from tests.people import Person


def fault(request: Any) -> Any:
    raise RuntimeError("with a secret in it")


# What the handlers of the URL configuration are found by, and a page that fails.
urlpatterns = [path("fault", fault), path("api/fault", fault), *ours]
handler400, handler403, handler404, handler500 = (
    errors.bad_request,
    errors.permission_denied,
    errors.not_found,
    errors.server_error,
)


@pytest.fixture(autouse=True)
def production(settings: SettingsWrapper) -> None:
    settings.DEBUG = False
    settings.ROOT_URLCONF = "tests.accounts.test_error_pages"


@pytest.fixture
def visitor(db: None) -> Client:
    """Sees a failure as an answer, and not as an exception."""
    return Client(raise_request_exception=False)


def shows(answer: Any, status: int, title: str) -> str:
    """Asserts it, and that the page is whole and tells nothing of the inside; returns its text."""
    text = str(answer.content.decode())
    assert (answer.status_code, answer["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in re.sub(r"\s+(?=<)|(?<=>)\s+", "", text)
    assert 'href="/static/site.css"' in text
    assert re.search(r"<a class=\"button[^>]*>", text)
    assert not re.search(r"Traceback|secret|accounts_user|SELECT|INSERT", text)
    assert "unsafe" not in answer["Content-Security-Policy"]
    return text


def test_nothing_at_an_address(visitor: Client, bob: Person) -> None:
    text = shows(visitor.get("/nothing?a=b"), 404, "There is nothing here")
    assert "/accounts/login/?next=/nothing%3Fa%3Db" in text
    answer = browser_of(bob.user).get("/nothing", headers={"X-Request-ID": "a-request-1"})
    text = shows(answer, 404, "There is nothing here")
    assert "/accounts/login/" not in text
    assert "a-request-1" in text


@pytest.mark.parametrize("support", ["help@example.com", ""])
@pytest.mark.parametrize("address", ["/nothing", "/fault"])
def test_whom_to_write_to_is_said_where_there_is_somebody(
    address: str, support: str, visitor: Client, settings: SettingsWrapper
) -> None:
    settings.SUPPORT_EMAIL = support
    text = visitor.get(address, headers={"X-Request-ID": "a-request-1"}).content.decode()
    assert ('href="mailto:help@example.com"' in text, "mailto:" in text) == (bool(support), bool(support))
    assert "a-request-1" in text


def test_a_suspended_workspace_says_whom_to_write_to(bob: Person) -> None:
    browser = browser_of(bob.user)
    Workspace.objects.filter(pk=bob.workspace.pk).update(suspended_at=bob.workspace.created_at)
    answer = browser.send("/workspace/rename", {"name": "Mine"}, on="/account/")
    assert "mailto:" in shows(answer, 403, "You may not do this")


def test_a_foreign_workspace_is_nothing_too(bob: Person, team: Workspace) -> None:
    browser = browser_of(bob.user)
    answer = browser.send("/workspace/switch", {"workspace": str(team.pk)}, on="/account/")
    shows(answer, 404, "There is nothing here")


def test_a_form_without_its_token(bob: Person) -> None:
    shows(browser_of(bob.user).post("/accounts/name/", {"fullname": "x"}), 403, "The form was not sent")
    assert User.objects.get(pk=bob.user.pk).fullname == "Bob"


def test_what_is_not_allowed(bob: Person) -> None:
    shows(browser_of(bob.user).get("/admin/login/"), 403, "You may not do this")


def test_what_the_role_does_not_allow(mike: Person, team: Workspace) -> None:
    browser = browser_of(mike.user)
    browser.send("/workspace/switch", {"workspace": str(team.pk)}, on="/account/")
    answer = browser.send("/workspace/rename", {"name": "Mine"}, on="/account/")
    shows(answer, 403, "You may not do this")
    team.refresh_from_db()
    assert team.name == "The team"


def test_a_form_that_cannot_be_understood(visitor: Client) -> None:
    many = {f"field{number}": "x" for number in range(1100)}
    shows(visitor.post("/accounts/login/", many), 400, "This could not be understood")


def test_a_form_that_is_too_large(visitor: Client, settings: SettingsWrapper) -> None:
    fields = {"login": "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)}
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    answer = visitor.post("/accounts/login/", body, content_type="application/x-www-form-urlencoded")
    shows(answer, 413, "That was too large")


def test_too_many_tries(bob: Person) -> None:
    browser = browser_of(bob.user)
    for _ in range(5):
        browser.send("/accounts/confirm-email/send/", on="/account/")
    answer = browser.send("/accounts/confirm-email/send/", on="/account/")
    shows(answer, 429, "Too many tries")
    assert int(answer["Retry-After"]) > 0


def test_a_fault_of_ours(visitor: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = visitor.get("/fault", headers={"X-Request-ID": "a-request-1"})
    assert "a-request-1" in shows(answer, 500, "Something failed on our side")
    assert "with a secret in it" in caplog.text


@pytest.fixture
def without_database(bob: Person) -> Iterator[Browser]:
    """Bob's browser; and then nothing listens where the database was."""
    browser = browser_of(bob.user)
    browser.raise_request_exception = False
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = 1
    yield browser
    connection.settings_dict["PORT"] = port
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/account/", "/pricing", "/billing/", "/nothing"])
def test_with_the_database_away(path: str, without_database: Browser) -> None:
    answer = without_database.get(path)
    shows(answer, 503, "We cannot be reached just now")
    assert answer["Retry-After"] == "1"


def test_programs_are_told_in_json(visitor: Client) -> None:
    expected = {"/api/nothing": (404, "not_found"), "/api/fault": (500, "server_error")}
    for address, (status, code) in expected.items():
        answer = visitor.get(address)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.django_db(transaction=True)
def test_programs_are_told_of_the_database_in_json(without_database: Browser) -> None:
    answer = APIClient().get("/api/v1/billing/plans")
    assert (answer.status_code, answer["Retry-After"], answer.json()["code"]) == (503, "1", "database_unavailable")


def test_a_page_speaks_the_viewers_language_and_keeps_what_is_typed_out_of_it(visitor: Client) -> None:
    answer = visitor.get("/<script>alert(1)</script>", headers={"Accept-Language": "de"})
    text = answer.content.decode()
    assert (answer.status_code, '<html lang="de">' in text, "<script>alert" in text) == (404, True, False)
