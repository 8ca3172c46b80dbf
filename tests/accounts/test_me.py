"""GET and PATCH /auth/me: one's own account, and the workspaces that one belongs to."""

from typing import Any

import pytest

from accounts.models import User
from tests.people import Person


def patch(person: Person, body: Any) -> Any:
    return person.client.patch("/api/v1/auth/me", body, format="json")


def test_it_shows_the_account_and_its_workspaces_the_personal_one_first(mike: Person) -> None:
    assert mike.get("/auth/me").json() == {
        "id": str(mike.user.pk),
        "fullname": "Mike",
        "email": "mike@example.com",
        "email_verified": False,
        "role": "user",
        "created_at": mike.user.created_at.isoformat().replace("+00:00", "Z"),
        "workspaces": [
            {"id": str(mike.user.personal_workspace.pk), "name": "Mike", "role": "owner", "is_personal": True},
            {"id": str(mike.workspace.pk), "name": "The team", "role": "member", "is_personal": False},
        ],
    }


def test_the_name_can_be_changed(bob: Person) -> None:
    answer = patch(bob, {"fullname": "  Robert Quill "})
    assert (answer.status_code, answer.json()["fullname"]) == (200, "Robert Quill")
    assert User.objects.get(pk=bob.user.pk).fullname == "Robert Quill"


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "x@example.com"}, {"role": "staff"}, {"email_verified": True}, {"is_staff": True}, {"id": 1}],
    ids=str,
)
def test_nothing_but_the_name_can_be_changed(body: dict[str, Any], bob: Person) -> None:
    before = User.objects.filter(pk=bob.user.pk).values().get()
    assert patch(bob, body).status_code == 200
    assert User.objects.filter(pk=bob.user.pk).values().get() == before


@pytest.mark.parametrize("name", ["", " ", None, "n" * 151, ["Robert"], {"first": "Robert"}, "Rob\0ert"])
def test_a_name_that_cannot_be_is_refused(name: Any, bob: Person) -> None:
    answer = patch(bob, {"fullname": name})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["fullname"])
    assert User.objects.get(pk=bob.user.pk).fullname == "Bob"
