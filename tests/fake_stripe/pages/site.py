"""Which page answers which path."""

from dataclasses import dataclass, field

from tests.fake_stripe.world import World


@dataclass(frozen=True)
class Page:
    status: int
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer(world: World, method: str, path: str, query: str, encoded: str) -> Page:
    return Page(404, b"Not found")
