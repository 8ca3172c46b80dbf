"""Products and prices."""

from tests.fake_stripe.errors import StripeError, invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

TEXTS = ("description", "statement_descriptor", "unit_label", "url", "tax_code")


@answers("POST", "/v1/products")
def create(world: World, params: Params) -> Object:
    id = params.string("id") or new_id("prod", 14)
    if world.store.find("product", id) is not None:
        raise StripeError(400, "Product already exists.", code="resource_already_exists", param="id")
    product = new_product(world, id, params.needed("name"))
    _change(world, product, params)
    world.announce("product.created", product)
    price = params.nested("default_price_data")
    if price is not None:
        product["default_price"] = _new_price(world, price, id)["id"]
        world.announce("product.updated", product)
    return product


def new_product(world: World, id: str, name: str) -> Object:
    return world.store.add(
        {
            "id": id,
            "object": "product",
            "active": True,
            "created": world.now,
            "default_price": None,
            "description": None,
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": {},
            "name": name,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "unit_label": None,
            "updated": world.now,
            "url": None,
        }
    )


@answers("GET", "/v1/products")
def list_all(world: World, params: Params) -> Object:
    ids = params.strings("ids")
    return page_of(
        *(world.store, "product", params, "/v1/products", "active", "url"),
        wanted=lambda each: ids is None or each["id"] in ids,
    )


@answers("GET", "/v1/products/{product}")
def retrieve(world: World, params: Params, product: str) -> Object:
    return world.store.get("product", product)


@answers("POST", "/v1/products/{product}")
def update(world: World, params: Params, product: str) -> Object:
    found = world.store.get("product", product)
    _change(world, found, params)
    if "default_price" in params:
        found["default_price"] = world.store.named("price", params.needed("default_price"), "default_price")["id"]
    found["updated"] = world.now
    world.announce("product.updated", found)
    return found


@answers("DELETE", "/v1/products/{product}")
def delete(world: World, params: Params, product: str) -> Object:
    found = world.store.get("product", product)
    if any(world.store.all("price", product=product)):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    world.store.remove(found)
    world.announce("product.deleted", found)
    return {"id": product, "object": "product", "deleted": True}


@answers("GET", "/v1/products/{product}/features")
def features(world: World, params: Params, product: str) -> Object:
    world.store.get("product", product)
    return page([], params, f"/v1/products/{product}/features")


@answers("POST", "/v1/prices")
def create_price(world: World, params: Params) -> Object:
    inline = params.nested("product_data")
    if inline is not None:
        made = new_product(world, inline.string("id") or new_id("prod", 14), inline.needed("name"))
        _change(world, made, inline)
        world.announce("product.created", made)
        return _new_price(world, params, made["id"])
    return _new_price(world, params, params.needed("product"))


@answers("GET", "/v1/prices")
def list_prices(world: World, params: Params) -> Object:
    keys = params.strings("lookup_keys")
    recurring = params.nested("recurring")
    terms: dict[str, str | None] = {}
    if recurring is not None:
        terms = {name: recurring.string(name) for name in ("interval", "usage_type") if name in recurring}

    def is_wanted(price: Object) -> bool:
        has_terms = recurring is None or bool(price["recurring"])
        is_on_terms = has_terms and all(price["recurring"][name] == value for name, value in terms.items())
        return is_on_terms and (keys is None or price["lookup_key"] in keys)

    names = ("active", "currency", "product", "type")
    return page_of(world.store, "price", params, "/v1/prices", *names, wanted=is_wanted)


@answers("GET", "/v1/prices/{price}")
def retrieve_price(world: World, params: Params, price: str) -> Object:
    return world.store.get("price", price)


@answers("POST", "/v1/prices/{price}")
def update_price(world: World, params: Params, price: str) -> Object:
    found = world.store.get("price", price)
    active = params.boolean("active")
    found["active"] = found["active"] if active is None else active
    if "nickname" in params:
        found["nickname"] = params.string("nickname")
    found["tax_behavior"] = params.string("tax_behavior") or found["tax_behavior"]
    found["metadata"] = params.metadata(found["metadata"])
    if "lookup_key" in params:
        _give_key(world, found, params.string("lookup_key"), is_moved=params.boolean("transfer_lookup_key") is True)
    world.announce("price.updated", found)
    return found


def _new_price(world: World, params: Params, product: str) -> Object:
    recurring = params.nested("recurring")
    amount, decimal = params.integer("unit_amount"), params.string("unit_amount_decimal")
    if amount is None and decimal is None:
        raise invalid("You must specify either `unit_amount` or `unit_amount_decimal`.", param="unit_amount")
    if decimal is not None and not decimal.isdecimal():
        raise invalid("This stand-in takes whole minor units only.", param="unit_amount_decimal")
    params.choice("billing_scheme", "per_unit")
    active = params.boolean("active")
    price = world.store.add(
        {
            "id": new_id("price"),
            "object": "price",
            "active": active is not False,
            "billing_scheme": "per_unit",
            "created": world.now,
            "currency": params.needed("currency").lower(),
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": params.string("nickname"),
            "product": world.store.named("product", product, "product")["id"],
            "recurring": recurring and _recurring(recurring),
            "tax_behavior": params.string("tax_behavior") or "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": int(decimal) if amount is None and decimal else amount,
            "unit_amount_decimal": decimal or str(amount),
        }
    )
    price["metadata"] = params.metadata(price["metadata"])
    key, is_moved = params.string("lookup_key"), params.boolean("transfer_lookup_key")
    if key is not None:
        _give_key(world, price, key, is_moved=is_moved is True)
    world.announce("price.created", price)
    return price


def _recurring(params: Params) -> Object:
    count = params.integer("interval_count")
    params.choice("usage_type", "licensed")
    interval = params.choice("interval", "day", "week", "month", "year")
    if interval is None:
        raise invalid("Missing required param: recurring[interval].", param="recurring[interval]")
    return {
        "interval": interval,
        "interval_count": 1 if count is None else count,
        "meter": None,
        "usage_type": "licensed",
    }


def _give_key(world: World, price: Object, key: str | None, *, is_moved: bool) -> None:
    """A lookup key belongs to one active price; it is taken from another only when the request says so."""
    for holder in world.store.where("price", lookup_key=key) if key else []:
        if holder["id"] == price["id"]:
            continue
        if not is_moved:
            raise invalid(
                f"A price (`{holder['id']}`) already uses that lookup key. You may use `transfer_lookup_key=true`"
                " to transfer the lookup key from that price.",
                param="lookup_key",
            )
        holder["lookup_key"] = None
        world.announce("price.updated", holder)
    price["lookup_key"] = key


def _change(world: World, product: Object, params: Params) -> None:
    for name in ("name", *TEXTS):
        if name in params:
            product[name] = params.string(name)
    active, shippable = params.boolean("active"), params.boolean("shippable")
    product["active"] = product["active"] if active is None else active
    product["shippable"] = product["shippable"] if shippable is None else shippable
    if "images" in params:
        product["images"] = params.strings("images") or []
    if "marketing_features" in params:
        product["marketing_features"] = [
            {"name": each.needed("name")} for each in params.each("marketing_features") or []
        ]
    product["metadata"] = params.metadata(product["metadata"])
