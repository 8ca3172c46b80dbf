"""Payment methods: cards."""

from tests.fake_stripe.billing import cards, methods
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.resources import customers
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/payment_methods")
def create(world: World, params: Params) -> Object:
    params.choice("type", "card")
    card = params.nested("card")
    if card is None:
        raise invalid("Missing required param: card.", param="card")
    token = card.string("token")
    chosen = cards.by_name(token) if token else cards.by_number(card.needed("number"))
    card.without_effect("cvc")
    method = methods.make(world, chosen, month=card.integer("exp_month") or 12, year=card.integer("exp_year") or 2034)
    _change(method, params)
    return method


@answers("GET", "/v1/payment_methods")
def list_all(world: World, params: Params) -> Object:
    customer = params.needed("customer")
    customers.named(world, customer)
    params.choice("type", "card")
    return page_of(world.store, "payment_method", params, "/v1/payment_methods", customer=customer)


@answers("GET", "/v1/payment_methods/{method}")
def retrieve(world: World, params: Params, method: str) -> Object:
    with world.store.transaction():
        return methods.resolve(world, method, "id")


@answers("POST", "/v1/payment_methods/{method}")
def update(world: World, params: Params, method: str) -> Object:
    found = world.store.get("payment_method", method)
    card = params.nested("card")
    if card is not None:
        found["card"]["exp_month"] = card.integer("exp_month") or found["card"]["exp_month"]
        found["card"]["exp_year"] = card.integer("exp_year") or found["card"]["exp_year"]
    _change(found, params)
    world.announce("payment_method.updated", found)
    return found


@answers("POST", "/v1/payment_methods/{method}/attach")
def attach(world: World, params: Params, method: str) -> Object:
    customer = customers.named(world, params.needed("customer"))
    found = methods.resolve(world, method, "id")
    methods.attach(world, found, customer)
    return found


@answers("POST", "/v1/payment_methods/{method}/detach")
def detach(world: World, params: Params, method: str) -> Object:
    found = world.store.get("payment_method", method)
    methods.detach(world, found)
    return found


def _change(method: Object, params: Params) -> None:
    billing = params.nested("billing_details")
    if billing is not None:
        for name in ("email", "name", "phone"):
            if name in billing:
                method["billing_details"][name] = billing.string(name)
        address = billing.nested("address")
        if address is not None:
            method["billing_details"]["address"] = {name: address.string(name) for name in methods.NO_ADDRESS}
    method["allow_redisplay"] = params.string("allow_redisplay") or method["allow_redisplay"]
    method["metadata"] = params.metadata(method["metadata"])
