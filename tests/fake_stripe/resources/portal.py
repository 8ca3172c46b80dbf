"""Portal sessions and the configurations that say what they allow."""

from tests.fake_stripe.errors import invalid, required
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.resources import customers
from tests.fake_stripe.resources.subscriptions import PRORATIONS
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World

REASONS = [
    "too_expensive",
    "missing_features",
    "switched_service",
    "unused",
    "customer_service",
    "too_complex",
    "low_quality",
    "other",
]
FLOWS = ("payment_method_update", "subscription_cancel", "subscription_update", "subscription_update_confirm")


@answers("POST", "/v1/billing_portal/configurations")
def create_configuration(world: World, params: Params) -> Object:
    return _new(world, params, is_default=False)


@answers("GET", "/v1/billing_portal/configurations")
def list_configurations(world: World, params: Params) -> Object:
    kind, url = "billing_portal.configuration", "/v1/billing_portal/configurations"
    return page_of(world.store, kind, params, url, "active", "is_default")


@answers("GET", "/v1/billing_portal/configurations/{configuration}")
def retrieve_configuration(world: World, params: Params, configuration: str) -> Object:
    return world.store.get("billing_portal.configuration", configuration)


@answers("POST", "/v1/billing_portal/configurations/{configuration}")
def update_configuration(world: World, params: Params, configuration: str) -> Object:
    found = world.store.get("billing_portal.configuration", configuration)
    _change(world, found, params)
    found["updated"] = world.now
    world.announce("billing_portal.configuration.updated", found)
    return found


@answers("POST", "/v1/billing_portal/sessions")
def create_session(world: World, params: Params) -> Object:
    customer = customers.named(world, params.needed("customer"))
    configuration = params.string("configuration")
    if configuration is not None:
        chosen = world.store.named("billing_portal.configuration", configuration, "configuration")
        if not chosen["active"]:
            raise invalid("This configuration is not active.", param="configuration")
    else:
        defaults = world.store.where("billing_portal.configuration", is_default=True)
        chosen = defaults[0] if defaults else _new(world, Params({}), is_default=True)
    id = new_id("bps")
    session = world.store.add(
        {
            "id": id,
            "object": "billing_portal.session",
            "configuration": chosen["id"],
            "created": world.now,
            "customer": customer["id"],
            "customer_account": None,
            "flow": _flow(world, params.nested("flow_data"), customer["id"]),
            "livemode": False,
            "locale": params.string("locale"),
            "on_behalf_of": None,
            "return_url": params.string("return_url") or chosen["default_return_url"],
            "url": f"{world.settings.base_url}/p/session/{id}",
        }
    )
    world.announce("billing_portal.session.created", session)
    return session


