"""Who appears in the tests, and how they speak to the API."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth.hashers import make_password
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import Membership, Role, User, Workspace
from billing import lifecycle
from billing.models import Plan, Subscription

PASSWORD = "correct horse battery staple"


@dataclass
class Person:
    """A user who is signed in; `workspace` is the one that their requests name, by default their own."""

    user: User
    workspace: Workspace
    client: APIClient = field(default_factory=APIClient)

    def __post_init__(self) -> None:
        self.sign_in()

    def sign_in(self) -> None:
        token = tokens.sign_in(self.user).access_token
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_X_WORKSPACE=str(self.workspace.pk))

    def into(self, workspace: Workspace) -> "Person":
        """The same person, naming another workspace."""
        return Person(self.user, workspace)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(f"/api/v1{path}", headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(f"/api/v1{path}", body, format="json", headers=headers)

    def delete(self, path: str) -> Any:
        return self.client.delete(f"/api/v1{path}")

    @property
    def subscription(self) -> Subscription:
        """As it stands in the database now."""
        return Subscription.objects.with_plans().get(workspace=self.workspace)


def person(email: str, *, plan: str = Plan.FREE, **extra: Any) -> Person:
    """A person in their personal workspace; a plan other than FREE is a comp for a year."""
    user = User.objects.create_user(email, fullname=email.partition("@")[0].title(), **extra)
    user.password = hashed_password()
    user.save(update_fields=["password"])
    made = Person(user, user.personal_workspace)
    if plan != Plan.FREE:
        put_on(made.workspace, plan)
    return made


@cache
def hashed_password() -> str:
    """Of everybody's PASSWORD, hashed once a run: Argon2 takes the time that it is meant to take."""
    return make_password(PASSWORD)


def put_on(workspace: Workspace, plan: str, *, now: datetime | None = None, days: int = 365) -> None:
    now = now or datetime.now(UTC)
    subscription = Subscription.objects.with_plans().get(workspace=workspace)
    chosen = Plan.objects.get(slug=plan)
    lifecycle.comp(subscription, plan=chosen, until=now + timedelta(days=days), reason="Test", actor=None, now=now)


def join(workspace: Workspace, user: User, role: Role) -> Membership:
    return Membership.objects.create(workspace=workspace, user=user, role=role, created_at=datetime.now(UTC))
