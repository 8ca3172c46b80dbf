"""Who may do what: every endpoint, by everybody, and a refusal changes nothing.

The endpoints come from the URL configuration, so that one without a row here fails.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import Workspace
from tests.fake_stripe.running import StandIn
from tests.people import PASSWORD, Person

type Endpoint = tuple[str, str]

METHODS = ("get", "post", "put", "patch", "delete")
SESSION_ID = "<uuid:session_id>"
CAST = ("nobody", "stranger", "member", "admin", "owner")


@dataclass(frozen=True)
class Row:
    """The statuses that the cast gets, in the team's workspace; `body` is a sound one for success."""

    nobody: int
    stranger: int
    member: int
    admin: int
    owner: int
    body: dict[str, str] | None = None


def public(status: int, body: dict[str, str] | None = None) -> Row:
    """No token is read at all, so all are nobody."""
    return Row(status, status, status, status, status, body)


def signed_in(*, member: int, admin: int, owner: int, body: dict[str, str] | None = None) -> Row:
    return Row(401, 404, member, admin, owner, body)


NO_SUCH_TOKEN = {"refresh_token": "none"}
NEW_PASSWORD = "a rather different phrase"

# The sessions that are named in paths and bodies are the owner's.
TABLE: dict[Endpoint, Row] = {
    ("post", "auth/register"): public(201, {"fullname": "Zoe", "email": "zoe@example.com", "password": NEW_PASSWORD}),
    ("post", "auth/login"): public(401, {"email": "zoe@example.com", "password": NEW_PASSWORD}),
    ("post", "auth/refresh"): public(401, NO_SUCH_TOKEN),
    ("post", "auth/logout"): public(401, NO_SUCH_TOKEN),
    ("post", "auth/logout-all"): signed_in(member=204, admin=204, owner=204),
    ("post", "auth/verify-email"): public(400, {"key": "none"}),
    ("post", "auth/verify-email/resend"): signed_in(member=204, admin=204, owner=204),
    ("get", "auth/me"): signed_in(member=200, admin=200, owner=200),
    ("patch", "auth/me"): signed_in(member=200, admin=200, owner=200, body={"fullname": "Somebody Else"}),
    ("post", "auth/change-password"): signed_in(
        member=204,
        admin=204,
        owner=204,
        body={"old_password": PASSWORD, "new_password": NEW_PASSWORD},
    ),
    ("post", "auth/password-reset"): public(204, {"email": "zoe@example.com"}),
    ("post", "auth/password-reset/confirm"): public(
        400, {"uid": "0" * 32, "token": "none", "new_password": NEW_PASSWORD}
    ),
    ("get", "billing/plans"): public(200),
    ("get", "billing/subscription"): signed_in(member=200, admin=200, owner=200),
    ("post", "billing/activate-trial"): signed_in(member=403, admin=403, owner=200),
    ("post", "billing/create-checkout-session"): signed_in(member=403, admin=403, owner=200, body={"plan": "pro"}),
    ("post", "billing/create-portal-session"): signed_in(member=403, admin=403, owner=200),
    ("post", "billing/preview-change"): signed_in(member=403, admin=403, owner=200, body={"plan": "pro"}),
    # The team has nothing to change yet.
    ("post", "billing/change-plan"): signed_in(member=403, admin=403, owner=409, body={"plan": "pro"}),
    ("post", "billing/cancel"): signed_in(member=403, admin=403, owner=409),
    ("post", "billing/resume"): signed_in(member=403, admin=403, owner=409),
    # Proven by its signature; without a secret nothing is.
    ("post", "billing/webhook"): public(503),
    ("get", "billing/invoices"): signed_in(member=403, admin=200, owner=200),
    ("get", "billing/usage"): signed_in(member=200, admin=200, owner=200),
    ("get", "billing/ledger"): signed_in(member=403, admin=200, owner=200),
    ("post", "sessions"): signed_in(member=201, admin=201, owner=201, body={"title": "One more"}),
    ("get", "sessions"): signed_in(member=200, admin=200, owner=200),
    ("get", "sessions/<uuid:session_id>"): signed_in(member=200, admin=200, owner=200),
    ("delete", "sessions/<uuid:session_id>"): signed_in(member=403, admin=204, owner=204),
    ("post", "sessions/<uuid:session_id>/stop"): signed_in(member=403, admin=200, owner=200),
    ("get", "sessions/<uuid:session_id>/events"): signed_in(member=200, admin=200, owner=200),
    ("post", "agent/execute"): signed_in(
        member=403, admin=202, owner=202, body={"session_id": SESSION_ID, "prompt": "Go on"}
    ),
    ("get", "schema"): public(200),
    ("get", "docs"): public(200),
}
BILLING_ACTS = [endpoint for endpoint, row in TABLE.items() if row.admin == 403 and row.owner in (200, 409)]
NAMING_A_SESSION = [
    endpoint for endpoint, row in TABLE.items() if SESSION_ID in endpoint[1] or "session_id" in (row.body or {})
]