def _new(world: World, params: Params, *, is_default: bool) -> Object:
    made: Object = {
        "id": new_id("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": world.now,
        "default_return_url": None,
        "features": {
            "customer_update": {"allowed_updates": [], "enabled": False},
            "invoice_history": {"enabled": is_default},
            "payment_method_update": {"enabled": is_default, "payment_method_configuration": None},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "options": REASONS},
                "enabled": is_default,
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_update": {
                "billing_cycle_anchor": "unchanged",
                "default_allowed_updates": [],
                "enabled": False,
                "products": None,
                "proration_behavior": "none",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        "is_default": is_default,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "name": None,
        "updated": world.now,
    }
    world.store.add(made)
    _change(world, made, params)
    world.announce("billing_portal.configuration.created", made)
    return made


def _change(world: World, made: Object, params: Params) -> None:
    for name in ("default_return_url", "name"):
        if name in params:
            made[name] = params.string(name)
    active = params.boolean("active")
    made["active"] = made["active"] if active is None else active
    made["metadata"] = params.metadata(made["metadata"])
    profile = params.nested("business_profile")
    for name in made["business_profile"]:
        if profile is not None and name in profile:
            made["business_profile"][name] = profile.string(name)
    login = params.nested("login_page")
    if login is not None and login.boolean("enabled"):
        raise invalid("This stand-in has no login page; make a session.", param="login_page[enabled]")
    features = params.nested("features")
    if features is not None:
        _change_features(world, made["features"], features)


def _change_features(world: World, features: Object, params: Params) -> None:
    for name in ("invoice_history", "payment_method_update"):
        given = params.nested(name)
        if given is not None:
            features[name]["enabled"] = given.boolean("enabled") is True
    given = params.nested("customer_update")
    if given is not None:
        enabled, allowed = given.boolean("enabled"), given.strings("allowed_updates")
        features["customer_update"] |= {} if enabled is None else {"enabled": enabled}
        features["customer_update"] |= {} if allowed is None else {"allowed_updates": allowed}
    given = params.nested("subscription_cancel")
    if given is not None:
        feature = features["subscription_cancel"]
        enabled = given.boolean("enabled")
        feature["enabled"] = feature["enabled"] if enabled is None else enabled
        feature["mode"] = given.choice("mode", "at_period_end", "immediately") or feature["mode"]
        feature["proration_behavior"] = given.choice("proration_behavior", *PRORATIONS) or feature["proration_behavior"]
        reason = given.nested("cancellation_reason")
        if reason is not None:
            feature["cancellation_reason"] = {
                "enabled": reason.boolean("enabled") is True,
                "options": reason.strings("options") or REASONS,
            }
    given = params.nested("subscription_update")
    if given is not None:
        _change_updates(world, features["subscription_update"], given)


def _change_updates(world: World, feature: Object, given: Params) -> None:
    enabled = given.boolean("enabled")
    feature["enabled"] = feature["enabled"] if enabled is None else enabled
    anchor = given.choice("billing_cycle_anchor", "now", "unchanged")
    feature["billing_cycle_anchor"] = anchor or feature["billing_cycle_anchor"]
    feature["proration_behavior"] = given.choice("proration_behavior", *PRORATIONS) or feature["proration_behavior"]
    trial = given.choice("trial_update_behavior", "continue_trial", "end_trial")
    feature["trial_update_behavior"] = trial or feature["trial_update_behavior"]
    allowed = given.strings("default_allowed_updates")
    feature["default_allowed_updates"] = feature["default_allowed_updates"] if allowed is None else allowed
    products = given.each("products")
    if products is not None:
        feature["products"] = [_product(world, entry) for entry in products]
    later = given.nested("schedule_at_period_end")
    if later is not None:
        types = ("decreasing_item_amount", "shortening_interval")
        feature["schedule_at_period_end"] = {
            "conditions": [{"type": each.choice("type", *types)} for each in later.each("conditions") or []]
        }


def _product(world: World, entry: Params) -> Object:
    product = entry.needed("product")
    world.store.named("product", product, entry.name("product"))
    prices = entry.strings("prices") or []
    for price in prices:
        if world.store.named("price", price, entry.name("prices"))["product"] != product:
            raise invalid(f"The price {price} is not of the product {product}.", param=entry.name("prices"))
    entry.without_effect("adjustable_quantity")
    return {
        "adjustable_quantity": {"enabled": False, "maximum": None, "minimum": 1},
        "prices": prices,
        "product": product,
    }


def _flow(world: World, flow: Params | None, customer: str) -> Object | None:
    if flow is None:
        return None
    kind = flow.choice("type", *FLOWS)
    if kind is None:
        raise required("flow_data[type]")
    shown: Object = {
        "after_completion": _after(flow.nested("after_completion")),
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
    details = flow.nested(kind)
    if kind == "payment_method_update":
        return shown
    if details is None:
        raise required(f"flow_data[{kind}]")
    subscription = world.store.named("subscription", details.needed("subscription"), details.name("subscription"))
    if subscription["customer"] != customer:
        raise invalid("The subscription is another customer's.", param=details.name("subscription"))
    shown[kind] = {"subscription": subscription["id"]}
    if kind == "subscription_cancel":
        shown[kind]["retention"] = None
    if kind == "subscription_update_confirm":
        items = details.each("items") or []
        shown[kind] |= {
            "discounts": None,
            "items": [
                {"id": each.string("id"), "price": each.string("price"), "quantity": each.integer("quantity") or 1}
                for each in items
            ],
        }
    return shown


def _after(given: Params | None) -> Object:
    kind = "portal_homepage"
    url = None
    if given is not None:
        kind = given.choice("type", "portal_homepage", "redirect", "hosted_confirmation") or kind
        redirect = given.nested("redirect")
        url = redirect.needed("return_url") if redirect else None
        given.without_effect("hosted_confirmation")
    return {
        "hosted_confirmation": {"custom_message": None} if kind == "hosted_confirmation" else None,
        "redirect": {"return_url": url} if url else None,
        "type": kind,
    }
