"""Parameters: nested form keys decoded, read by type, and every one of them read or refused."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from tests.fake_stripe.errors import StripeError, invalid, required, unknown_parameter

PART = re.compile(r"\[([^\[\]]*)\]")

#: A decoded form: strings, and dicts and lists of them.
Form = dict[str, Any]


def decode(encoded: str) -> Form:
    """`items[0][price]=a&expand[]=b` to `{"items": [{"price": "a"}], "expand": ["b"]}`."""
    root: Form = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        name, bracket, _ = key.partition("[")
        parts = [name, *(PART.findall(key[len(name) :]) if bracket else [])]
        place = root
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            part = str(len(place)) if part == "" else part
            if following is None:
                place[part] = value
            else:
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise invalid("Invalid form: a parameter is both a value and an object.", param=name)
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(child) for name, child in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


class Params:
    """Reads a form by type. What was never asked for is refused at the end, so that nothing is silently ignored.

    `in` and the readers take a name; each reader answers None where the parameter is absent. An
    empty string, which is how Stripe unsets a value, is told by `is_cleared`.
    """

    def __init__(self, form: Form, path: str = "") -> None:
        self.form = form
        self.path = path
        self._read: set[str] = set()
        self._children: list[Params] = []

    def __contains__(self, name: str) -> bool:
        return name in self.form

    def name(self, name: str) -> str:
        return f"{self.path}[{name}]" if self.path else name

    def raw(self, name: str) -> Any:
        self._read.add(name)
        return self.form.get(name)

    def without_effect(self, *names: str) -> None:
        """Parameters that a payment network would care for and a stand-in need not."""
        self._read.update(names)

    def is_cleared(self, name: str) -> bool:
        return bool(self.raw(name) == "")

    def string(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise invalid(f"Invalid string: {json.dumps(value)}", param=self.name(name))
        return value or None

    def needed(self, name: str) -> str:
        value = self.string(name)
        if value is None:
            raise required(self.name(name))
        return value

    def choice(self, name: str, *allowed: str) -> str | None:
        value = self.string(name)
        if value is not None and value not in allowed:
            raise invalid(f"Invalid {self.name(name)}: must be one of {', '.join(allowed)}", param=self.name(name))
        return value

    def integer(self, name: str) -> int | None:
        value = self.string(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,15}", value):
            message = f"Invalid integer: {value}"
            raise StripeError(400, message, code="parameter_invalid_integer", param=self.name(name))
        return int(value)

    def instant(self, name: str, *, now: int) -> int | None:
        """Unix seconds, or the word `now`."""
        return now if self.raw(name) == "now" else self.integer(name)

    def boolean(self, name: str) -> bool | None:
        value = self.string(name)
        if value not in (None, "true", "false"):
            raise invalid(f"Invalid boolean: {value}", param=self.name(name))
        return None if value is None else value == "true"

    def strings(self, name: str) -> list[str] | None:
        value = self.raw(name)
        if value is None or value == "":
            return None if value is None else []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid("Invalid array", param=self.name(name))
        return value

    def mapping(self, name: str) -> dict[str, str] | None:
        """Such as metadata: any keys, string values."""
        value = self.raw(name)
        if value is None:
            return None
        if value == "":
            return {}
        if isinstance(value, list):
            value = {str(index): item for index, item in enumerate(value)}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise invalid("Invalid object", param=self.name(name))
        return value

    def metadata(self, kept: dict[str, str] | None = None) -> dict[str, str]:
        """What was kept with what is given merged into it; an empty string takes all of it away."""
        if self.is_cleared("metadata"):
            return {}
        return merge_metadata(kept or {}, self.mapping("metadata") or {})

    def nested(self, name: str) -> "Params | None":
        value = self.raw(name)
        if value is None or value == "":
            return None
        return self._child(value, self.name(name))

    def each(self, name: str) -> "list[Params] | None":
        value = self.raw(name)
        if value is None:
            return None
        if value == "":
            return []
        if not isinstance(value, list):
            raise invalid("Invalid array", param=self.name(name))
        return [self._child(item, f"{self.name(name)}[{index}]") for index, item in enumerate(value)]

    def _child(self, value: Any, path: str) -> "Params":
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=path)
        child = Params(value, path)
        self._children.append(child)
        return child

    def unread(self) -> Iterator[str]:
        for name in self.form:
            if name not in self._read:
                yield self.name(name)
        for child in self._children:
            yield from child.unread()

    def refuse_the_unread(self) -> None:
        for name in self.unread():
            raise unknown_parameter(name)


def merge_metadata(kept: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """Keys are added and replaced; an empty value takes one away."""
    return {name: value for name, value in (kept | given).items() if value != ""}
