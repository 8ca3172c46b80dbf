"""Changing a password, and setting a new one by a link in a mail."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import mail
from django.db import connection
from rest_framework.test import APIClient

from accounts import links, tokens
from accounts.models import User
from tests.people import PASSWORD, Person
from tests.threads import at_once

NEW_PASSWORD = "a rather different phrase"
NOT_VALID = {"token": ["This link is not valid any more. Ask for a new one."]}


def post(path: str, body: dict[str, Any]) -> Any:
    return APIClient().post(f"/api/v1/auth/{path}", body, format="json")


def refresh(raw: str) -> int:
    return int(post("refresh", {"refresh_token": raw}).status_code)


def opens(person: Person, password: str) -> bool:
    return bool(User.objects.get(pk=person.user.pk).check_password(password))


def parts(link: str) -> dict[str, str]:
    found = re.fullmatch(re.escape(settings.SITE_URL) + r"/accounts/password/reset/key/([^-/]+)-([^/]+)/", link)
    assert found is not None, link
    return {"uid": found[1], "token": found[2]}


def confirm(link: str, password: str = NEW_PASSWORD) -> Any:
    return post("password-reset/confirm", {**parts(link), "new_password": password})


def change(person: Person, old: str = PASSWORD, new: str = NEW_PASSWORD) -> Any:
    return person.post("/auth/change-password", {"old_password": old, "new_password": new})


def test_changing_the_password_ends_every_sign_in_but_this_one(bob: Person) -> None:
    other, own = tokens.sign_in(bob.user), tokens.sign_in(bob.user)
    bob.client.credentials(HTTP_AUTHORIZATION=f"Bearer {own.access_token}")
    assert change(bob).status_code == 204
    assert opens(bob, NEW_PASSWORD)
    # Access tokens all end; with this sign-in's refresh token one goes on, and with no other.
    assert bob.get("/auth/me").status_code == 401
    assert refresh(own.refresh_token) == 200
    assert refresh(other.refresh_token) == 401


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("not the password", NEW_PASSWORD, "old_password"),
        (PASSWORD, "bob", "new_password"),
        (PASSWORD, "4028819356", "new_password"),
        (PASSWORD, "bob@example.com", "new_password"),
        (PASSWORD, "p" * 129, "new_password"),
        ("", NEW_PASSWORD, "old_password"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(old: str, new: str, field: str, bob: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    answer = change(bob, old, new)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert opens(bob, PASSWORD)
    assert bob.get("/auth/me").status_code == 200
    assert refresh(raw) == 200


@pytest.mark.django_db(transaction=True)
def test_a_forgotten_password_is_reset_by_the_mail(bob: Person, work: Callable[[], None]) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    assert post("password-reset", {"email": "BOB@example.com"}).status_code == 204
    assert mail.outbox == []
    work()
    (message,) = mail.outbox
    assert message.to == ["bob@example.com"]
    (link,) = re.findall(r"http\S+", str(message.body))
    assert confirm(link).status_code == 204
    assert opens(bob, NEW_PASSWORD)
    assert User.objects.get(pk=bob.user.pk).is_email_verified
    assert bob.get("/auth/me").status_code == 401
    assert refresh(raw) == 401
    answer = confirm(link, "yet another phrase")
    assert (answer.status_code, answer.json()["errors"]) == (400, NOT_VALID)
    assert opens(bob, NEW_PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_asking_tells_nothing_and_mails_only_those_who_can_sign_in(bob: Person, work: Callable[[], None]) -> None:
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    answers = [post("password-reset", {"email": email}) for email in ("bob@example.com", "nobody@example.com")]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    work()
    assert mail.outbox == []


def test_no_secret_lies_in_the_queue(bob: Person) -> None:
    post("password-reset", {"email": "bob@example.com"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT args FROM procrastinate_jobs")
        assert cursor.fetchall() == [('{"email": "bob@example.com"}',)]


def test_a_link_lives_for_a_day(bob: Person) -> None:
    link = links.reset_link(bob.user)
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=24, minutes=1), tick=False):
        answer = confirm(link)
    assert (answer.status_code, answer.json()["errors"]) == (400, NOT_VALID)
    assert opens(bob, PASSWORD)
    assert confirm(link).status_code == 204


def test_a_link_ends_with_the_password_that_it_was_made_for(bob: Person) -> None:
    link = links.reset_link(bob.user)
    assert change(bob, new="a third phrase altogether").status_code == 204
    assert confirm(link).status_code == 400
    assert opens(bob, "a third phrase altogether")


def test_a_link_is_for_one_account_only(bob: Person, alice: Person) -> None:
    mixed = {**parts(links.reset_link(alice.user)), "uid": bob.user.pk.hex, "new_password": NEW_PASSWORD}
    assert post("password-reset/confirm", mixed).json()["errors"] == NOT_VALID
    assert (opens(bob, PASSWORD), opens(alice, PASSWORD)) == (True, True)


@pytest.mark.parametrize("uid", ["x", "0" * 32, "\0", "é" * 20])
@pytest.mark.parametrize("token", ["x", "-", "a-b", "\0"])
def test_parts_that_are_no_link_are_refused(uid: str, token: str, bob: Person) -> None:
    answer = post("password-reset/confirm", {"uid": uid, "token": token, "new_password": NEW_PASSWORD})
    assert answer.status_code == 400
    assert opens(bob, PASSWORD)


def test_a_deactivated_account_is_not_reset(bob: Person) -> None:
    link = links.reset_link(bob.user)
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    assert confirm(link).json()["errors"] == NOT_VALID
    assert opens(bob, PASSWORD)


def test_a_weak_new_password_leaves_the_link_usable(bob: Person) -> None:
    link = links.reset_link(bob.user)
    assert list(confirm(link, "password1").json()["errors"]) == ["new_password"]
    assert opens(bob, PASSWORD)
    assert confirm(link).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_link_one_sets_the_password(bob: Person) -> None:
    link = links.reset_link(bob.user)
    chosen = ["the first new phrase", "the second new phrase"]
    answers = at_once([partial(confirm, link, password) for password in chosen])
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [204, 400]
    assert opens(bob, chosen[statuses.index(204)])


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_one_wins(bob: Person) -> None:
    new = ["one wholly new phrase", "another wholly new phrase"]
    answers = at_once([partial(change, Person(bob.user, bob.workspace), new=password) for password in new])
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) in ([204, 400], [204, 401])
    assert opens(bob, new[statuses.index(204)])
