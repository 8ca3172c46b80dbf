"""Guards against guessing: counted in PostgreSQL, to the number that API.md says, with Retry-After."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import guards
from accounts.models import Attempt, TokenFamily, User
from tests.people import PASSWORD, Person
from tests.threads import at_once

WRONG = "not the password"


def post(path: str, body: dict[str, str], address: str = "192.0.2.1") -> Any:
    return APIClient(REMOTE_ADDR=address).post(f"/api/v1/auth/{path}", body, format="json")


def login(email: str, password: str = WRONG, address: str = "192.0.2.1") -> Any:
    return post("login", {"email": email, "password": password}, address)


def pass_by(time: timedelta) -> None:
    """Tries are counted by the wall clock, so it is they that go back."""
    Attempt.objects.update(at=F("at") - time)


def tried(limit: guards.Limit, subject: str, times: int) -> None:
    """As if so many tries had gone before: each real one costs a hash."""
    now, hashed = datetime.now(UTC), guards._hash(subject)
    Attempt.objects.bulk_create(Attempt(scope=limit.scope, subject=hashed, at=now) for _ in range(times))


def is_limited(answer: Any, *, within: timedelta) -> bool:
    seconds = int(answer["Retry-After"]) if answer.status_code == 429 else 0
    if answer.status_code == 429:
        wait = f"{seconds} seconds" if seconds <= 120 else f"{-(-seconds // 60)} minutes"
        assert answer.json() == {"detail": f"Too many tries. Wait {wait} and try again.", "code": "rate_limited"}
        assert 1 <= seconds <= within.total_seconds() + 1
    return bool(answer.status_code == 429)


def test_an_account_takes_five_wrong_guesses_in_five_minutes(bob: Person) -> None:
    for number in range(5):
        assert login("bob@example.com", address=f"192.0.2.{number}").status_code == 401
    counted, families = Attempt.objects.count(), TokenFamily.objects.count()
    # Not even the right password, in whatever case, from wherever.
    for email in ("bob@example.com", "BOB@example.com"):
        assert is_limited(login(email, PASSWORD, "198.51.100.7"), within=timedelta(minutes=5))
    assert (Attempt.objects.count(), TokenFamily.objects.count()) == (counted, families)
    pass_by(timedelta(minutes=5))
    assert login("bob@example.com", PASSWORD).status_code == 200


def test_an_unknown_account_is_limited_alike(bob: Person) -> None:
    for email in ("bob@example.com", "nobody@example.com"):
        tried(guards.SIGN_IN_ACCOUNT, email, 3)
        assert [login(email).status_code for _ in range(3)] == [401, 401, 429]


def test_an_address_takes_ten_wrong_guesses_a_minute(bob: Person) -> None:
    tried(guards.SIGN_IN_ADDRESS, "192.0.2.1", 8)
    for number in range(2):
        assert login(f"nobody{number}@example.com").status_code == 401
    assert is_limited(login("bob@example.com", PASSWORD), within=timedelta(minutes=1))
    assert login("bob@example.com", PASSWORD, "198.51.100.7").status_code == 200
    pass_by(timedelta(minutes=1))
    assert login("bob@example.com", PASSWORD).status_code == 200


def test_right_sign_ins_do_not_count(bob: Person) -> None:
    for _ in range(6):
        assert login("bob@example.com", PASSWORD).status_code == 200
    assert not Attempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_guesses_at_once_are_no_more_than_one_after_the_other(bob: Person) -> None:
    tried(guards.SIGN_IN_ACCOUNT, "bob@example.com", 2)
    answers = at_once([partial(login, "bob@example.com", address=f"192.0.2.{number}") for number in range(8)])
    assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 5
    assert Attempt.objects.filter(scope=guards.SIGN_IN_ACCOUNT.scope).count() == 5


@pytest.mark.django_db(transaction=True)
def test_guesses_at_many_accounts_at_once_count_for_their_address(bob: Person) -> None:
    tried(guards.SIGN_IN_ADDRESS, "192.0.2.1", 7)
    answers = at_once([partial(login, f"nobody{number}@example.com") for number in range(6)])
    assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 3
    assert Attempt.objects.filter(scope=guards.SIGN_IN_ADDRESS.scope).count() == 10


def test_guesses_at_the_present_password_count_with_those_at_sign_in(bob: Person) -> None:
    body = {"old_password": WRONG, "new_password": "a rather different phrase"}
    tried(guards.SIGN_IN_ACCOUNT, "bob@example.com", 3)
    assert bob.post("/auth/change-password", body).status_code == 400
    assert login("bob@example.com").status_code == 401
    assert is_limited(bob.post("/auth/change-password", body | {"old_password": PASSWORD}), within=timedelta(minutes=5))
    assert User.objects.get(pk=bob.user.pk).check_password(PASSWORD)


def test_an_address_registers_a_hundred_times_an_hour(db: None) -> None:
    tried(guards.REGISTRATION, "192.0.2.1", 99)
    pass_by(timedelta(minutes=59))
    body = {"fullname": "Zoe", "email": "zoe@example.com", "password": "a rather long phrase"}
    assert post("register", body).status_code == 201
    assert is_limited(post("register", body | {"email": "y@example.com"}), within=timedelta(minutes=1))
    assert User.objects.count() == 1
    assert post("register", body | {"email": "y@example.com"}, "198.51.100.7").status_code == 201
    pass_by(timedelta(minutes=1))
    assert post("register", body | {"email": "x@example.com"}).status_code == 201


def test_an_account_asks_for_five_resets_an_hour(bob: Person) -> None:
    for number in range(5):
        assert post("password-reset", {"email": "bob@example.com"}, f"192.0.2.{number}").status_code == 204
    assert is_limited(post("password-reset", {"email": "BOB@example.com"}), within=timedelta(hours=1))
    assert post("password-reset", {"email": "nobody@example.com"}).status_code == 204
    assert jobs() == 6
    pass_by(timedelta(hours=1))
    assert post("password-reset", {"email": "bob@example.com"}).status_code == 204


def test_an_account_asks_for_five_verifications_an_hour(bob: Person) -> None:
    for _ in range(5):
        assert bob.post("/auth/verify-email/resend").status_code == 204
    assert is_limited(bob.post("/auth/verify-email/resend"), within=timedelta(hours=1))
    assert jobs() == 5


def test_with_the_limits_off_nothing_is_counted(bob: Person, settings: SettingsWrapper) -> None:
    settings.RATE_LIMITS = False
    for _ in range(6):
        assert login("bob@example.com").status_code == 401
    assert not Attempt.objects.exists()


def test_neither_addresses_nor_accounts_are_readable_in_the_counts(bob: Person) -> None:
    login("bob@example.com")
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(encode(subject, 'escape') || scope, ' ') FROM accounts_attempt")
        found = cursor.fetchone()[0]
    assert "bob@" not in found
    assert "192.0" not in found


def test_old_tries_are_forgotten_and_live_ones_kept(bob: Person) -> None:
    login("bob@example.com")
    now = datetime.now(UTC)
    assert guards.forget_old(now + timedelta(minutes=59)) == 0
    assert guards.forget_old(now + timedelta(minutes=61)) == 2


def jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        return int(cursor.fetchone()[0])
