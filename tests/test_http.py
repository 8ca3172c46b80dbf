"""What every answer keeps to, whoever makes it: shapes of errors, headers, limits, CORS, policies."""

import json
import logging
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client
from pytest_django import Settings as SettingsWrapper
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import User
from sessions_app.models import Session
from tests.people import Person

NOT_FOUND = b'{"detail":"There is nothing at this address.","code":"not_found"}'
LIMIT = 1024 * 1024
ORIGIN = "http://localhost:3000"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def plain() -> Client:
    """Sees a failure as a browser would: as an answer, and not as an exception."""
    return Client(raise_request_exception=False)


# Errors


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "path",
    ["/api/", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/sessions", "/api/v1/sessions/", "/api/v1/sessions/1"],
)
def test_an_unknown_path_under_api_is_json(path: str, debug: bool, plain: Client, settings: SettingsWrapper) -> None:
    settings.DEBUG = debug
    for method in ("get", "post", "delete"):
        answer = getattr(plain, method)(path)
        assert (answer.status_code, answer["Content-Type"], answer.content) == (404, "application/json", NOT_FOUND)


def test_an_unknown_page_is_no_json(plain: Client) -> None:
    answer = plain.get("/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("host", ["evil.example.com", "localhost:port", "a b", "testserver@evil.example.com"])
def test_a_host_that_is_not_ours_is_refused_in_plain_words(
    host: str, debug: bool, plain: Client, settings: SettingsWrapper
) -> None:
    settings.DEBUG = debug
    answer = plain.get("/api/v1/billing/plans", HTTP_HOST=host)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert answer.json() == {"detail": "The request could not be understood.", "code": "bad_request"}
    answer = plain.get("/", HTTP_HOST=host)
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/plain")


def test_a_method_that_is_not_there_is_405_and_says_which_are(bob: Person) -> None:
    answer = bob.client.put("/api/v1/auth/me", {"fullname": "Robert"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, PATCH, HEAD, OPTIONS"
    assert User.objects.get(pk=bob.user.pk).fullname == "Bob"


# Bodies


def login(body: bytes | str, content_type: str = "application/json") -> Any:
    return APIClient().post("/api/v1/auth/login", body, content_type=content_type)


def raw(body: bytes, **environ: Any) -> tuple[int, dict[str, Any]]:
    """A POST to /auth/login at the WSGI interface, where Content-Length may lie or be missing."""
    answered: list[str] = []
    environment = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/auth/login",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.url_scheme": "http",
        **environ,
    }
    content = b"".join(WSGIHandler()(environment, lambda status, *_: answered.append(status)))  # type: ignore[arg-type]
    return int(answered[0][:3]), json.loads(content)


# As gunicorn hands it on: without a length, the stream ends by itself.
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
TOO_LARGE = json.dumps({"email": "e" * LIMIT, "password": "p"}).encode()


@pytest.mark.django_db
def test_a_body_over_the_limit_is_refused_and_the_limit_named() -> None:
    answer = login(TOO_LARGE)
    assert answer.status_code == 413
    assert answer.json() == {
        "detail": "The body is larger than 1,048,576 bytes, the most that is taken here.",
        "code": "too_large",
        "limit": LIMIT,
    }


@pytest.mark.django_db
def test_the_largest_body_is_read() -> None:
    body = json.dumps({"email": "e", "password": "p"})
    assert login(body + " " * (LIMIT - len(body))).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    "environ",
    [
        CHUNKED,
        {"CONTENT_LENGTH": str(len(TOO_LARGE))},
        {"CONTENT_LENGTH": str(10**12)},
    ],
)
def test_a_body_over_the_limit_is_refused_however_it_is_announced(environ: dict[str, Any]) -> None:
    status, body = raw(TOO_LARGE, **environ)
    assert (status, body["code"], body["limit"]) == (413, "too_large", LIMIT)


class Broken(BytesIO):
    """A connection that ends in the middle of a body."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("The other side is gone.")


@pytest.mark.django_db(transaction=True)
def test_a_chunked_body_is_read() -> None:
    assert raw(b'{"email": "e", "password": "p"}', **CHUNKED)[0] == 401


@pytest.mark.django_db
@pytest.mark.parametrize("environ", [CHUNKED, {"CONTENT_LENGTH": "100"}])
def test_a_body_that_breaks_off_is_no_fault_of_ours(environ: dict[str, Any]) -> None:
    status, body = raw(b"", **environ, **{"wsgi.input": Broken()})
    assert (status, body["code"]) == (400, "bad_request")


@pytest.mark.django_db
def test_a_chunked_body_over_the_limit_is_refused_also_where_none_is_read() -> None:
    status, body = raw(TOO_LARGE, **CHUNKED, PATH_INFO="/healthz")
    assert (status, body["code"], body["limit"]) == (413, "too_large", LIMIT)


@pytest.mark.django_db
@pytest.mark.parametrize("length", ["10", "0", "-1", "many", ""])
def test_a_length_that_lies_low_reads_no_more_than_it_says(length: str) -> None:
    status, body = raw(TOO_LARGE, CONTENT_LENGTH=length)
    assert (status, body["code"]) in ((400, "parse_error"), (400, "invalid"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
def test_a_body_that_is_not_json_is_415(content_type: str) -> None:
    answer = login(b'{"email": "e", "password": "p"}', content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'email': 1}",
        b'{"email": NaN, "password": "p"}',
        b"\xff\xfe",
        b'{"email": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 5000,
    ],
    ids=range(9),
)
def test_a_body_that_cannot_be_read_is_400(body: bytes) -> None:
    answer = login(body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert answer.json()["code"] in ("parse_error", "invalid")


@pytest.mark.parametrize("body", ["[]", '["email"]', '"text"', "1", "true", "null", "1.5e3", "[[]]"])
@pytest.mark.parametrize("path", ["/sessions", "/agent/execute", "/auth/login", "/auth/change-password"])
def test_a_body_that_is_no_object_is_400(path: str, body: str, bob: Person) -> None:
    for headers in ({}, {"Idempotency-Key": "k-1"}):
        answer = bob.client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not Session.objects.exists()


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000b", "\\ud800", "a\\udfffb", "\\udc00\\ud800"])
@pytest.mark.parametrize(
    ("path", "field"), [("/sessions", "title"), ("/sessions", "prompt"), ("/agent/execute", "prompt")]
)
def test_text_that_the_database_cannot_hold_is_400(path: str, field: str, text: str, bob: Person) -> None:
    for headers in ({}, {"Idempotency-Key": "k-1"}):
        body = f'{{"{field}": "{text}"}}'
        answer = bob.client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Session.objects.exists()


@pytest.mark.parametrize("query", ["status=%00", "status=%ff", "cursor=%00", "limit=%00", "status=%ED%A0%80"])
def test_a_query_that_the_database_cannot_hold_is_no_500(query: str, bob: Person) -> None:
    assert bob.get(f"/sessions?{query}").status_code in (200, 400)


# X-Request-ID


PATHS = ["/", "/healthz", "/api/v1/billing/plans", "/api/v1/auth/me", "/api/v1/nothing", "/nothing", "/admin/login/"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_a_request_id_of_its_own(path: str, plain: Client) -> None:
    first, second = plain.get(path)["X-Request-ID"], plain.get(path)["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second


@pytest.mark.parametrize("given", ["4bf92f3577b34da6", "a.b-c_D.12345", "x" * 64])
def test_a_callers_own_request_id_is_kept(given: str, plain: Client) -> None:
    assert plain.get("/", headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["short", "x" * 65, "<script>alert()", "a b c d e f", "line\nbreak", "ünïcödé-1"])
def test_a_hostile_request_id_is_replaced(given: str, plain: Client) -> None:
    found = plain.get("/", headers={"X-Request-ID": given})["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", found)


# Faults


@pytest.mark.django_db
def test_an_unexpected_fault_is_a_500_that_tells_nothing_and_is_logged(
    plain: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_plan RENAME COLUMN description TO elsewhere")
    answer = plain.get("/api/v1/billing/plans")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/json")
    assert answer.json() == {
        "detail": "Something failed on our side; nothing was changed. "
        "Try again, and name the X-Request-ID if it stays.",
        "code": "server_error",
    }
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-ID"])
    # Once: Django's own log of failed requests has nothing to add.
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "accounts.errors"
    assert record.exc_info
    assert "billing_plan.description" in str(record.exc_info[1])


def test_a_refusal_is_no_error_in_the_log(bob: Person, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        assert bob.post("/sessions").status_code == 201
    refused = [bob.post("/sessions")]
    assert bob.post("/billing/activate-trial").status_code == 200
    # A deployment without Stripe is none either, however often somebody clicks.
    refused += [bob.post("/billing/activate-trial"), bob.post("/billing/cancel")]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (402, "quota_exceeded"),
        (409, "trial_already_used"),
        (503, "billing_not_configured"),
    ]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture
def without_database(bob: Person, settings: SettingsWrapper) -> Iterator[Person]:
    """Bob, signed in, and then nothing listens where the database was."""
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = 1
    yield bob
    connection.settings_dict["PORT"] = port
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path"), [("get", "/auth/me"), ("post", "/sessions"), ("get", "/billing/plans")])
def test_with_the_database_gone_nothing_is_granted(
    method: str, path: str, without_database: Person, caplog: pytest.LogCaptureFixture
) -> None:
    answer = getattr(without_database, method)(path)
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json() == {
        "detail": "The database cannot be reached just now; nothing was done. Try again in a moment.",
        "code": "database_unavailable",
    }
    assert any(record.name == "accounts.errors" for record in caplog.records)


@pytest.mark.django_db(transaction=True)
def test_with_the_database_gone_the_process_lives_and_is_not_ready(without_database: Person, plain: Client) -> None:
    assert plain.get("/healthz").json() == {"status": "ok"}
    answer = plain.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "missing": "database"})


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_ended_is_opened_again(bob: Person) -> None:
    assert bob.get("/auth/me").status_code == 200
    connection.ensure_connection()
    assert connection.connection is not None
    connection.connection.close()
    assert bob.get("/auth/me").status_code == 200


@pytest.mark.django_db
def test_ready_with_database_migrations_and_queue(plain: Client) -> None:
    answer = plain.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE procrastinate_jobs RENAME TO elsewhere")
    assert plain.get("/readyz").status_code == 503


def test_the_root_says_what_this_is(plain: Client, settings: SettingsWrapper) -> None:
    assert plain.get("/").json() == {"status": "ok", "service": "ai-manus", "version": settings.VERSION}


# CORS


def allowed(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def preflight(client: Client, path: str, **headers: str) -> Any:
    return client.options(path, headers=PREFLIGHT | headers)


def test_a_preflight_is_neither_authenticated_nor_metered(bob: Person, plain: Client) -> None:
    asked = "authorization, content-type, idempotency-key, x-workspace"
    answer = preflight(plain, "/api/v1/sessions", **{"Access-Control-Request-Headers": asked})
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert set(asked.split(", ")) <= set(answer["Access-Control-Allow-Headers"].lower().split(", "))
    assert {"GET", "POST", "PATCH", "PUT", "DELETE"} <= set(answer["Access-Control-Allow-Methods"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answer
    assert "X-Quota-Limit" not in answer
    assert bob.get("/billing/subscription").json()["monthly_agent_runs"] == 0


def test_answers_to_a_listed_origin_show_our_headers(bob: Person) -> None:
    answer = bob.post("/sessions", {}, Origin=ORIGIN)
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert set(answer["Access-Control-Expose-Headers"].split(", ")) == {
        "X-Quota-Limit",
        "X-Quota-Remaining",
        "X-Quota-Reset",
        "Idempotent-Replayed",
        "X-Request-ID",
        "Retry-After",
    }
    assert "Access-Control-Allow-Credentials" not in answer
    assert "origin" in answer["Vary"].lower()


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost:3000.evil.example.com",
        "null",
        "http://localhost",
    ],
)
def test_another_origin_is_allowed_nothing(origin: str, bob: Person, plain: Client) -> None:
    for answer in (preflight(plain, "/api/v1/sessions", Origin=origin), bob.get("/sessions", Origin=origin)):
        assert not allowed(answer)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/healthz", "/admin/", "/admin/login/", "/api/v1/billing/webhook", "/nothing"])
def test_outside_the_api_and_on_the_webhook_no_origin_is_allowed(path: str, plain: Client) -> None:
    for answer in (preflight(plain, path), plain.get(path, headers={"Origin": ORIGIN})):
        assert not allowed(answer)


# Policies


def policy(answer: Any) -> dict[str, str]:
    pairs = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in pairs}


STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    # A form of ours leads on to Checkout and the portal, which some browsers hold to this.
    "form-action": "'self' https://checkout.stripe.com https://billing.stripe.com https://invoice.stripe.com",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/nothing", "/api/v1/billing/plans", "/api/v1/nothing", "/api/v1/schema"]
)
def test_the_content_policy_is_strict(path: str, plain: Client) -> None:
    assert policy(plain.get(path)) == STRICT


def test_the_docs_may_style_inline_and_load_nothing_from_elsewhere(plain: Client) -> None:
    answer = plain.get("/api/v1/docs")
    assert answer["Content-Type"].startswith("text/html")
    assert policy(answer) == STRICT | {"style-src": "'self' 'unsafe-inline'"}
    page = answer.content.decode()
    assert re.findall(r'(?:src|href)="(?!/|data:)([^"]*)"', page) == []
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", page)
    for path in re.findall(r'src="(/api/[^"]*)"', page):
        assert plain.get(path).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1/billing/plans", "/api/v1/auth/me", "/admin/login/"])
def test_every_answer_has_the_headers_of_a_careful_site(path: str, plain: Client) -> None:
    answer = plain.get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_answers_with_somebodys_data_are_not_kept_by_caches(bob: Person, plain: Client) -> None:
    assert bob.get("/auth/me")["Cache-Control"] == "no-store"
    issued = tokens.sign_in(bob.user)
    body = {"refresh_token": issued.refresh_token}
    assert plain.post("/api/v1/auth/refresh", body, content_type="application/json")["Cache-Control"] == "no-store"
