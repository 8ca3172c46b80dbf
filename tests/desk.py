"""The browser of a member of staff, and the forms that they send from it."""

import time
from typing import Any

from allauth.account.internal.userkit import user_id_to_str
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.idempotency import once_token
from accounts.models import User, Workspace
from billing import roles
from billing.proofs import PROOFS
from tests.people import Person, person


def employ(role: str, *, is_fresh: bool = True) -> "Desk":
    """Somebody of that role, signed in, and lately by password where `is_fresh`."""
    somebody = person(f"{role.lower()}@staff.example", is_email_verified=True)
    roles.appoint(somebody.user, role)
    return Desk(somebody, is_fresh=is_fresh)


class Desk:
    def __init__(self, somebody: Person, *, is_fresh: bool = True) -> None:
        self.person, self.user = somebody, User.objects.get(pk=somebody.user.pk)
        self.client = Client()
        self.client.force_login(self.user)
        if is_fresh:
            # As allauth notes it when a password was right.
            session = self.client.session
            session["account_authentication_methods"] = [
                {"method": "password", "at": time.time(), "reauthenticated": True}
            ]
            session["account_authentication_methods_user"] = user_id_to_str(self.user)
            session.save()

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query)

    def act(self, name: str, target: Workspace | User, *, token: str = "", **fields: Any) -> Any:
        """The act's form, sent once; a reason is given where the test gives none."""
        form = {"reason": "A test of it", "once": token or once_token(), **fields}
        return self.client.post(where(name, target), form)

    def page_of(self, target: Workspace | User) -> str:
        answer = self.client.get(page(target))
        assert answer.status_code == 200
        return str(answer.content.decode())


def off() -> list[str]:
    """What the proofs of the books find, within a test's own transaction."""
    found = []
    with connection.cursor() as cursor:
        for proof in PROOFS:
            cursor.execute(proof.sql)
            found += [f"{proof.name}: {row}" for row in cursor.fetchall()]
    return found


def where(name: str, target: Workspace | User) -> str:
    return reverse("admin:act", args=[name, target.pk])


def page(target: Workspace | User) -> str:
    table = "workspace" if isinstance(target, Workspace) else "user"
    return reverse(f"admin:accounts_{table}_change", args=[target.pk])
