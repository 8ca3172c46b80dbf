"""Signing up on the page: by the API's rules, and telling nobody whether an address has an account."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import connection

from accounts import guards, links
from accounts.models import Attempt, Membership, Role, User, Workspace
from billing.models import Subscription
from tests.accounts.browsers import Browser, browser_of, unmasked
from tests.accounts.test_guards import tried
from tests.accounts.test_login import hashes
from tests.people import PASSWORD, Person

__all__ = ["hashes"]

PATH = "/accounts/signup/"
SOUND = {"fullname": "Zoe Quill", "email": "zoe@example.com", "password1": "a rather long phrase"}


@pytest.fixture
def browser(db: None) -> Browser:
    return Browser(REMOTE_ADDR="192.0.2.1")


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name FROM procrastinate_jobs ORDER BY id")
        return [name.rpartition(".")[2] for (name,) in cursor.fetchall()]


def link_in(message: Any) -> str:
    (link,) = re.findall(r"http://127.0.0.1:8000(/accounts/confirm-email/\S+)", str(message.body))
    return str(link)


def test_signing_up_makes_account_workspace_and_subscription_and_signs_nobody_in(browser: Browser) -> None:
    answer = browser.send(PATH, SOUND)
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/signup/done/")
    assert "zoe@example.com" in browser.says("/accounts/signup/done/")
    user = User.objects.get()
    assert (user.email, user.fullname, user.is_email_verified) == ("zoe@example.com", "Zoe Quill", False)
    assert user.check_password(SOUND["password1"])
    assert Membership.objects.get(user=user, workspace=user.personal_workspace).role == Role.OWNER
    assert Subscription.objects.filter(workspace=user.personal_workspace).count() == 1
    assert jobs() == ["send_verification"]
    assert not browser.is_in
    # The address need not be proven for signing in.
    assert browser.sign_in("zoe@example.com", SOUND["password1"])["Location"] == "/"
    assert browser.is_in


@pytest.mark.django_db(transaction=True)
def test_the_mails_button_signs_in_the_browser_that_signed_up(work: Callable[[], None]) -> None:
    own, other = Browser(), Browser()
    own.send(PATH, SOUND | {"next": "/billing/"})
    work()
    (message,) = mail.outbox
    key = own.session.session_key
    path = link_in(message)
    answer = own.send(path)
    assert (answer.status_code, answer["Location"]) == (302, "/billing/")
    assert "Confirmed" in own.says()
    assert own.session.session_key != key
    # To any other browser, and another time, the link opens nothing.
    for browser in (other, Browser()):
        assert browser.send(path)["Location"] == "/accounts/login/"
        assert not browser.is_in


@pytest.mark.parametrize("email", ["zoe@example.com", "bob@example.com"])
def test_whoever_did_not_choose_the_password_is_not_signed_in_by_the_link(
    email: str, browser: Browser, bob: Person
) -> None:
    browser.send(PATH, SOUND | {"email": email})
    answer = browser.send(links.verification_link(bob.user).removeprefix("http://127.0.0.1:8000"))
    assert (answer["Location"], browser.is_in) == ("/accounts/login/", False)
    assert User.objects.get(pk=bob.user.pk).is_email_verified


def test_an_address_that_has_an_account_looks_the_same_in_everything(
    browser: Browser, bob: Person, hashes: list[bytes]
) -> None:
    seen = []
    for email in ("bob@example.com", "BOB@example.com", "new@example.com"):
        visitor = Browser()
        visitor.get(PATH)
        hashes.clear()
        answer = visitor.send(PATH, SOUND | {"email": email})
        cookies = {name: len(cookie.value) for name, cookie in visitor.cookies.items()}
        shown = unmasked(visitor.says(answer["Location"])).replace(email.lower(), "")
        seen.append((answer.status_code, answer["Location"], cookies, shown, len(hashes), visitor.is_in))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][4] == 1
    assert User.objects.filter(email="new@example.com").exists()
    assert jobs() == ["send_address_taken", "send_address_taken", "send_verification"]
    bob.user.refresh_from_db()
    assert (bob.user.fullname, bob.user.check_password(PASSWORD)) == ("Bob", True)
    assert bob.get("/auth/me").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_owner_of_a_taken_address_is_told_a_few_times_an_hour(bob: Person, work: Callable[[], None]) -> None:
    for _ in range(4):
        Browser().send(PATH, SOUND | {"email": "bob@example.com"})
    work()
    assert [(message.to, message.subject) for message in mail.outbox] == [
        (["bob@example.com"], "You already have an AI-Manus account")
    ] * 3
    body = str(mail.outbox[0].body)
    assert "http://127.0.0.1:8000/accounts/login/" in body
    assert "http://127.0.0.1:8000/accounts/password/reset/" in body
    assert "Zoe" not in body


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"fullname": " "}, "fullname", "This field is required."),
        ({"fullname": "z" * 151}, "fullname", "at most 150 characters"),
        ({"email": "zoe"}, "email", "Enter a valid email address."),
        ({"email": "zoe@" + "e" * 250 + ".com"}, "email", "at most 254 characters"),
        ({"password1": "zoe.quill"}, "password1", "too similar to the full name"),
        ({"password1": "kq7!Zx"}, "password1", "too short"),
        ({"password1": "password1"}, "password1", "too common"),
        ({"password1": "4028819356"}, "password1", "entirely numeric"),
        ({"password1": "p" * 129}, "password1", "at most 128 characters"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_beside_its_field(
    changes: dict[str, str], field: str, sentence: str, browser: Browser
) -> None:
    answer = browser.send(PATH, SOUND | changes)
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert sentence in answer.content.decode()
    assert (User.objects.count(), Workspace.objects.count(), jobs()) == (0, 0, [])


def test_a_weak_password_is_refused_alike_for_a_taken_address(bob: Person) -> None:
    pages = []
    for email in ("bob@example.com", "new@example.com"):
        answer = Browser().send(PATH, SOUND | {"email": email, "password1": "password1"})
        pages.append(unmasked(answer.content.decode()).replace(email, ""))
    assert pages[0] == pages[1]
    assert jobs() == []


def test_registrations_are_counted_with_those_of_the_api(browser: Browser) -> None:
    tried(guards.REGISTRATION, "192.0.2.1", 99)
    assert browser.send(PATH, SOUND, REMOTE_ADDR="192.0.2.1").status_code == 302
    answer = browser.send(PATH, SOUND | {"email": "y@example.com"}, REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "Too many tries" in answer.content.decode()
    assert User.objects.count() == 1
    assert Attempt.objects.count() == 100


def test_nobody_signs_up_while_signed_in(bob: Person) -> None:
    browser = browser_of(bob.user)
    assert browser.get(PATH)["Location"] == "/"
    assert browser.get(f"{PATH}?next=/billing/")["Location"] == "/billing/"
    answer = browser.send(PATH, SOUND, on="/account/")
    assert (answer.status_code, User.objects.count()) == (302, 1)


@pytest.mark.parametrize(
    "target", ["https://evil.example.com/", "//evil.example.com", "/\\evil.example.com", "javascript:x"]
)
def test_nobody_is_led_elsewhere(target: str, browser: Browser) -> None:
    assert target not in browser.get(PATH, {"next": target}).content.decode()
    browser.send(PATH, SOUND | {"next": target})
    assert browser.session["signed_up"]["next"] == ""


def test_the_language_of_the_page_becomes_that_of_the_mails(db: None) -> None:
    Browser(**{"Accept-Language": "de"}).send(PATH, SOUND)
    assert User.objects.get().language == "de"


def test_who_comes_to_the_last_page_without_having_signed_up_is_led_to_do_so(browser: Browser) -> None:
    assert browser.get("/accounts/signup/done/")["Location"] == PATH


def test_what_was_typed_comes_back_escaped(browser: Browser) -> None:
    text = browser.send(PATH, SOUND | {"fullname": "<script>alert(1)</script>", "email": "x"}).content.decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert SOUND["password1"] not in text
