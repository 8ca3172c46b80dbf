"""POST /auth/register: the account, its workspace and its FREE subscription, or nothing."""

import json
from functools import partial
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import Attempt, Membership, Ownership, RefreshToken, Role, TokenFamily, User, Workspace
from billing.models import Subscription
from tests.people import Person
from tests.threads import at_once

SOUND = {"fullname": "Zoe Quill", "email": "zoe@example.com", "password": "a rather long phrase"}
MADE = (User, Workspace, Membership, Ownership, Subscription, TokenFamily, RefreshToken)


def register(client: APIClient, **changes: Any) -> Any:
    # By the standard library, which can write a lone surrogate as JSON does: escaped.
    body = json.dumps(SOUND | changes)
    return client.post("/api/v1/auth/register", body, content_type="application/json")


def made() -> list[int]:
    return [model._default_manager.count() for model in MADE]


def jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_registering_makes_account_workspace_and_subscription(nobody: APIClient) -> None:
    answer = register(nobody)
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"user", "access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
    user = User.objects.get()
    assert body["user"] == {
        "id": str(user.pk),
        "fullname": "Zoe Quill",
        "email": "zoe@example.com",
        "email_verified": False,
        "role": "user",
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert user.password.startswith("argon2")
    membership = Membership.objects.get(user=user)
    assert (membership.workspace, membership.role) == (user.personal_workspace, Role.OWNER)
    assert Subscription.objects.filter(workspace=user.personal_workspace).count() == 1
    assert jobs() == 1

    nobody.credentials(HTTP_AUTHORIZATION=f"Bearer {body['access_token']}")
    subscription = nobody.get("/api/v1/billing/subscription").json()
    assert (subscription["plan"], subscription["runs_remaining"]) == ("free", 10)


@pytest.mark.parametrize("email", ["bob@example.com", "Bob@Example.COM", "  BOB@example.com "])
def test_an_address_is_registered_once_in_whatever_case(email: str, bob: Person, nobody: APIClient) -> None:
    before = made()
    answer = register(nobody, email=email)
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"email": ["This e-mail address is already registered."]}
    assert (made(), jobs()) == (before, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("zoe.quill", "The password is too similar to the full name."),
        ("kq7!Zx", "This password is too short. It must contain at least 8 characters."),
        ("password1", "This password is too common."),
        ("4028819356", "This password is entirely numeric."),
    ],
)
def test_a_weak_password_is_refused_by_each_validator(password: str, sentence: str, nobody: APIClient) -> None:
    answer = register(nobody, password=password)
    assert answer.status_code == 400
    assert sentence in answer.json()["errors"]["password"]
    assert made() == [0] * len(MADE)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fullname", ""),
        ("fullname", "   "),
        ("fullname", "z" * 151),
        ("fullname", ["Zoe"]),
        ("fullname", "Zoe\0"),
        ("fullname", "Zoe\ud800"),
        ("email", "zoe"),
        ("email", None),
        ("email", "zoe@" + "e" * 250 + ".com"),
        ("email", {"address": "zoe@example.com"}),
        ("password", ""),
        ("password", "p" * 129),
        ("password", None),
        ("password", "\ud800 a rather long phrase"),
    ],
)
def test_a_field_that_cannot_be_is_named_and_leaves_nothing(field: str, value: Any, nobody: APIClient) -> None:
    answer = register(nobody, **{field: value})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["errors"]) == [field]
    assert (made(), jobs()) == ([0] * len(MADE), 0)


@pytest.mark.django_db
def test_all_missing_fields_are_named_at_once(nobody: APIClient) -> None:
    answer = nobody.post("/api/v1/auth/register", {}, format="json")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"fullname", "email", "password"}
    assert made() == [0] * len(MADE)


@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_for_one_address_one_registers() -> None:
    spellings = ["zoe@example.com", "ZOE@example.com"] * 4
    answers = at_once([partial(register, APIClient(), email=email) for email in spellings])
    assert sorted(answer.status_code for answer in answers) == [201, *[400] * 7]
    assert made() == [1] * len(MADE)
    assert jobs() == 1


@pytest.mark.django_db
def test_a_token_in_the_header_does_not_keep_anybody_from_registering(nobody: APIClient) -> None:
    nobody.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert register(nobody).status_code == 201
    assert Attempt.objects.count() == 1
