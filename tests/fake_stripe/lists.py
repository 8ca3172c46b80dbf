"""Pages of a list: newest first, by cursor, filtered as Stripe filters."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from tests.fake_stripe.errors import invalid, missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.objects import Object, listing
from tests.fake_stripe.store import INDEXED, Store

MOST = 100
Wanted = Callable[[Object], bool]


def page(objects: Iterable[Object], params: Params, url: str) -> Object:
    """Of what another object holds: `objects` oldest first."""
    limit, after, before = _place(params)
    wanted = list(reversed(list(objects)))
    if after:
        wanted = wanted[_position(wanted, after, "starting_after") + 1 :]
    if before:
        wanted = wanted[: _position(wanted, before, "ending_before")]
        return listing(wanted[-limit:], url, has_more=len(wanted) > limit)
    return listing(wanted[:limit], url, has_more=len(wanted) > limit)


def page_of(
    store: Store, kind: str, params: Params, url: str, *names: str, wanted: Wanted | None = None, **fields: Any
) -> Object:
    """Of the store, reading no further than the page goes.

    Those whose fields are what the parameters of the same `names` say, where they are given, and `fields`.
    """
    limit, after, before = _place(params)
    for cursor, name in ((after, "starting_after"), (before, "ending_before")):
        if cursor and store.kind_of(cursor) != kind:
            raise missing(kind, cursor, param=name, status=400)
    asked = {name: value for name in names if (value := params.string(name)) is not None}
    fields |= {name: value for name, value in asked.items() if name in INDEXED}
    is_within = _span(params)
    objects = store.following(kind, before, **fields) if before else store.newest(kind, after=after, **fields)
    found = (
        obj
        for obj in objects
        if all(_text(obj.get(name)) == value for name, value in asked.items())
        and is_within(obj)
        and (wanted is None or wanted(obj))
    )
    data = list(islice(found, limit + 1))
    has_more = len(data) > limit
    data = data[:limit]
    return listing(data[::-1] if before else data, url, has_more=has_more)


def _place(params: Params) -> tuple[int, str | None, str | None]:
    """`limit`, and the cursor after or before which the page lies."""
    limit = params.integer("limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= MOST:
        raise invalid(f"This value must be between 1 and {MOST}.", param="limit")
    after, before = params.string("starting_after"), params.string("ending_before")
    if after and before:
        raise invalid("You can only use one of starting_after and ending_before.", param="ending_before")
    return limit, after, before


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _span(params: Params) -> Wanted:
    """`created`, as an instant or as `created[gte]` and its like."""
    if isinstance(params.form.get("created"), str):
        instant = params.integer("created")
        return lambda obj: _made(obj) == instant
    bounds = params.nested("created")
    if bounds is None:
        return lambda _obj: True
    low, above = bounds.integer("gte"), bounds.integer("gt")
    high, below = bounds.integer("lte"), bounds.integer("lt")
    return lambda obj: (
        (low is None or _made(obj) >= low)
        and (above is None or _made(obj) > above)
        and (high is None or _made(obj) <= high)
        and (below is None or _made(obj) < below)
    )


def _made(obj: Object) -> int:
    """An invoice item calls it `date`."""
    return int(obj["date"] if obj["object"] == "invoiceitem" else obj["created"])


def _position(objects: list[Object], id: str, param: str) -> int:
    for position, obj in enumerate(objects):
        if obj["id"] == id:
            return position
    raise missing("object", id, param=param, status=400)
