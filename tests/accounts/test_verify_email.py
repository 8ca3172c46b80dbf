"""POST /auth/verify-email and its resend: an address is proved by the key in a mail."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
import time_machine
from django.conf import settings
from django.core import mail, signing
from django.test import Client
from rest_framework.test import APIClient

from accounts import links, second_factor, tokens
from accounts.models import User
from tests.accounts.second_factors import authenticator, code_of
from tests.people import Person


def verify(key: str) -> Any:
    return APIClient().post("/api/v1/auth/verify-email", {"key": key}, format="json")


def is_verified(person: Person) -> bool:
    return User.objects.get(pk=person.user.pk).is_email_verified


def is_refused(answer: Any) -> bool:
    return (answer.status_code, list(answer.json()["errors"])) == (400, ["key"])


@pytest.mark.django_db(transaction=True)
def test_registering_sends_the_key_that_verifies(nobody: APIClient, work: Callable[[], None]) -> None:
    body = {"fullname": "Zoe Quill", "email": "zoe@example.com", "password": "a rather long phrase"}
    assert nobody.post("/api/v1/auth/register", body, format="json").status_code == 201
    work()
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["zoe@example.com"], "Confirm your e-mail address for AI-Manus")
    assert "Hello Zoe," in str(message.body)
    (link,) = re.findall(r"http\S+", str(message.body))
    prefix = f"{settings.SITE_URL}/accounts/confirm-email/"
    assert link.startswith(prefix)
    assert verify(unquote(link.removeprefix(prefix).rstrip("/"))).status_code == 204
    assert User.objects.get().is_email_verified


def test_a_key_works_twice_without_harm(bob: Person) -> None:
    key = links.verification_key(bob.user)
    assert verify(key).status_code == 204
    bob.user.refresh_from_db()
    bob.sign_in()
    assert verify(key).status_code == 204
    assert bob.get("/auth/me").json()["email_verified"] is True


@pytest.mark.parametrize("key", ["", "none", "a:b:c", "\0"])
def test_a_key_that_is_none_of_ours_is_refused(key: str, bob: Person) -> None:
    assert is_refused(verify(key))
    assert not is_verified(bob)


def test_a_key_of_another_purpose_or_shape_is_refused(bob: Person) -> None:
    assert is_refused(verify(signing.dumps(["x"], salt=links.VERIFY_SALT)))
    assert is_refused(verify(signing.dumps([str(bob.user.pk), bob.user.email], salt="elsewhere")))
    assert not is_verified(bob)


def test_a_key_lives_for_three_days(bob: Person) -> None:
    key = links.verification_key(bob.user)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=3, minutes=1), tick=False):
        assert is_refused(verify(key))
    assert not is_verified(bob)


def test_a_key_proves_the_address_that_it_was_sent_to(bob: Person) -> None:
    key = links.verification_key(bob.user)
    bob.user.set_email("robert@example.com")
    bob.user.save()
    assert is_refused(verify(key))
    assert not is_verified(bob)


@pytest.mark.django_db(transaction=True)
def test_the_mail_is_sent_again_until_the_address_is_verified(bob: Person, work: Callable[[], None]) -> None:
    assert bob.post("/auth/verify-email/resend").status_code == 204
    work()
    assert len(mail.outbox) == 1
    assert verify(links.verification_key(bob.user)).status_code == 204
    bob.user.refresh_from_db()
    bob.sign_in()
    assert bob.post("/auth/verify-email/resend").status_code == 204
    work()
    assert len(mail.outbox) == 1


def refresh(raw: str) -> int:
    return int(APIClient().post("/api/v1/auth/refresh", {"refresh_token": raw}, format="json").status_code)


def test_whatever_was_set_before_ends_with_the_proof(bob: Person) -> None:
    """Until then anybody could have registered the address, and signed in, and set a second factor."""
    raw, secret = tokens.sign_in(bob.user).refresh_token, authenticator(bob.user)
    browser = Client()
    browser.force_login(bob.user)
    key = links.verification_key(bob.user)
    assert verify(key).status_code == 204
    assert (bob.get("/auth/me").status_code, refresh(raw)) == (401, 401)
    assert browser.get("/account/").status_code == 302
    assert not second_factor.is_on(bob.user)

    # And only with the first proof: the key is not good for ending what came after.
    bob.user.refresh_from_db()
    bob.sign_in()
    raw, secret = tokens.sign_in(bob.user).refresh_token, authenticator(bob.user)
    assert verify(key).status_code == 204
    assert (bob.get("/auth/me").status_code, refresh(raw)) == (200, 200)
    assert second_factor.use(bob.user, code_of(secret))


def test_the_sign_in_that_proves_the_address_goes_on(bob: Person, charlie: Person) -> None:
    own, other = tokens.sign_in(bob.user), tokens.sign_in(bob.user)
    foreign = tokens.sign_in(charlie.user)
    client = APIClient(headers={"Authorization": f"Bearer {own.access_token}"})
    body = {"key": links.verification_key(bob.user)}
    assert client.post("/api/v1/auth/verify-email", body, format="json").status_code == 204
    assert [refresh(issued.refresh_token) for issued in (own, other, foreign)] == [200, 401, 200]


@pytest.mark.parametrize("token", ["none", "Bearer none", "charlie"])
def test_a_token_that_is_not_this_accounts_neither_helps_nor_hinders(token: str, bob: Person, charlie: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    if token == "charlie":
        token = f"Bearer {tokens.sign_in(charlie.user).access_token}"
    body = {"key": links.verification_key(bob.user)}
    answer = APIClient(headers={"Authorization": token}).post("/api/v1/auth/verify-email", body, format="json")
    assert (answer.status_code, is_verified(bob), refresh(raw)) == (204, True, 401)
