"""The OpenAPI description is true: whatever is sent, every answer is one that it describes."""

from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from pytest_django import Settings as SettingsWrapper
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts import links, tokens
from accounts.models import Workspace
from tests.accounts.second_factors import authenticator, code_of
from tests.billing.stripe.payer import Payer
from tests.people import PASSWORD, Person

DESCRIPTION = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
API = schemathesis.openapi.from_dict(DESCRIPTION)
API.app = get_wsgi_application()
API.config.update(base_url="http://testserver")
API.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FOUND: list[Any] = [result.ok() for result in API.get_all_operations()]  # type: ignore[union-attr]
AT_STRIPE = {
    "create_checkout_session",
    "create_portal_session",
    "preview_change",
    "change_plan",
    "cancel",
    "resume",
    "list_invoices",
}
OPERATIONS = {operation.definition.raw["operationId"]: operation for operation in FOUND}


@pytest.fixture(autouse=True)
def unlimited(settings: SettingsWrapper) -> None:
    """The guards would answer most of what is sent here with 429; tests/accounts/test_guards.py is about them."""
    settings.RATE_LIMITS = False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_is_sent_is_answered_as_described(name: str, alice: Person, request: pytest.FixtureRequest) -> None:
    if name in AT_STRIPE:
        request.getfixturevalue("shop")
    session_id = alice.post("/sessions", {"prompt": "Write a haiku"}).json()["id"]

    @hypothesis.given(case=OPERATIONS[name].as_strategy(), is_there=st.booleans())
    @hypothesis.settings(
        max_examples=20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any, is_there: bool) -> None:
        if is_there:
            case.headers["X-Workspace"] = str(alice.workspace.pk)
            if case.path_parameters:
                case.path_parameters["session_id"] = session_id
        # What was sent before may have ended the sign-in.
        alice.user.refresh_from_db()
        case.headers["Authorization"] = f"Bearer {tokens.sign_in(alice.user).access_token}"
        case.call_and_validate(checks=CHECKS)

    send()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_sound_request_succeeds_as_described(name: str, bob: Person, request: pytest.FixtureRequest) -> None:
    """So that the test above cannot pass by being refused everywhere."""
    if name in AT_STRIPE:
        payer = Payer(bob, request.getfixturevalue("shop"), request.getfixturevalue("stripe_client"))
        if name in ("change_plan", "cancel", "resume", "list_invoices"):
            payer.buy("basic")
        if name == "resume":
            assert payer.post("cancel").status_code == 200
    status, wanted = sound_request(name, bob)
    answer = send_as(bob, name, **wanted)
    assert answer.status_code == status, answer.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "body"), [("create_session", {}), ("execute", {"prompt": "One more"})])
def test_a_spent_quota_is_answered_as_described(name: str, body: dict[str, str], bob: Person) -> None:
    for _ in range(10):
        assert bob.post("/sessions", {}).status_code == 201
    assert send_as(bob, name, body=body).status_code == 402
    assert len(bob.get("/sessions").json()["results"]) == 10


@pytest.mark.django_db(transaction=True)
def test_too_many_guesses_are_answered_as_described(bob: Person, settings: SettingsWrapper) -> None:
    settings.RATE_LIMITS = True
    body = {"email": bob.user.email, "password": "not the password"}
    statuses = [send_as(bob, "login", body=body).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


@pytest.mark.django_db(transaction=True)
def test_the_second_factor_is_asked_for_as_described(bob: Person) -> None:
    secret = authenticator(bob.user)
    body = {"email": bob.user.email, "password": PASSWORD}
    answers = [send_as(bob, "login", body=body | otp) for otp in ({}, {"otp": "x"}, {"otp": code_of(secret)})]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert [answer.json()["code"] for answer in answers[:2]] == ["mfa_required"] * 2


@pytest.mark.django_db(transaction=True)
def test_a_suspended_workspace_is_answered_as_described(bob: Person) -> None:
    Workspace.objects.filter(pk=bob.workspace.pk).update(suspended_at=datetime.now(UTC))
    assert send_as(bob, "create_session", body={}).status_code == 403
    assert send_as(bob, "activate_trial").status_code == 403
    assert bob.get("/sessions").json()["results"] == []


def send_as(person: Person, name: str, **request: Any) -> Any:
    case = OPERATIONS[name].Case(**request, media_type="application/json" if "body" in request else None)
    case.headers["Authorization"] = f"Bearer {tokens.sign_in(person.user).access_token}"
    return case.call_and_validate(checks=CHECKS)


def sound_request(name: str, person: Person) -> tuple[int, dict[str, Any]]:
    """The status of success, and what leads to it."""
    uid, token = links.reset_link(person.user).split("/")[-2].split("-", 1)
    session = {"session_id": person.post("/sessions", {}).json()["id"]}
    refresh_token = tokens.sign_in(person.user).refresh_token
    new_password = "a rather different phrase"
    requests: dict[str, tuple[int, dict[str, Any]]] = {
        "register": (201, {"body": {"fullname": "Zoe", "email": "zoe@example.com", "password": new_password}}),
        "login": (200, {"body": {"email": person.user.email, "password": PASSWORD}}),
        "refresh": (200, {"body": {"refresh_token": refresh_token}}),
        "logout": (204, {"body": {"refresh_token": refresh_token}}),
        "logout_all": (204, {}),
        "verify_email": (204, {"body": {"key": links.verification_key(person.user)}}),
        "resend_verification": (204, {}),
        "get_me": (200, {}),
        "update_me": (200, {"body": {"fullname": "Robert"}}),
        "change_password": (204, {"body": {"old_password": PASSWORD, "new_password": new_password}}),
        "password_reset": (204, {"body": {"email": person.user.email}}),
        "confirm_password_reset": (204, {"body": {"uid": uid, "token": token, "new_password": new_password}}),
        "list_plans": (200, {}),
        "get_subscription": (200, {}),
        "activate_trial": (200, {}),
        "create_checkout_session": (200, {"body": {"plan": "pro"}}),
        "create_portal_session": (200, {"body": {"return_url": "http://localhost:3000/plan"}}),
        "preview_change": (200, {"body": {"plan": "pro"}}),
        "change_plan": (200, {"body": {"plan": "pro"}}),
        "cancel": (200, {"body": {"reason": "Too dear"}}),
        "resume": (200, {}),
        "list_invoices": (200, {"query": {"limit": 1}}),
        "get_usage": (200, {"query": {"from": "2026-01-01", "to": "2026-02-01"}}),
        "list_ledger": (200, {"query": {"limit": 1}}),
        "list_sessions": (200, {"query": {"limit": 1}}),
        "create_session": (201, {"body": {"prompt": "Write a haiku"}}),
        "get_session": (200, {"path_parameters": session}),
        "delete_session": (204, {"path_parameters": session}),
        "stop_session": (200, {"path_parameters": session}),
        "get_events": (200, {"path_parameters": session}),
        "execute": (202, {"body": {"prompt": "Write a haiku", **session}}),
    }
    return requests[name]
