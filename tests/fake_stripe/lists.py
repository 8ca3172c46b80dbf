"""Pages of a list: newest first, by cursor, filtered as Stripe filters."""

from collections.abc import Iterable
from typing import Any

from tests.fake_stripe.errors import invalid, missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.objects import Object, listing

MOST = 100


def page(objects: Iterable[Object], params: Params, url: str) -> Object:
    """`objects` oldest first, as the store has them."""
    limit = params.integer("limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= MOST:
        raise invalid(f"This value must be between 1 and {MOST}.", param="limit")
    after, before = params.string("starting_after"), params.string("ending_before")
    if after and before:
        raise invalid("You can only use one of starting_after and ending_before.", param="ending_before")
    wanted = list(reversed([obj for obj in objects if _is_within(params, obj)]))
    if after:
        wanted = wanted[_position(wanted, after, "starting_after") + 1 :]
    if before:
        wanted = wanted[: _position(wanted, before, "ending_before")]
        return listing(wanted[-limit:], url, has_more=len(wanted) > limit)
    return listing(wanted[:limit], url, has_more=len(wanted) > limit)


def matching(objects: Iterable[Object], params: Params, *names: str) -> list[Object]:
    """Those whose fields are what the parameters of the same names say, where they are given."""
    wanted = {name: value for name in names if (value := params.string(name)) is not None}
    return [obj for obj in objects if all(_text(obj.get(name)) == value for name, value in wanted.items())]


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _is_within(params: Params, obj: Object) -> bool:
    """`created`, as an instant or as `created[gte]` and its like."""
    if isinstance(params.form.get("created"), str):
        return _made(obj) == params.integer("created")
    bounds = params.nested("created")
    if bounds is None:
        return True
    made = _made(obj)
    low, above = bounds.integer("gte"), bounds.integer("gt")
    high, below = bounds.integer("lte"), bounds.integer("lt")
    return (
        (low is None or made >= low)
        and (above is None or made > above)
        and (high is None or made <= high)
        and (below is None or made < below)
    )


def _made(obj: Object) -> int:
    """An invoice item calls it `date`."""
    return int(obj["date"] if obj["object"] == "invoiceitem" else obj["created"])


def _position(objects: list[Object], id: str, param: str) -> int:
    for position, obj in enumerate(objects):
        if obj["id"] == id:
            return position
    raise missing("object", id, param=param, status=400)
