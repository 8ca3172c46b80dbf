"""Which function answers which method and path; the modules of `resources` fill the table when they are imported."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.fake_stripe.forms import Params
from tests.fake_stripe.objects import Object
from tests.fake_stripe.world import World

Handler = Callable[..., Object]


@dataclass(frozen=True)
class Endpoint:
    method: str
    pattern: re.Pattern[str]
    handler: Handler


ENDPOINTS: list[Endpoint] = []


def answers(method: str, path: str) -> Callable[[Handler], Handler]:
    """`path` has names in braces; the handler is called with the world, the parameters and what stands there."""

    def register(handler: Handler) -> Handler:
        pattern = re.compile("".join(_segment(part) for part in re.split(r"(\{\w+\})", path)))
        ENDPOINTS.append(Endpoint(method, pattern, handler))
        return handler

    return register


def _segment(part: str) -> str:
    return rf"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)


def find(method: str, path: str) -> Callable[[World, Params], Object] | None:
    """The most literal path wins: /v1/invoices/create_preview before /v1/invoices/{invoice}."""
    found = [
        (endpoint, match)
        for endpoint in ENDPOINTS
        if endpoint.method == method and (match := endpoint.pattern.fullmatch(path))
    ]
    if not found:
        return None
    endpoint, match = min(found, key=lambda each: len(each[1].groupdict()))
    return partial(endpoint.handler, **match.groupdict())