def endpoints(resolver: Any, prefix: str = "") -> Iterator[Endpoint]:
    """Every method of every view under /api/v1/."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from endpoints(pattern, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/v1/"):
            view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
            methods = [method for method in METHODS if hasattr(view, method)] if view else ["any"]
            yield from ((method, route.removeprefix("api/v1/")) for method in methods)


def test_every_endpoint_has_its_row() -> None:
    assert set(endpoints(get_resolver())) == set(TABLE)


@dataclass
class Cast:
    """Everybody, each naming the team's workspace, also the stranger; and a session of the owner's."""

    clients: dict[str, APIClient]
    team: Workspace
    session_id: str

    def ask(self, who: str, endpoint: Endpoint, *, session_id: str | None = None) -> Any:
        method, route = endpoint
        named = session_id or self.session_id
        body = TABLE[endpoint].body
        if body and "session_id" in body:
            body = body | {"session_id": named}
        path = f"/api/v1/{route.replace(SESSION_ID, named)}"
        return getattr(self.clients[who], method)(path, *[body] if method != "get" else [], format="json")

    def is_refused(self, who: str, endpoint: Endpoint, status: int, code: str | None = None, **named: str) -> Any:
        """Asserts it, and that nothing changed; returns the answer."""
        before = rows()
        answer = self.ask(who, endpoint, **named)
        assert answer.status_code == status, answer.content
        assert code is None or answer.json()["code"] == code
        assert rows() == before
        return answer


@pytest.fixture
def cast(shop: StandIn, charlie: Person, mike: Person, dana: Person, tara: Person) -> Cast:
    session_id = str(tara.post("/sessions", {"title": "Of the owner"}).json()["id"])
    people = {"stranger": charlie.into(tara.workspace), "member": mike, "admin": dana, "owner": tara}
    clients = {"nobody": APIClient()} | {name: person.client for name, person in people.items()}
    return Cast(clients, tara.workspace, session_id)


@pytest.fixture
def each(subtests: pytest.Subtests) -> Callable[..., Any]:
    """`with each(endpoint=..., who=...):` a case by itself, whose writes are taken back at its end."""

    @contextmanager
    def case(**names: Any) -> Iterator[None]:
        with subtests.test(**names), transaction.atomic():
            yield
            transaction.set_rollback(True)

    return case


def rows() -> dict[str, str]:
    """A digest of every table: what a refused request must leave as it was."""
    with connection.cursor() as cursor:
        # A refusal may be counted by a guard against guessing.
        tables = set(connection.introspection.table_names(cursor)) - {"accounts_attempt"}
        digest = "SELECT '{0}', md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{0}\" t"
        cursor.execute(" UNION ALL ".join(digest.format(table) for table in tables))
        return dict(cursor.fetchall())


def test_everybody_gets_what_the_role_matrix_says(cast: Cast, each: Callable[..., Any]) -> None:
    for endpoint, row in TABLE.items():
        for who in CAST:
            with each(endpoint=endpoint, who=who):
                match getattr(row, who):
                    case 403:
                        cast.is_refused(who, endpoint, 403, "role_required")
                    case status if status >= 400:
                        cast.is_refused(who, endpoint, status)
                    case status:
                        assert cast.ask(who, endpoint).status_code == status


def test_a_suspended_workspace_is_read_and_not_written(cast: Cast, each: Callable[..., Any]) -> None:
    Workspace.objects.filter(pk=cast.team.pk).update(suspended_at=datetime.now(UTC))
    for endpoint, row in TABLE.items():
        with each(endpoint=endpoint):
            method, route = endpoint
            # One's own account is no part of the workspace, and Stripe is nobody in it.
            if method == "get" or route.startswith(("auth/", "billing/webhook")):
                assert cast.ask("owner", endpoint).status_code == row.owner
            else:
                cast.is_refused("member", endpoint, 403)
                cast.is_refused("owner", endpoint, 403, "workspace_suspended")


def test_an_admin_bills_where_the_owner_allows_it(cast: Cast, each: Callable[..., Any]) -> None:
    Workspace.objects.filter(pk=cast.team.pk).update(may_admins_bill=True)
    for endpoint in BILLING_ACTS:
        with each(endpoint=endpoint):
            cast.is_refused("member", endpoint, 403, "role_required")
            assert cast.ask("admin", endpoint).status_code == TABLE[endpoint].owner


def test_a_foreign_id_answers_as_a_missing_one_to_the_byte(
    cast: Cast, charlie: Person, each: Callable[..., Any]
) -> None:
    cast.clients["stranger"] = charlie.client
    for endpoint in NAMING_A_SESSION:
        with each(endpoint=endpoint):
            foreign = cast.is_refused("stranger", endpoint, 404)
            missing = cast.is_refused("stranger", endpoint, 404, session_id=str(uuid.uuid4()))
            assert foreign.content == missing.content
            assert set(foreign.headers.items()) ^ set(missing.headers.items()) == {
                ("X-Request-ID", foreign["X-Request-ID"]),
                ("X-Request-ID", missing["X-Request-ID"]),
            }


def test_a_workspace_that_is_foreign_unknown_or_malformed_answers_alike(
    cast: Cast, charlie: Person, each: Callable[..., Any]
) -> None:
    own = str(charlie.workspace.pk)
    token = f"Bearer {tokens.sign_in(charlie.user).access_token}"
    named = [
        str(cast.team.pk),
        str(uuid.uuid4()),
        "the-team",
        "",
        own.replace("-", ""),
        f"{{{own}}}",
        f"urn:uuid:{own}",
    ]
    for endpoint in (endpoint for endpoint, row in TABLE.items() if row.stranger == 404):
        for workspace in named:
            with each(endpoint=endpoint, workspace=workspace):
                cast.clients["stranger"].credentials(HTTP_AUTHORIZATION=token, HTTP_X_WORKSPACE=workspace)
                answer = cast.is_refused("stranger", endpoint, 404)
                assert answer.content == b'{"detail":"There is nothing at this address.","code":"not_found"}'


def test_a_member_acts_on_sessions_of_their_own(mike: Person, dana: Person) -> None:
    session_id = mike.post("/sessions", {}).json()["id"]
    assert mike.post("/agent/execute", {"session_id": session_id, "prompt": "Go"}).status_code == 202
    assert mike.post(f"/sessions/{session_id}/stop").status_code == 200
    assert dana.get(f"/sessions/{session_id}").status_code == 200
    assert mike.delete(f"/sessions/{session_id}").status_code == 204


def test_removal_from_a_workspace_acts_at_once(mike: Person, team: Workspace, cast: Cast) -> None:
    assert mike.get("/sessions").status_code == 200
    mike.user.membership_set.filter(workspace=team).delete()
    cast.is_refused("member", ("get", "sessions"), 404)
    cast.is_refused("member", ("post", "sessions"), 404)
