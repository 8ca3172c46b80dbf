"""What makes a token valid: its key, algorithm, issuer, audience, type, epoch and age."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.conf import settings
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import RefreshToken, TokenFamily, User
from tests.people import Person

KID, SECRET = next(iter(settings.JWT_SIGNING_KEYS.items()))


def claims_of(raw: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(raw, options={"verify_signature": False})
    return claims


def ask(raw: str) -> Any:
    return APIClient().get("/api/v1/auth/me", headers={"Authorization": f"Bearer {raw}"})


def is_refused(raw: str) -> bool:
    answer = ask(raw)
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    return (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")


def sign(claims: dict[str, Any], *, secret: str = SECRET, kid: str | None = KID, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid} if kid else {})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_an_access_token_says_who_when_and_for_whom(bob: Person) -> None:
    issued = tokens.sign_in(bob.user)
    claims = claims_of(issued.access_token)
    assert set(claims) == {"typ", "exp", "iat", "jti", "sub", "fam", "auth_epoch", "aud", "iss"}
    assert (claims["typ"], claims["iss"], claims["aud"]) == ("access", settings.JWT_ISSUER, settings.JWT_AUDIENCE)
    assert claims["exp"] - claims["iat"] == 30 * 60
    assert jwt.get_unverified_header(issued.access_token) == {"alg": "HS256", "kid": KID, "typ": "JWT"}
    claims = claims_of(issued.refresh_token)
    assert (claims["typ"], claims["exp"] - claims["iat"]) == ("refresh", 7 * 24 * 3600)


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "refresh"},
        {"typ": None},
        {"iss": "https://elsewhere.example.com"},
        {"aud": "another-api"},
        {"exp": 1},
        {"auth_epoch": 1},
        {"auth_epoch": "0"},
        {"auth_epoch": None},
        {"sub": "00000000-0000-7000-8000-000000000000"},
        {"sub": "bob@example.com"},
        {"sub": 1},
        {"fam": "none"},
        {"fam": None},
    ],
    ids=str,
)
def test_a_claim_that_does_not_hold_is_refused(changes: dict[str, Any], bob: Person) -> None:
    claims = claims_of(tokens.sign_in(bob.user).access_token)
    assert ask(sign(claims)).status_code == 200
    assert is_refused(sign(claims | changes))


@pytest.mark.parametrize("claim", ["typ", "exp", "sub", "fam", "auth_epoch", "aud", "iss", "jti"])
def test_a_claim_that_is_missing_is_refused(claim: str, bob: Person) -> None:
    claims = claims_of(tokens.sign_in(bob.user).access_token)
    del claims[claim]
    assert is_refused(sign(claims))


def test_only_our_algorithm_and_keys_are_believed(bob: Person) -> None:
    claims = claims_of(tokens.sign_in(bob.user).access_token)
    assert is_refused(sign(claims, secret="another secret that has more than 32 characters"))
    assert is_refused(sign(claims, kid="unknown"))
    assert is_refused(sign(claims, kid=None))
    payload = sign(claims).split(".")[1]
    for algorithm in ("HS512", "RS256", "none", "None"):
        head = b64(json.dumps({"alg": algorithm, "kid": KID, "typ": "JWT"}).encode())
        signature = hmac.digest(SECRET.encode(), f"{head}.{payload}".encode(), hashlib.sha512)
        assert is_refused(f"{head}.{payload}.{b64(signature)}")
        assert is_refused(f"{head}.{payload}.")
    assert is_refused(jwt.encode(claims, "", algorithm="none", headers={"kid": KID}))


def test_a_refresh_token_is_no_access_token_nor_the_other_way_round(bob: Person) -> None:
    issued = tokens.sign_in(bob.user)
    assert is_refused(issued.refresh_token)
    for path in ("refresh", "logout"):
        answer = APIClient().post(f"/api/v1/auth/{path}", {"refresh_token": issued.access_token}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
    assert not RefreshToken.objects.exclude(used_at=None).exists()
    assert not TokenFamily.objects.exclude(revoked_at=None).exists()


def test_an_access_token_lives_for_thirty_minutes(bob: Person) -> None:
    raw = tokens.sign_in(bob.user).access_token
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=30, seconds=-5), tick=False):
        assert ask(raw).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=30, seconds=5), tick=False):
        assert is_refused(raw)


def test_the_domains_clock_does_not_age_tokens(bob: Person, travel: Callable[[timedelta], datetime]) -> None:
    travel(timedelta(days=400))
    assert bob.get("/auth/me").status_code == 200


def test_the_first_key_signs_and_all_verify(bob: Person, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tokens.sign_in(bob.user).access_token
    settings.JWT_SIGNING_KEYS = {"new": "n" * 40, KID: SECRET}
    for kind in (tokens.AccessToken, tokens.RefreshTokenClaims):
        monkeypatch.setattr(kind, "_token_backend", tokens.KeyRing())
    new = tokens.sign_in(bob.user).access_token
    assert jwt.get_unverified_header(new)["kid"] == "new"
    assert (ask(old).status_code, ask(new).status_code) == (200, 200)

    settings.JWT_SIGNING_KEYS = {"new": "n" * 40}
    monkeypatch.setattr(tokens.AccessToken, "_token_backend", tokens.KeyRing())
    assert ask(new).status_code == 200
    assert is_refused(old)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer a b", "Bearer \xff", "Basic Ym9iOmJvYg==", "Token x", "Bearer a.b.c.d"]
)
def test_a_header_that_is_no_bearer_token_is_refused(header: str, bob: Person) -> None:
    answer = APIClient().get("/api/v1/auth/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] in ("not_authenticated", "token_not_valid")


def test_a_token_of_a_former_epoch_is_refused(bob: Person) -> None:
    raw = tokens.sign_in(bob.user)
    User.objects.filter(pk=bob.user.pk).update(auth_epoch=7)
    assert is_refused(raw.access_token)


def test_authentication_and_entitlement_take_two_statements_at_most(
    bob: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    bob.get("/billing/subscription")
    with statements() as seen:
        assert bob.get("/billing/subscription").status_code == 200
    assert len(seen) <= 2
