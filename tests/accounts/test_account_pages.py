"""One's own account: name, address, password, language."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import guards, links, signals, tokens
from accounts import jobs as mails
from accounts.models import TokenFamily, User
from tests.accounts.browsers import Browser, browser_of
from tests.accounts.test_guards import tried
from tests.people import PASSWORD, Person, person

NEW = "robert@example.com"
NEW_PASSWORD = "a rather different phrase"


@pytest.fixture
def robert(bob: Person) -> Person:
    """Bob, with his address proven."""
    User.objects.filter(pk=bob.user.pk).update(is_email_verified=True)
    bob.user.refresh_from_db()
    return bob


def stored(person: Person) -> User:
    return User.objects.get(pk=person.user.pk)


def path_of(link: str) -> str:
    return link.removeprefix("http://127.0.0.1:8000")


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name FROM procrastinate_jobs ORDER BY id")
        return [name.rpartition(".")[2] for (name,) in cursor.fetchall()]


def refresh(raw: str) -> int:
    return int(APIClient().post("/api/v1/auth/refresh", {"refresh_token": raw}, format="json").status_code)


OWN_PAGES = [
    "/account/",
    "/accounts/name/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/reauthenticate/",
    "/accounts/2fa/",
    "/accounts/sessions/",
]


@pytest.mark.parametrize("path", OWN_PAGES)
def test_nobody_sees_it_without_signing_in(path: str, db: None) -> None:
    assert Browser().get(path)["Location"] == f"/accounts/login/?next={path}"


def test_every_page_takes_few_statements_however_much_there_is(
    robert: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    for number in range(60):
        tokens.sign_in(robert.user, user_agent=f"script/{number}")
        browser = browser_of(robert.user)
    for path in OWN_PAGES:
        with statements() as seen:
            assert browser.get(path).status_code == 200
        assert len(seen) <= 8, path


def test_of_the_account_only_the_own_is_shown(bob: Person, charlie: Person) -> None:
    text = browser_of(bob.user).says()
    assert ("bob@example.com" in text, "charlie@example.com" in text) == (True, False)


# Name


def test_a_name_is_changed_and_shown_escaped(bob: Person) -> None:
    browser = browser_of(bob.user)
    assert browser.send("/accounts/name/", {"fullname": " <b>Robert</b> "})["Location"] == "/account/"
    assert stored(bob).fullname == "<b>Robert</b>"
    assert "&lt;b&gt;Robert&lt;/b&gt;" in browser.says()
    assert "<b>Robert" not in browser.says()


@pytest.mark.parametrize("name", ["", "  ", "z" * 151, "a\0b"])
def test_a_name_that_cannot_be_is_refused(name: str, bob: Person) -> None:
    answer = browser_of(bob.user).send("/accounts/name/", {"fullname": name})
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, ["fullname"])
    assert stored(bob).fullname == "Bob"


# Address


@pytest.mark.django_db(transaction=True)
def test_the_address_changes_by_the_mail_sent_there(robert: Person, work: Callable[[], None]) -> None:
    browser, former = browser_of(robert.user), robert.user.person_hash
    heard: list[Any] = []

    def hear(**said: Any) -> None:
        heard.append(said["workspace"])

    signals.payer_changed.connect(hear)
    assert browser.send("/accounts/email/", {"email": "Robert@Example.com"}).status_code == 302
    assert (stored(robert).email, stored(robert).pending_email) == ("bob@example.com", NEW)
    work()
    (message,) = mail.outbox
    assert (message.to, message.subject) == ([NEW], "Confirm your new e-mail address for AI-Manus")
    (link,) = re.findall(r"http\S+", str(message.body))
    assert "bob@example.com" in str(message.body)

    # Looking does nothing.
    assert NEW in browser.says(path_of(link))
    assert stored(robert).email == "bob@example.com"
    assert browser.send(path_of(link))["Location"] == "/account/"
    user = stored(robert)
    assert (user.email, user.pending_email, user.is_email_verified) == (NEW, "", True)
    assert user.person_hash != former
    assert heard == [robert.workspace]
    signals.payer_changed.disconnect(hear)
    work()
    assert (mail.outbox[1].to, mail.outbox[1].subject) == (
        ["bob@example.com"],
        "The e-mail address of your AI-Manus account was changed",
    )
    assert NEW in str(mail.outbox[1].body)
    # What was signed in stays so, and from now on the new address signs in.
    assert browser.is_in
    assert Browser().sign_in("bob@example.com").status_code == 200
    assert Browser().sign_in(NEW).status_code == 302
    assert browser.get(path_of(link)).status_code == 410


def asked_for(person: Person, email: str = NEW) -> str:
    """The path in the mail, once the change was asked for."""
    answer = browser_of(person.user).send("/accounts/email/", {"email": email})
    assert answer.status_code == 302, answer.content
    return path_of(links.email_change_link(stored(person)))


def test_only_from_within_the_account_is_an_address_given_away(robert: Person, charlie: Person) -> None:
    path = asked_for(robert)
    assert Browser().get(path)["Location"].startswith("/accounts/login/?next=/accounts/email/confirm/")
    other = browser_of(charlie.user)
    assert other.get(path).status_code == 410
    assert other.send(path, on="/account/").status_code == 410
    assert (stored(robert).email, stored(charlie).email) == ("bob@example.com", "charlie@example.com")
    assert browser_of(robert.user).send(path).status_code == 302
    assert stored(robert).email == NEW


def withdraw(person: Person) -> None:
    browser_of(person.user).send("/accounts/email/withdraw/", on="/account/")


def ask_for_another(person: Person) -> None:
    asked_for(person, "bobby@example.com")


def change_the_password(person: Person) -> None:
    body = {"old_password": PASSWORD, "new_password": PASSWORD + "!"}
    assert person.post("/auth/change-password", body).status_code == 204


def reset_the_password(person: Person) -> None:
    uid, token = links.reset_link(stored(person)).split("/")[-2].split("-", 1)
    body = {"uid": uid, "token": token, "new_password": NEW_PASSWORD}
    assert APIClient().post("/api/v1/auth/password-reset/confirm", body, format="json").status_code == 204


@pytest.mark.parametrize("end", [withdraw, ask_for_another, change_the_password, reset_the_password])
def test_what_ends_a_change_ends_its_link(end: Callable[[Person], None], robert: Person) -> None:
    """Or somebody who was in the account for a while could complete it when they are not any more."""
    path = asked_for(robert)
    end(robert)
    browser = browser_of(stored(robert))
    assert browser.get(path).status_code == 410
    assert browser.send(path, on="/account/").status_code == 410
    assert stored(robert).email == "bob@example.com"


def test_a_link_lives_for_three_days(robert: Person) -> None:
    path = asked_for(robert)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=3, minutes=1), tick=False):
        assert browser_of(robert.user).get(path).status_code == 410
    assert browser_of(robert.user).get(path).status_code == 200


@pytest.mark.parametrize("key", ["x", "a:b:c"])
def test_a_forged_key_changes_nothing(key: str, robert: Person) -> None:
    asked_for(robert)
    browser = browser_of(robert.user)
    assert browser.get(f"/accounts/email/confirm/{key}/").status_code == 410
    # Nor does a key that was made to verify.
    User.objects.filter(pk=robert.user.pk).update(pending_email="bob@example.com")
    key = links.verification_key(stored(robert))
    assert browser.get(f"/accounts/email/confirm/{key}/").status_code == 410


@pytest.mark.django_db(transaction=True)
def test_asking_for_a_taken_address_looks_the_same_and_tells_its_owner(
    robert: Person, charlie: Person, work: Callable[[], None]
) -> None:
    browser = browser_of(robert.user)
    said = []
    for email in ("charlie@example.com", NEW):
        answer = browser.send("/accounts/email/", {"email": email})
        text = browser.says("/accounts/email/").replace(email, "")
        said.append((answer.status_code, answer["Location"], re.sub(r'value="\w{64}"', "", text)))
        work()
    assert said[0] == said[1]
    assert [(message.to[0], message.subject) for message in mail.outbox] == [
        ("charlie@example.com", "You already have an AI-Manus account"),
        (NEW, "Confirm your new e-mail address for AI-Manus"),
    ]


def test_an_address_that_was_taken_meanwhile_is_not_taken_twice(robert: Person) -> None:
    path = asked_for(robert)
    person(NEW)
    browser = browser_of(robert.user)
    assert browser.send(path)["Location"] == "/account/"
    assert "belongs to another account by now" in browser.says()
    assert (stored(robert).email, stored(robert).pending_email) == ("bob@example.com", "")
    assert "send_notice" not in jobs()


def test_an_unproven_address_cannot_be_changed(bob: Person) -> None:
    browser = browser_of(bob.user)
    assert "Confirm it first" in browser.says("/accounts/email/")
    assert browser.send("/accounts/email/", {"email": NEW}).status_code == 200
    assert (stored(bob).pending_email, jobs()) == ("", [])


def test_the_address_is_changed_only_after_the_password(robert: Person) -> None:
    browser = Browser()
    browser.force_login(robert.user)
    answer = browser.send("/accounts/email/", {"email": NEW}, on="/account/")
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert (stored(robert).pending_email, jobs()) == ("", [])


@pytest.mark.parametrize("email", ["", "x", "bob@example.com", "BOB@Example.com"])
def test_an_address_that_cannot_be_is_refused(email: str, robert: Person) -> None:
    answer = browser_of(robert.user).send("/accounts/email/", {"email": email})
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, ["email"])
    assert (stored(robert).pending_email, jobs()) == ("", [])


def test_changes_are_asked_for_five_times_an_hour(robert: Person) -> None:
    tried(guards.EMAIL_CHANGE, str(robert.user.pk), 4)
    browser = browser_of(robert.user)
    assert browser.send("/accounts/email/", {"email": NEW}).status_code == 302
    answer = browser.send("/accounts/email/", {"email": "bobby@example.com"})
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (429, True)
    assert stored(robert).pending_email == NEW


# The mail that verifies, once more


def test_a_banner_on_every_page_sends_the_mail_again(bob: Person) -> None:
    browser = browser_of(bob.user)
    for path in ("/account/", "/pricing", "/billing/"):
        assert "Send the mail again" in browser.says(path)
    answer = browser.send("/accounts/confirm-email/send/", {"next": "/billing/"}, on="/billing/")
    assert answer["Location"] == "/billing/"
    assert "A mail is on its way to bob@example.com" in browser.says("/billing/")
    assert jobs() == ["send_verification"]
    User.objects.filter(pk=bob.user.pk).update(is_email_verified=True)
    assert "Send the mail again" not in browser.says()
    assert browser.send("/accounts/confirm-email/send/", on="/account/").status_code == 302
    assert jobs() == ["send_verification"]


def test_it_is_sent_five_times_an_hour_with_those_of_the_api(bob: Person) -> None:
    tried(guards.VERIFICATION, str(bob.user.pk), 4)
    assert bob.post("/auth/verify-email/resend").status_code == 204
    answer = browser_of(bob.user).send("/accounts/confirm-email/send/", on="/account/")
    assert (answer.status_code, "Too many tries" in answer.content.decode()) == (429, True)
    assert jobs() == ["send_verification"]


@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com"])
def test_the_banner_leads_nowhere_else(target: str, bob: Person) -> None:
    answer = browser_of(bob.user).send("/accounts/confirm-email/send/", {"next": target}, on="/account/")
    assert answer["Location"] == "/account/"


# Password


def test_a_new_password_keeps_this_browser_and_ends_all_else(bob: Person) -> None:
    own, other = browser_of(bob.user), browser_of(bob.user)
    raw, key = tokens.sign_in(bob.user).refresh_token, own.session.session_key
    fields = {"old_password": PASSWORD, "password": NEW_PASSWORD}
    assert own.send("/accounts/password/change/", fields)["Location"] == "/account/"
    assert stored(bob).check_password(NEW_PASSWORD)
    assert (own.is_in, other.is_in, refresh(raw), bob.get("/auth/me").status_code) == (True, False, 401, 401)
    assert own.session.session_key != key
    assert "This one" in own.says("/accounts/sessions/")
    assert not TokenFamily.objects.filter(revoked_at=None).exists()
    assert jobs() == ["send_notice"]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("not the password", NEW_PASSWORD, "old_password"),
        ("", NEW_PASSWORD, "old_password"),
        (PASSWORD, "bob", "password"),
        (PASSWORD, "4028819356", "password"),
        (PASSWORD, "bob@example.com", "password"),
        (PASSWORD, "p" * 129, "password"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(old: str, new: str, field: str, bob: Person) -> None:
    browser = browser_of(bob.user)
    answer = browser.send("/accounts/password/change/", {"old_password": old, "password": new})
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, [field])
    assert stored(bob).check_password(PASSWORD)
    assert (browser.is_in, bob.get("/auth/me").status_code, jobs()) == (True, 200, [])


def test_guesses_at_the_present_password_count_with_those_at_sign_in(bob: Person) -> None:
    browser = browser_of(bob.user)
    tried(guards.SIGN_IN_ACCOUNT, "bob@example.com", 4)
    fields = {"old_password": "wrong", "password": NEW_PASSWORD}
    assert browser.send("/accounts/password/change/", fields).status_code == 200
    answer = browser.send("/accounts/password/change/", fields | {"old_password": PASSWORD})
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (429, True)
    assert Browser().sign_in("bob@example.com").status_code == 429
    assert stored(bob).check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_the_owner_is_told_of_a_new_password_from_wherever_it_came(bob: Person, work: Callable[[], None]) -> None:
    change_the_password(bob)
    reset_the_password(bob)
    fields = {"old_password": NEW_PASSWORD, "password": PASSWORD}
    browser_of(stored(bob)).send("/accounts/password/change/", fields)
    work()
    assert [(message.to, message.subject) for message in mail.outbox] == [
        (["bob@example.com"], "Your AI-Manus password was changed")
    ] * 3
    assert "http://127.0.0.1:8000/accounts/password/reset/" in str(mail.outbox[0].body)


# Language


@pytest.mark.django_db(transaction=True)
def test_the_language_that_is_chosen_is_that_of_mails(bob: Person, work: Callable[[], None]) -> None:
    browser = browser_of(bob.user)
    answer = browser.send(reverse("set_language"), {"language": "de", "next": "/account/"}, on="/account/")
    assert answer["Location"] == "/account/"
    assert stored(bob).language == "de"
    assert '<html lang="de">' in browser.says()
    # Of somebody who is not signed in, and of none of ours, nothing is kept.
    Browser().send(reverse("set_language"), {"language": "en"}, on="/pricing")
    browser.send(reverse("set_language"), {"language": "xx"}, on="/account/")
    assert stored(bob).language == "de"
    assert browser.get(reverse("set_language")).status_code == 405


@pytest.mark.parametrize(
    ("language", "subject"), [("", "Confirm your e-mail address for AI-Manus"), ("de", "Bestätigt bitte")]
)
def test_mails_are_written_in_it(
    language: str, subject: str, bob: Person, settings: SettingsWrapper, tmp_path: Path
) -> None:
    catalogue = Catalog(locale="de")
    catalogue.add("Confirm your e-mail address for AI-Manus", "Bestätigt bitte")
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalogue)
    settings.LOCALE_PATHS = [tmp_path]
    User.objects.filter(pk=bob.user.pk).update(language=language)
    mails.send_verification(user_id=str(bob.user.pk))
    assert mail.outbox[0].subject == subject


@pytest.mark.parametrize(
    ("name", "greeting"),
    [
        ("Zoe Quill", "Hello Zoe,"),
        ("Zoé", "Hello Zoé,"),
        ("Anna-Lena", "Hello Anna-Lena,"),
        # Whoever signs up with somebody else's address is not to write to them.
        ("http://evil.example.com you won", "Hello,"),
        ("evil.example.com", "Hello,"),
        ("", "Hello,"),
    ],
)
def test_a_mail_greets_by_a_name_and_by_nothing_else(name: str, greeting: str, bob: Person) -> None:
    User.objects.filter(pk=bob.user.pk).update(fullname=name)
    mails.send_verification(user_id=str(bob.user.pk))
    body = str(mail.outbox[0].body)
    assert body.splitlines()[0] == greeting
    assert "evil" not in body


def test_the_root_of_accounts_leads_to_the_account(bob: Person) -> None:
    assert Client().get("/accounts/")["Location"] == "/account/"
