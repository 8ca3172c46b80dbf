"""The account that the key belongs to."""

from tests.fake_stripe.errors import missing
from tests.fake_stripe.forms import Params
from tests.fake_stripe.objects import Object, listing
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import ACCOUNT, World

CREATED = 1767225600


@answers("GET", "/v1/account")
def retrieve(world: World, params: Params) -> Object:
    nothing_due: Object = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }
    return {
        "id": ACCOUNT,
        "object": "account",
        "business_profile": None,
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": CREATED,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "stand-in@example.com",
        "external_accounts": listing([], f"/v1/accounts/{ACCOUNT}/external_accounts"),
        "future_requirements": nothing_due,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": nothing_due,
        "settings": None,
        "tos_acceptance": {"date": CREATED},
        "type": "standard",
    }


@answers("GET", "/v1/accounts/{account}")
def retrieve_by_id(world: World, params: Params, account: str) -> Object:
    if account != ACCOUNT:
        raise missing("account", account)
    return retrieve(world, params)
