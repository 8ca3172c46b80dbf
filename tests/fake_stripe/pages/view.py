"""What a page's function is given and answers."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.fake_stripe.pages.html import Html


@dataclass(frozen=True)
class Shown:
    """`reaches` are the addresses outside that its forms may lead to."""

    status: int
    html: Html
    reaches: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Go:
    """To another page."""

    url: str
    reaches: tuple[str | None, ...] = ()


#: Called with the world, whether something was posted, the form or query, and the parts of the path.
View = Callable[..., Shown | Go]
