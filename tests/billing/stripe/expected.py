"""What our rows must say of a customer, told from Stripe's bare answers; nothing of `billing.snapshots` is used."""

from datetime import UTC, datetime
from typing import Any

import stripe

from billing.mirror import MODELS
from billing.models import Subscription
from tests.billing.stripe.payer import Payer

ENDED = ("canceled", "incomplete_expired")
OPEN_DISPUTES = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")

type Object = dict[str, Any]


def at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def listed(client: stripe.StripeClient, path: str, **parameters: Any) -> list[Object]:
    """Newest first. No customer of a test has more than a page of anything."""
    page = client.raw_request("get", f"/v1/{path}", limit=100, **parameters).data
    assert not page["has_more"], path
    found: list[Object] = page["data"]
    return found


def is_live(subscription: Object) -> bool:
    return subscription["status"] not in ENDED


def written(row: Subscription) -> dict[str, Any]:
    return {
        "subscription": row.stripe_subscription_id,
        "plan": row.paid_plan.slug if row.paid_plan else None,
        "price": row.paid_price.stripe_price_id if row.paid_price else None,
        "interval": row.paid_interval,
        "status": row.stripe_status,
        "period": (row.paid_start, row.paid_end),
        "is_period_paid": row.is_period_paid,
        "is_collection_paused": row.is_collection_paused,
        "unpaid_since": row.oldest_unpaid_at,
        "cancel_at": row.cancel_at,
        "canceled_at": row.canceled_at,
        "pending": (row.pending_plan.slug if row.pending_plan else None, row.pending_interval, row.pending_at),
        "held_since": row.on_hold_since,
    }


class Holdings:
    """All that Stripe has of a customer now. `sold` are our plans and intervals by the ids of their prices."""

    def __init__(self, payer: Payer, sold: dict[str, tuple[str, str]]) -> None:
        client, customer = payer.client, payer.customer
        self.sold = sold
        self.subscriptions = listed(client, "subscriptions", customer=customer, status="all", expand=["data.schedule"])
        self.invoices = listed(client, "invoices", customer=customer)
        charges = listed(client, "charges", customer=customer, expand=["data.refunds"])
        self.paid = [charge for charge in charges if charge["paid"]]
        ids = {charge["id"] for charge in self.paid}
        self.disputes = [one for one in listed(client, "disputes") if one["charge"] in ids] if ids else []
        self.warnings = listed(client, "radar/early_fraud_warnings", charge=self.paid[0]["id"]) if ids else []

    @property
    def facts(self) -> dict[str, Any]:
        """As `written` has them."""
        facts: dict[str, Any] = {
            "subscription": "",
            "plan": None,
            "price": None,
            "interval": "",
            "status": "",
            "period": (None, None),
            "is_period_paid": False,
            "is_collection_paused": False,
            "unpaid_since": None,
            "cancel_at": None,
            "canceled_at": None,
            "pending": (None, "", None),
            "held_since": self.held_since,
        }
        if not self.subscriptions:
            return facts
        live = [one for one in self.subscriptions if is_live(one)]
        assert len(live) <= 1, live
        one = live[0] if live else max(self.subscriptions, key=lambda each: each["created"])
        (item,) = one["items"]["data"]
        plan, interval = self.sold[item["price"]["id"]]
        facts |= {
            "subscription": one["id"],
            "plan": plan,
            "price": item["price"]["id"],
            "interval": interval,
            "status": one["status"],
            "period": (at(item["current_period_start"]), at(item["current_period_end"])),
            "is_period_paid": self.is_paid(one, item),
            "is_collection_paused": one["pause_collection"] is not None,
            "unpaid_since": self.unpaid_since(one),
            "canceled_at": at(one["canceled_at"]) if one["canceled_at"] else None,
        }
        if live:
            facts["cancel_at"] = at(one["cancel_at"]) if one["cancel_at"] else None
            facts["pending"] = self.pending(one, item["price"]["id"])
        return facts

    def is_paid(self, one: Object, item: Object) -> bool:
        """An invoice of this subscription is paid that has a line of just the present period."""
        return any(
            (line["period"]["start"], line["period"]["end"])
            == (item["current_period_start"], item["current_period_end"])
            for invoice in self.invoices_of(one)
            if invoice["status"] == "paid"
            for line in invoice["lines"]["data"]
        )

    def unpaid_since(self, one: Object) -> datetime | None:
        """What an upgrade that waits would cost is an offer and no debt."""
        offered = one["latest_invoice"] if one["pending_update"] else None
        unpaid = [
            invoice["created"]
            for invoice in self.invoices_of(one)
            if invoice["status"] == "open" and invoice["amount_remaining"] > 0 and invoice["id"] != offered
        ]
        return at(min(unpaid)) if unpaid else None

    def pending(self, one: Object, price: str) -> tuple[str | None, str, datetime | None]:
        """What the schedule makes of it at the end of the phase that is under way."""
        schedule = one["schedule"]
        if schedule is None or schedule["status"] != "active":
            return None, "", None
        for phase in schedule["phases"]:
            to = phase["items"][0]["price"]
            if phase["start_date"] >= schedule["current_phase"]["end_date"] and to != price:
                return *self.sold[to], at(phase["start_date"])
        return None, "", None

    @property
    def held_since(self) -> datetime | None:
        """Since the oldest open dispute, or the warning on the newest payment."""
        since = [one["created"] for one in self.disputes if one["status"] in OPEN_DISPUTES]
        since += [one["created"] for one in self.warnings if one["actionable"]]
        return at(min(since)) if since else None

    def invoices_of(self, one: Object) -> list[Object]:
        return [
            invoice
            for invoice in self.invoices
            if invoice["parent"] and invoice["parent"]["subscription_details"]["subscription"] == one["id"]
        ]

    @property
    def statuses(self) -> dict[str, str]:
        """Of all that the proofs of money read in the mirror."""
        refunds = [refund for charge in self.paid for refund in charge["refunds"]["data"]]
        return {
            one["id"]: one["status"]
            for one in (*self.subscriptions, *self.invoices, *self.paid, *refunds, *self.disputes)
        }

    @property
    def mirrored(self) -> dict[str, str]:
        """The same by the mirror."""
        found: dict[str, str] = {}
        for kind in ("subscription", "invoice", "charge", "refund", "dispute"):
            rows = MODELS[kind].objects.filter(id__in=self.statuses)
            found |= rows.values_list("id", "stripe_data__status")
        return found
