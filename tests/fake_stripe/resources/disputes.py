"""Disputes and early fraud warnings."""

from tests.fake_stripe.billing import disputes
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("GET", "/v1/disputes")
def list_all(world: World, params: Params) -> Object:
    return page_of(world.store, "dispute", params, "/v1/disputes", "charge", "payment_intent")


@answers("GET", "/v1/disputes/{dispute}")
def retrieve(world: World, params: Params, dispute: str) -> Object:
    return world.store.get("dispute", dispute)


@answers("POST", "/v1/disputes/{dispute}")
def update(world: World, params: Params, dispute: str) -> Object:
    """Evidence, submitted at once unless `submit` is false."""
    found = world.store.get("dispute", dispute)
    evidence = params.nested("evidence")
    is_submitted = params.boolean("submit") is not False
    if evidence is not None:
        for name in disputes.TEXTS:
            if name in evidence:
                found["evidence"][name] = evidence.string(name)
        found["evidence_details"]["has_evidence"] = True
        if is_submitted:
            found["evidence_details"]["submission_count"] += 1
            found["status"] = "under_review"
    found["metadata"] = params.metadata(found["metadata"])
    world.announce("charge.dispute.updated", found)
    return found


@answers("POST", "/v1/disputes/{dispute}/close")
def close(world: World, params: Params, dispute: str) -> Object:
    """To give in."""
    found = world.store.get("dispute", dispute)
    disputes.close(world, found, "lost")
    return found


@answers("GET", "/v1/radar/early_fraud_warnings")
def list_warnings(world: World, params: Params) -> Object:
    kind, url = "radar.early_fraud_warning", "/v1/radar/early_fraud_warnings"
    return page_of(world.store, kind, params, url, "charge", "payment_intent")


@answers("GET", "/v1/radar/early_fraud_warnings/{warning}")
def retrieve_warning(world: World, params: Params, warning: str) -> Object:
    return world.store.get("radar.early_fraud_warning", warning)
