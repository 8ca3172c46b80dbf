"""The OpenAPI description: how operations are named, and what each may answer beside its success."""

import re
from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.permissions import SAFE_METHODS

from accounts.roles import EVERYONE, MAY, RoleAllows, WorkspaceIsOpen

TAGS = {"auth": "Accounts", "billing": "Billing", "sessions": "Sessions", "agent": "Sessions"}
# A view of one method is named for what it does; of several, each method has its verb.
VERBS = {"GET": "get", "POST": "create", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}

REFUSALS = {
    400: "The request is malformed, or a field, parameter or header of it is not valid.",
    401: "There is no token, or it is not valid; or the credentials are wrong.",
    402: "The plan does not allow it, or a payment did not go through and nothing was changed.",
    403: "The role in this workspace does not allow it, or the workspace is suspended.",
    404: "It is not there, or is another workspace's: the two answers are alike.",
    409: "It conflicts with the present state; `code` says how.",
    413: "The body is too large; `limit` is the most, in bytes.",
    415: "The body is not JSON.",
    429: "Too many requests or tries; wait as long as `Retry-After` says.",
    502: "The payment service refused; nothing was charged or changed.",
    503: "The database, or the payment service, cannot be reached or is not set up; nothing was done.",
}

ERROR = {
    "type": "object",
    "description": "A sentence for a person, a word for a machine, and what the case needs.",
    "required": ["detail", "code"],
    "properties": {
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "object",
            "description": "What is wrong with which field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "additionalProperties": {},
}
NOT_IN_PLAN = {
    "type": "object",
    "required": ["detail", "code", "subscription", "upgrade_url"],
    "properties": {
        "detail": {"type": "string"},
        "code": {
            "type": "string",
            "enum": [
                "quota_exceeded",
                "concurrency_exceeded",
                "feature_not_in_plan",
                "storage_exceeded",
                "seats_exceeded",
            ],
        },
        "subscription": {
            "type": "object",
            "required": ["plan", "status", "monthly_runs", "monthly_runs_limit", "resets_at"],
            "properties": {
                "plan": {"type": "string"},
                "status": {"type": "string"},
                "monthly_runs": {"type": "integer", "minimum": 0},
                "monthly_runs_limit": {"type": "integer", "minimum": 0, "nullable": True},
                "resets_at": {"type": "string", "format": "date-time"},
            },
        },
        "upgrade_url": {"type": "string", "format": "uri"},
    },
    "additionalProperties": {},
}

RUNS = {"type": "string", "pattern": "^([0-9]+|unlimited)$"}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "Names this request in our logs.", "required": True, "schema": {"type": "string"}},
    "X-Quota-Limit": {"description": "Runs a period, or `unlimited`.", "required": True, "schema": RUNS},
    "X-Quota-Remaining": {"description": "Runs that can still be started.", "required": True, "schema": RUNS},
    "X-Quota-Reset": {
        "description": "When the period ends, in Unix seconds.",
        "required": True,
        "schema": {"type": "integer"},
    },
    "Idempotent-Replayed": {
        "description": "The answer to an earlier request with this Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
}
QUOTA_HEADERS = ("X-Quota-Limit", "X-Quota-Remaining", "X-Quota-Reset")

WORKSPACE_PARAMETER = {
    "name": "X-Workspace",
    "in": "header",
    "description": "A workspace that the user belongs to; without it, the personal one.",
    "schema": {"type": "string", "format": "uuid"},
}
KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gives the same answer, and does its work once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}


class Schema(AutoSchema):
    """Reads from a view what it may answer: its authentication, permissions, `quota`, `act` and `refusals`."""

    def get_operation(self, *args: Any) -> Any:
        operation = super().get_operation(*args)
        # drf-spectacular leaves out what is empty; said in full, `[]` is: needs no token.
        return operation and {**operation, "security": operation.get("security", [])}

    def get_operation_id(self) -> str:
        name = type(self.view).__name__.removesuffix("View").removesuffix("Detail")
        noun = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        if self.method == "GET":
            return f"list_{noun}" if self._is_list_view() else f"get_{noun}"
        if [method for method in VERBS if hasattr(self.view, method.lower())] == ["POST"]:
            return noun
        return f"{VERBS[self.method]}_{noun.removesuffix('s')}"

    def get_tags(self) -> list[str]:
        return [TAGS[self._tokenize_path()[0]]]

    def _get_parameters(self) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super()._get_parameters()
        if self._is_signed_in():
            parameters.append(WORKSPACE_PARAMETER)
        if self._is_idempotent():
            parameters.append(KEY_PARAMETER)
        return parameters

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        answers: dict[str, Any] = super()._get_response_bodies(direction)
        for answer in answers.values():
            answer["headers"] = self._headers(
                *QUOTA_HEADERS if self._is_metered() else (),
                *["Idempotent-Replayed"] if self._is_idempotent() else (),
            )
        for status in sorted(set(self._refusals())):
            answers[str(status)] = self._refusal(status)
        return answers

    def _refusals(self) -> Iterator[int]:
        yield from getattr(self.view, "refusals", ())
        yield 503
        has_body = self._get_request_body() is not None  # type: ignore[no-untyped-call]
        if has_body or self._is_idempotent():
            yield from (400, 413, 415)
        if any(parameter["in"] == "query" for parameter in self._get_parameters()):
            yield 400
        if self._is_signed_in():
            # 404 is what X-Workspace answers for a workspace that is not the user's.
            yield from (401, 404, 429)
        if self._is_metered():
            yield 402
        if self._may_forbid():
            yield 403
        if self._is_idempotent():
            yield 409

    def _refusal(self, status: int) -> dict[str, Any]:
        more: dict[int, tuple[str, ...]] = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
        schema: tuple[str, dict[str, Any]] = ("Error", ERROR)
        if status == 402 and self._is_metered():
            schema, more[402] = ("NotInPlan", NOT_IN_PLAN), QUOTA_HEADERS
        shape = self._component("schemas", *schema)
        return {
            "description": REFUSALS[status],
            "headers": self._headers(*more.get(status, ())),
            "content": {"application/json": {"schema": shape}},
        }

    def _headers(self, *names: str) -> dict[str, Any]:
        return {name: self._component("headers", name, HEADERS[name]) for name in ("X-Request-ID", *names)}

    def _component(self, kind: str, name: str, schema: dict[str, Any]) -> dict[str, str]:
        component = ResolvedComponent(name, kind, schema, object=name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        reference: dict[str, str] = component.ref
        return reference

    def _is_signed_in(self) -> bool:
        return bool(self.view.get_authenticators())

    def _is_idempotent(self) -> bool:
        return hasattr(getattr(self.view, self.method.lower()), "is_idempotent")

    def _is_metered(self) -> bool:
        return hasattr(self.view, "quota") and self.method not in SAFE_METHODS

    def _may_forbid(self) -> bool:
        classes = self.view.permission_classes
        if WorkspaceIsOpen in classes and self.method not in SAFE_METHODS:
            return True
        return RoleAllows in classes and MAY[getattr(self.view, "act")] != EVERYONE  # noqa: B009  (APIView has none)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
