"""Which page answers which path, and the headers that all of them have."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tests.fake_stripe.billing import due
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.pages import checkout, invoice, portal
from tests.fake_stripe.pages.html import Html, fill, frame
from tests.fake_stripe.pages.view import Go, Shown, View
from tests.fake_stripe.world import World

STYLE = Path(__file__).with_name("style.css").read_bytes()
#: Pages that change something answer POST; after it the browser is sent on, so that reloading repeats nothing.
VIEWS: tuple[tuple[str, View], ...] = (
    (r"/c/pay/(cs_test_\w+)", checkout.view),
    (r"/c/pay/(cs_test_\w+)/authenticate", checkout.authenticate),
    (r"/p/session/(bps_\w+)", portal.view),
    (r"/p/session/(bps_\w+)/(change|cancellation)", portal.review),
    (r"/p/session/(bps_\w+)/(plan|cancel|resume|card)", portal.act),
    (r"/i/(in_\w+)(?:/pdf)?", invoice.view),
    (r"/i/(in_\w+)/authenticate", invoice.authenticate),
)


@dataclass(frozen=True)
class Page:
    status: int
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer(world: World, method: str, path: str, query: str, encoded: str) -> Page:
    if path == "/assets/style.css":
        return Page(200, STYLE, {"Content-Type": "text/css; charset=utf-8"})
    for pattern, view in VIEWS:
        match = re.fullmatch(pattern, path)
        if match:
            form = dict(parse_qsl(encoded if method == "POST" else query, keep_blank_values=True))
            return _answer(world, view, method, form, match.groups())
    return _page(Shown(404, frame("Not found", _apology("There is no such page."))))


def _answer(world: World, view: View, method: str, form: dict[str, str], parts: tuple[str, ...]) -> Page:
    with world.lock:
        due.catch_up(world)
        try:
            with world.store.transaction():
                shown = view(world, method == "POST", form, *parts)
        except StripeError as error:
            shown = Shown(error.status, frame("Not found", _apology(str(error))))
    if isinstance(shown, Go):
        return Page(303, b"", _headers(shown.reaches) | {"Location": shown.url})
    return _page(shown)


def _page(shown: Shown) -> Page:
    headers = _headers(shown.reaches) | {"Content-Type": "text/html; charset=utf-8"}
    return Page(shown.status, shown.html.encode(), headers)


def _headers(reaches: tuple[str | None, ...]) -> dict[str, str]:
    """Browsers hold a form's redirects against `form-action`, so it names where a payment leads back to."""
    origins = {f"{parts.scheme}://{parts.netloc}" for url in reaches if url and (parts := urlsplit(url)).netloc}
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "form-action": " ".join(["'self'", *sorted(origins)]),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _apology(sentence: str) -> Html:
    return fill(
        '<main class="sheet narrow"><div class="card"><h1>Not here</h1><p>{sentence}</p></div></main>',
        sentence=sentence,
    )
