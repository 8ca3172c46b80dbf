"""Webhook endpoints."""

from tests.fake_stripe import API_VERSION
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/webhook_endpoints")
def create(world: World, params: Params) -> Object:
    """The only answer that has the secret."""
    secret = new_id("whsec", 32)
    endpoint = world.store.add(
        {
            "id": new_id("we"),
            "object": "webhook_endpoint",
            "api_version": params.string("api_version") or API_VERSION,
            "application": None,
            "created": world.now,
            "description": None,
            "enabled_events": params.strings("enabled_events") or [],
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": params.needed("url"),
            "_secret": secret,
        }
    )
    _change(endpoint, params)
    return endpoint | {"secret": secret}


@answers("GET", "/v1/webhook_endpoints")
def list_all(world: World, params: Params) -> Object:
    return page_of(world.store, "webhook_endpoint", params, "/v1/webhook_endpoints")


@answers("GET", "/v1/webhook_endpoints/{endpoint}")
def retrieve(world: World, params: Params, endpoint: str) -> Object:
    return world.store.get("webhook_endpoint", endpoint)


@answers("POST", "/v1/webhook_endpoints/{endpoint}")
def update(world: World, params: Params, endpoint: str) -> Object:
    found = world.store.get("webhook_endpoint", endpoint)
    _change(found, params)
    return found


@answers("DELETE", "/v1/webhook_endpoints/{endpoint}")
def delete(world: World, params: Params, endpoint: str) -> Object:
    world.store.remove(world.store.get("webhook_endpoint", endpoint))
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}


def _change(endpoint: Object, params: Params) -> None:
    if "description" in params:
        endpoint["description"] = params.string("description")
    endpoint["url"] = params.string("url") or endpoint["url"]
    endpoint["enabled_events"] = params.strings("enabled_events") or endpoint["enabled_events"]
    disabled = params.boolean("disabled")
    if disabled is not None:
        endpoint["status"] = "disabled" if disabled else "enabled"
    endpoint["metadata"] = params.metadata(endpoint["metadata"])
