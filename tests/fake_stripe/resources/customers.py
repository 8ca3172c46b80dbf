"""Customers."""

from tests.fake_stripe.billing import methods, standing
from tests.fake_stripe.billing.customers import new_customer
from tests.fake_stripe.billing.methods import NO_ADDRESS
from tests.fake_stripe.errors import invalid, missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page, page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import has_ended
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

TEXTS = ("description", "email", "name", "phone")


@answers("POST", "/v1/customers")
def create(world: World, params: Params) -> Object:
    customer = new_customer(world, email=params.string("email"), name=params.string("name"))
    method = params.string("payment_method")
    _change(world, customer, params)
    world.announce("customer.created", customer)
    if method is not None:
        methods.attach(world, methods.resolve(world, method), customer)
    return customer


@answers("GET", "/v1/customers")
def list_all(world: World, params: Params) -> Object:
    return page_of(
        *(world.store, "customer", params, "/v1/customers", "email"),
        wanted=lambda customer: not customer.get("_is_deleted"),
    )


@answers("GET", "/v1/customers/{customer}")
def retrieve(world: World, params: Params, customer: str) -> Object:
    found = world.store.get("customer", customer)
    return _deleted(found) if found.get("_is_deleted") else found


@answers("POST", "/v1/customers/{customer}")
def update(world: World, params: Params, customer: str) -> Object:
    found = present(world, customer)
    _change(world, found, params)
    world.announce("customer.updated", found)
    return found


@answers("DELETE", "/v1/customers/{customer}")
def delete(world: World, params: Params, customer: str) -> Object:
    """Its subscriptions end with it; what is left answers `deleted`."""
    found = present(world, customer)
    for subscription in world.store.where("subscription", customer=customer):
        if not has_ended(subscription):
            standing.cancel(world, subscription, reason="cancellation_requested")
    for session in world.store.where("checkout.session", customer=customer, status="open"):
        session |= {"status": "expired", "url": None}
    world.announce("customer.deleted", found)
    found["_is_deleted"] = True
    return _deleted(found)


@answers("GET", "/v1/customers/{customer}/payment_methods")
def payment_methods(world: World, params: Params, customer: str) -> Object:
    present(world, customer)
    params.choice("type", "card")
    params.without_effect("allow_redisplay")
    url = f"/v1/customers/{customer}/payment_methods"
    return page_of(world.store, "payment_method", params, url, customer=customer)


@answers("GET", "/v1/customers/{customer}/payment_methods/{method}")
def payment_method(world: World, params: Params, customer: str, method: str) -> Object:
    found = world.store.get("payment_method", method)
    if found["customer"] != customer:
        raise missing("payment_method", method)
    return found


@answers("GET", "/v1/customers/{customer}/tax_ids")
def tax_ids(world: World, params: Params, customer: str) -> Object:
    return page([], params, f"/v1/customers/{customer}/tax_ids")


@answers("DELETE", "/v1/customers/{customer}/discount")
def remove_discount(world: World, params: Params, customer: str) -> Object:
    found = present(world, customer)
    discount = world.store.find("discount", found["discount"])
    if discount is None:
        raise missing("discount", customer)
    found["discount"] = None
    world.announce("customer.discount.deleted", discount)
    return {
        name: discount[name]
        for name in (
            "checkout_session",
            "customer",
            "customer_account",
            "id",
            "invoice",
            "invoice_item",
            "object",
            "promotion_code",
            "source",
            "start",
            "subscription",
            "subscription_item",
        )
    } | {"deleted": True}


def present(world: World, id: str, param: str = "id") -> Object:
    """Raises resource_missing where it was deleted too."""
    found = world.store.get("customer", id, param=param)
    if found.get("_is_deleted"):
        raise missing("customer", id, param=param)
    return found


def named(world: World, id: str, param: str = "customer") -> Object:
    """As a parameter."""
    found = world.store.named("customer", id, param)
    if found.get("_is_deleted"):
        raise missing("customer", id, param=param, status=400)
    return found


def _change(world: World, customer: Object, params: Params) -> None:
    for name in TEXTS:
        if name in params:
            customer[name] = params.string(name)
    if "address" in params:
        customer["address"] = _address(params.nested("address"))
    if "shipping" in params:
        shipping = params.nested("shipping")
        customer["shipping"] = shipping and {
            "address": _address(shipping.nested("address")),
            "name": shipping.needed("name"),
            "phone": shipping.string("phone"),
        }
    if "preferred_locales" in params:
        customer["preferred_locales"] = params.strings("preferred_locales") or []
    exempt = params.choice("tax_exempt", "none", "exempt", "reverse")
    customer["tax_exempt"] = exempt or customer["tax_exempt"]
    balance = params.integer("balance")
    customer["balance"] = customer["balance"] if balance is None else balance
    prefix = params.string("invoice_prefix")
    customer["invoice_prefix"] = prefix or customer["invoice_prefix"]
    params.without_effect("tax")
    customer["metadata"] = params.metadata(customer["metadata"])
    settings = params.nested("invoice_settings")
    if settings is not None:
        if "default_payment_method" in settings:
            method = settings.string("default_payment_method")
            name = "invoice_settings[default_payment_method]"
            default = methods.of_customer(world, customer["id"], method, name)["id"] if method else None
            customer["invoice_settings"]["default_payment_method"] = default
        if "footer" in settings:
            customer["invoice_settings"]["footer"] = settings.string("footer")
    if customer["email"] is not None and "@" not in customer["email"]:
        raise invalid(f"Invalid email address: {customer['email']}", param="email", code="email_invalid")


def _address(given: Params | None) -> Object | None:
    return None if given is None else {name: given.string(name) for name in NO_ADDRESS}


def _deleted(customer: Object) -> Object:
    return {"id": customer["id"], "object": "customer", "deleted": True}
