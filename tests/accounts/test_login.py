"""POST /auth/login: a right password gives tokens, and a wrong one tells nothing."""

from typing import Any

import argon2
import pytest
from rest_framework.test import APIClient

from accounts.models import RefreshToken, TokenFamily, User
from tests.people import PASSWORD, Person

WRONG = b'{"detail":"The e-mail address or the password is wrong.","code":"invalid_credentials"}'


def login(client: APIClient, email: str, password: str = PASSWORD) -> Any:
    return client.post("/api/v1/auth/login", {"email": email, "password": password}, format="json")


@pytest.mark.parametrize("email", ["bob@example.com", "BOB@Example.com", " bob@example.com"])
def test_the_right_password_opens_a_family_of_tokens(email: str, bob: Person, nobody: APIClient) -> None:
    before = TokenFamily.objects.count()
    answer = login(nobody, email)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"user", "access_token", "refresh_token", "token_type", "expires_in"}
    assert body["user"]["id"] == str(bob.user.pk)
    assert TokenFamily.objects.count() == before + 1
    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {body['access_token']}")
    assert nobody.get("/api/v1/auth/me").json()["email"] == "bob@example.com"


def test_staff_are_told_apart(staff: Person, nobody: APIClient) -> None:
    assert login(nobody, "staff@example.com").json()["user"]["role"] == "staff"


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that Argon2 has worked on: the library's own functions, listened to."""
    seen: list[bytes] = []

    def listen(name: str) -> None:
        real = getattr(argon2.low_level, name)

        def heard(*arguments: Any, **named: Any) -> Any:
            seen.append(name.encode())
            return real(*arguments, **named)

        for module in (argon2.low_level, argon2._password_hasher):
            monkeypatch.setattr(module, name, heard, raising=False)

    listen("hash_secret")
    listen("verify_secret")
    return seen


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("bob@example.com", "not the password"),
        ("nobody@example.com", PASSWORD),
        ("deactivated@example.com", PASSWORD),
        ("unusable@example.com", PASSWORD),
        ("no address at all", PASSWORD),
    ],
)
def test_every_wrong_sign_in_answers_alike_and_hashes_once(
    email: str, password: str, bob: Person, nobody: APIClient, hashes: list[bytes]
) -> None:
    User.objects.create_user("deactivated@example.com", PASSWORD, is_active=False)
    User.objects.create_user("unusable@example.com", None)
    families, tokens = TokenFamily.objects.count(), RefreshToken.objects.count()
    hashes.clear()
    answer = login(nobody, email, password)
    assert (answer.status_code, answer.content) == (401, WRONG)
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    # Evidence of constant time that no busy machine can disturb: the one costly step is taken once, always.
    assert len(hashes) == 1
    assert (TokenFamily.objects.count(), RefreshToken.objects.count()) == (families, tokens)


@pytest.mark.parametrize("field", ["email", "password"])
def test_a_missing_field_is_named_and_counts_as_no_guess(field: str, bob: Person, nobody: APIClient) -> None:
    body = {"email": "bob@example.com", "password": PASSWORD}
    del body[field]
    for _ in range(6):
        answer = nobody.post("/api/v1/auth/login", body, format="json")
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert login(nobody, "bob@example.com").status_code == 200


def test_a_session_cookie_authenticates_nothing_here(staff: Person, nobody: APIClient) -> None:
    nobody.force_login(staff.user)
    answer = nobody.get("/api/v1/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_a_deactivated_user_is_out_at_once(bob: Person, nobody: APIClient) -> None:
    issued = login(nobody, "bob@example.com").json()
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    answer = bob.get("/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
    answer = nobody.post("/api/v1/auth/refresh", {"refresh_token": issued["refresh_token"]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
    assert RefreshToken.objects.filter(used_at__isnull=False).count() == 0
