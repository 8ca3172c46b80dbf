"""Events, for thirty days."""

from tests.fake_stripe.billing.due import EVENTS_KEPT
from tests.fake_stripe.errors import missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("GET", "/v1/events")
def list_all(world: World, params: Params) -> Object:
    oldest = world.now - EVENTS_KEPT
    types = params.strings("types")
    delivered = params.boolean("delivery_success")

    def is_wanted(event: Object) -> bool:
        is_of_types = types is None or event["type"] in types
        is_as_delivered = delivered is None or _is_delivered(world, event) == delivered
        return event["created"] >= oldest and is_of_types and is_as_delivered

    return page_of(world.store, "event", params, "/v1/events", "type", wanted=is_wanted)


@answers("GET", "/v1/events/{event}")
def retrieve(world: World, params: Params, event: str) -> Object:
    return world.store.get("event", event)


@answers("POST", "/v1/events/{event}/retry")
def retry(world: World, params: Params, event: str) -> Object:
    """Delivered once more, as Stripe's command-line tool asks for."""
    found = world.store.get("event", event)
    wanted = params.string("webhook_endpoint")
    endpoints = [each for each in world.store.all("webhook_endpoint") if wanted in (None, each["id"])]
    if not endpoints:
        raise missing("webhook_endpoint", str(wanted), param="webhook_endpoint", status=400)
    for endpoint in endpoints:
        world.schedule_delivery(found, endpoint)
    return found


def _is_delivered(world: World, event: Object) -> bool:
    return all(each["state"] == "delivered" for each in world.store.all("_delivery", event=event["id"]))
