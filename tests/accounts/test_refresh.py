"""POST /auth/refresh and /auth/logout: families of tokens, rotated, reused and revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from rest_framework.test import APIClient
from rest_framework_simplejwt.exceptions import TokenError

from accounts import tokens
from accounts.models import RefreshToken, TokenFamily, User
from tests.people import Person
from tests.threads import at_once


def refresh(raw: str) -> Any:
    return APIClient().post("/api/v1/auth/refresh", {"refresh_token": raw}, format="json")


def logout(raw: str) -> Any:
    return APIClient().post("/api/v1/auth/logout", {"refresh_token": raw}, format="json")


def is_refused(answer: Any) -> bool:
    return (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")


def test_a_refresh_token_is_exchanged_for_a_new_pair(bob: Person, nobody: APIClient) -> None:
    issued = tokens.sign_in(bob.user)
    answer = refresh(issued.refresh_token)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert body["refresh_token"] != issued.refresh_token
    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {body['access_token']}")
    assert nobody.get("/api/v1/auth/me").status_code == 200
    assert refresh(body["refresh_token"]).status_code == 200


def test_a_reused_refresh_token_ends_its_family_and_no_other(bob: Person) -> None:
    other = tokens.sign_in(bob.user)
    first = tokens.sign_in(bob.user).refresh_token
    second = refresh(first).json()["refresh_token"]
    issued = RefreshToken.objects.count()
    assert is_refused(refresh(first))
    assert is_refused(refresh(second))
    assert RefreshToken.objects.count() == issued
    assert refresh(other.refresh_token).status_code == 200


def test_no_raw_token_is_kept(bob: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, ' ') FROM accounts_refreshtoken t")
        assert raw not in cursor.fetchone()[0]


@pytest.mark.parametrize("raw", ["", "none", "a.b.c", "\0", "é" * 10, "x" * 3000])
def test_what_is_no_token_is_refused(raw: str, bob: Person) -> None:
    before = list(RefreshToken.objects.values())
    for send in (refresh, logout):
        assert send(raw).status_code in (400, 401)
    assert list(RefreshToken.objects.values()) == before
    assert not TokenFamily.objects.exclude(revoked_at=None).exists()


def test_a_refresh_token_lives_for_a_week(bob: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    with time_machine.travel(datetime.now(UTC) + timedelta(days=7, seconds=-5), tick=False):
        answer = refresh(raw)
    assert answer.status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(days=14), tick=False):
        assert is_refused(refresh(answer.json()["refresh_token"]))
    assert RefreshToken.objects.filter(family__tokens__used_at__isnull=False).distinct().count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_eight_exchanges_of_one_token_one_succeeds_and_the_family_ends(bob: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    answers = at_once([lambda: refresh(raw)] * 8)
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 7]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert is_refused(refresh(winner.json()["refresh_token"]))
    family = TokenFamily.objects.get(tokens__token_hash=tokens._hash(raw))
    assert family.revoked_at is not None
    assert family.tokens.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_exchange_beside_a_sign_out_leaves_nothing_that_lives(bob: Person) -> None:
    for _ in range(5):
        raw = tokens.sign_in(bob.user).refresh_token
        exchanged, signed_out = at_once([lambda raw=raw: refresh(raw), lambda raw=raw: logout(raw)])  # type: ignore[misc]
        assert signed_out.status_code == 204
        if exchanged.status_code == 200:
            assert is_refused(refresh(exchanged.json()["refresh_token"]))
        else:
            assert is_refused(exchanged)


def test_signing_out_ends_the_family_and_no_other(bob: Person) -> None:
    ended, kept = tokens.sign_in(bob.user), tokens.sign_in(bob.user)
    assert logout(ended.refresh_token).status_code == 204
    assert is_refused(refresh(ended.refresh_token))
    assert refresh(kept.refresh_token).status_code == 200


def test_signing_out_twice_is_no_error(bob: Person) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    assert (logout(raw).status_code, logout(raw).status_code) == (204, 204)


def test_signing_out_everywhere_ends_every_token_at_once(bob: Person, alice: Person) -> None:
    refresh_tokens = [tokens.sign_in(bob.user).refresh_token for _ in range(2)]
    assert bob.post("/auth/logout-all").status_code == 204
    assert is_refused(bob.get("/auth/me"))
    assert all(is_refused(refresh(raw)) for raw in refresh_tokens)
    assert alice.get("/auth/me").status_code == 200
    bob.user.refresh_from_db()
    bob.sign_in()
    assert bob.get("/auth/me").status_code == 200


def test_a_sign_in_that_was_checked_before_the_password_changed_opens_nothing(bob: Person) -> None:
    checked = User.objects.get(pk=bob.user.pk)
    tokens.revoke_families(bob.user)
    families = TokenFamily.objects.count()
    with pytest.raises(TokenError):
        tokens.sign_in(checked)
    assert TokenFamily.objects.count() == families


def test_a_sign_in_that_was_checked_before_deactivation_opens_nothing(bob: Person) -> None:
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    families = TokenFamily.objects.count()
    with pytest.raises(TokenError):
        tokens.sign_in(bob.user)
    assert TokenFamily.objects.count() == families


# What another connection does between an exchange's first statement and its next, done by the first one's trigger.
SIGNED_OUT_MEANWHILE = """
CREATE FUNCTION sign_out_everywhere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE accounts_user u SET auth_epoch = auth_epoch + 1 FROM accounts_tokenfamily f
        WHERE f.id = NEW.family_id AND u.id = f.user_id;
    UPDATE accounts_tokenfamily SET revoked_at = now() WHERE id = NEW.family_id;
    RETURN NULL;
END $$;
CREATE TRIGGER signed_out_meanwhile AFTER UPDATE ON accounts_refreshtoken
    FOR EACH ROW EXECUTE FUNCTION sign_out_everywhere();
"""


def test_an_exchange_that_a_sign_out_overtakes_gives_tokens_that_are_dead(bob: Person, nobody: APIClient) -> None:
    raw = tokens.sign_in(bob.user).refresh_token
    with connection.cursor() as cursor:
        cursor.execute(SIGNED_OUT_MEANWHILE)
    issued = refresh(raw).json()
    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {issued['access_token']}")
    assert is_refused(nobody.get("/api/v1/auth/me"))
    assert is_refused(refresh(issued["refresh_token"]))
