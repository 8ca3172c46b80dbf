"""What Stripe holds of one customer at an instant, and the facts that follow from it. Pure: no database, no calls."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from billing.models import Interval, Plan, Price, Subscription
from billing.recurring import monthly_amount

# Stripe's words for a subscription that has not ended. See API.md, Billing: cancel.
LIVE: Final = frozenset({"active", "trialing", "past_due", "unpaid", "paused", "incomplete"})
ENDED: Final = frozenset({"canceled", "incomplete_expired"})
KNOWN: Final = LIVE | ENDED
# Live ones for which something is, was or will be paid: two of these are one too many.
CHARGED: Final = LIVE - {"incomplete"}

# Of a dispute: nothing is open any more. A closed inquiry is no dispute.
DECIDED: Final = frozenset({"won", "lost", "warning_closed", "prevented"})

# A second purchase that is older than this was not made by accident: staff decide.
JUST_NOW: Final = timedelta(days=1)

# While something is not settled, Stripe is asked so often though nothing rings.
UNSETTLED_AGAIN: Final = timedelta(hours=1)
WAITING_AGAIN: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Held:
    """A subscription at Stripe, in our words. `price` is None where no price of ours is on it."""

    data: Mapping[str, Any]
    price: Price | None
    item: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.data["id"])

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def is_live(self) -> bool:
        # A word never seen before is kept, and is not paid; that it has ended nobody said.
        return self.status not in ENDED

    @property
    def interval(self) -> str:
        return str(self.item["price"]["recurring"]["interval"])

    @property
    def start(self) -> datetime:
        # Stripe moved the period onto the item in API 2025-03-31.
        return instant(self.item["current_period_start"])

    @property
    def end(self) -> datetime:
        return instant(self.item["current_period_end"])

    @property
    def created(self) -> datetime:
        return instant(self.data["created"])

    @property
    def is_collection_paused(self) -> bool:
        return self.data["pause_collection"] is not None

    @property
    def schedule(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.data["schedule"]
        return found if found is not None and found["status"] in ("active", "not_started") else None

    @property
    def next_phase(self) -> Mapping[str, Any] | None:
        """What the schedule makes of it at the end of the phase that is under way."""
        if self.schedule is None:
            return None
        current = self.schedule["current_phase"]
        since = current["end_date"] if current else 0
        return next((phase for phase in self.schedule["phases"] if phase["start_date"] >= since), None)

    @property
    def cancel_at(self) -> datetime | None:
        """Either sign of a scheduled cancel means it: the portal sets `cancel_at` and leaves the flag alone."""
        if self.data["cancel_at"] is not None:
            return instant(self.data["cancel_at"])
        if self.data["cancel_at_period_end"]:
            return self.end
        schedule = self.schedule
        if schedule is not None and schedule["end_behavior"] == "cancel":
            return instant(schedule["phases"][-1]["end_date"])
        return None

    @property
    def order(self) -> tuple[int, int, float]:
        """The least counts: live before ended, the higher plan, then the older; of ended ones the newest."""
        if not self.is_live:
            return (4, 0, -self.created.timestamp())
        match self.status:
            case "active" | "trialing" | "past_due" if not self.is_collection_paused:
                group = 0
            case "active" | "past_due" | "unpaid" | "paused":
                group = 1
            case "incomplete":
                group = 2
            case _:
                group = 3
        return (group, -self.price.plan.rank if self.price else 1, self.created.timestamp())


@dataclass(frozen=True)
class Snapshot:
    """What Stripe has, as it has it; `prices` are ours by Stripe's id."""

    customer: Mapping[str, Any]
    data: tuple[Mapping[str, Any], ...]
    invoices: tuple[Mapping[str, Any], ...]
    prices: Mapping[str, Price]
    disputes: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[Mapping[str, Any], ...] = ()
    # By which subscriptions are paid, by their ids.
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_deleted(self) -> bool:
        return bool(self.customer.get("deleted"))

    @cached_property
    def subscriptions(self) -> list[Held]:
        """The one that counts first."""
        return sorted((self._held(one) for one in self.data), key=lambda held: held.order)

    @property
    def current(self) -> Held | None:
        return self.subscriptions[0] if self.subscriptions else None

    @property
    def live(self) -> Held | None:
        return self.current if self.current is not None and self.current.is_live else None

    @property
    def charged(self) -> list[Held]:
        return [held for held in self.subscriptions if held.status in CHARGED]

    def bought_twice(self, now: datetime) -> list[Held]:
        """Beside the one that counts, on a price of ours and bought just now: ours to end and to give back."""
        return [held for held in self.charged[1:] if held.price is not None and now - held.created < JUST_NOW]

    @property
    def incomplete(self) -> list[Held]:
        return [held for held in self.subscriptions if held.status == "incomplete"]

    @property
    def currency(self) -> str | None:
        """In which the customer is fixed, once anything was charged."""
        found: str | None = self.customer.get("currency")
        return found

    @property
    def debt(self) -> Mapping[str, Any] | None:
        """The oldest invoice of a subscription that is open though its payment was due.

        That of an upgrade that waits, or of a first payment, is an offer and no debt.
        """
        waiting = {one["latest_invoice"] for one in self.data if one["pending_update"] or one["status"] == "incomplete"}
        owed = [
            invoice
            for invoice in self.invoices
            if invoice["status"] == "open"
            and invoice["amount_remaining"] > 0
            and invoice["id"] not in waiting
            and subscription_of(invoice) is not None
            and (invoice["attempted"] or invoice["collection_method"] == "send_invoice")
        ]
        return min(owed, key=lambda invoice: invoice["created"], default=None)

    def invoices_of(self, held: Held) -> Iterator[Mapping[str, Any]]:
        return (invoice for invoice in self.invoices if subscription_of(invoice) == held.id)

    def invoice(self, id: str | None) -> Mapping[str, Any] | None:
        return next((invoice for invoice in self.invoices if invoice["id"] == id), None)

    def facts(self, before: Subscription) -> dict[str, Any]:
        """The paid columns of Subscription. `before` tells what an unknown price must not take away."""
        held = self.current
        facts: dict[str, Any] = {
            "paid_plan": None,
            "paid_price": None,
            "stripe_subscription_id": "",
            "stripe_status": "",
            "paid_interval": "",
            "monthly_amount": 0,
            "currency": "",
            "card_expires_at": None,
            "paid_anchor": None,
            "paid_start": None,
            "paid_end": None,
            "is_period_paid": False,
            "is_collection_paused": False,
            "oldest_unpaid_at": None,
            "first_paid_at": self._first_paid_at(before),
            "cancel_at": None,
            "canceled_at": None,
            "pending_plan": None,
            "pending_interval": "",
            "pending_at": None,
            **self._hold(before),
        }
        if held is None:
            return facts
        known = held.price.plan if held.price else None
        is_same = before.stripe_subscription_id == held.id
        plan = known or (before.paid_plan if is_same else None)
        facts |= {
            "paid_plan": plan,
            "paid_price": held.price or (before.paid_price if is_same else None),
            "stripe_subscription_id": held.id,
            "stripe_status": held.status,
            "paid_interval": held.interval if held.interval in Interval.values else Interval.MONTH.value,
            "monthly_amount": self._monthly_amount(held) if held.is_live else 0,
            "currency": str(held.data["currency"]),
            "card_expires_at": self._card_expires_at(held) if held.is_live else None,
            # During a trial at Stripe the anchor is its end, and months are counted from its beginning.
            "paid_anchor": min(instant(held.data["billing_cycle_anchor"]), held.start),
            "paid_start": held.start,
            "paid_end": held.end,
            "is_period_paid": self._is_period_paid(held),
            "is_collection_paused": held.is_collection_paused,
            "oldest_unpaid_at": self._oldest_unpaid_at(held),
            "cancel_at": held.cancel_at if held.is_live else None,
            "canceled_at": instant(held.data["canceled_at"]) if held.data["canceled_at"] else None,
        }
        if held.is_live:
            facts |= self._pending(held, plan)
        return facts

    def _monthly_amount(self, held: Held) -> int:
        # A subscription without discounts of its own has its customer's.
        of_customer = self.customer.get("discount")
        discounts = held.data["discounts"] or ([of_customer] if of_customer else [])
        return monthly_amount(held.data, discounts, self.invoices_of(held), since=int(held.start.timestamp()))

    def _card_expires_at(self, held: Held) -> datetime | None:
        """The first instant at which the card that pays is no longer good; None where no card does."""
        id = held.data["default_payment_method"] or self.customer["invoice_settings"]["default_payment_method"]
        card = self.methods[id].get("card") if id in self.methods else None
        if card is None:
            return None
        # Good to the end of its month, whose number is that of the month after it counted from nought.
        year, month = divmod(card["exp_year"] * 12 + card["exp_month"], 12)
        return datetime(year, month + 1, 1, tzinfo=UTC)

    def _hold(self, before: Subscription) -> dict[str, Any]:
        """By the oldest open dispute, or warning of fraud on the newest charge, that staff have not released."""
        open_ones = [one for one in self.disputes if one["status"] not in DECIDED]
        open_ones += [one for one in self.warnings if one["actionable"]]
        held_by = [one for one in open_ones if one["id"] != before.hold_released]
        first = min(held_by, key=lambda one: one["created"], default=None)
        if first is None:
            return {"on_hold_since": None, "hold_reason": ""}
        return {"on_hold_since": instant(first["created"]), "hold_reason": first["id"]}

    @property
    def is_lost(self) -> bool:
        """A payment of the live subscription was taken back by its payer for good."""
        lost = {one["payment_intent"] for one in self.disputes if one["status"] == "lost"}
        return self.live is not None and any(
            payment["payment"]["payment_intent"] in lost
            for invoice in self.invoices_of(self.live)
            for payment in invoice["payments"]["data"]
        )

    def unknown_prices(self) -> list[str]:
        """Of live subscriptions: nothing of ours says which plan they are."""
        return [held.item["price"]["id"] for held in self.subscriptions if held.is_live and held.price is None]

    def due_at(self, now: datetime) -> datetime | None:
        """When Stripe must be asked again though nothing rang; None when nothing more can happen by itself."""
        held = self.live
        if held is None:
            return None
        moments = [held.end, held.cancel_at, instant(held.next_phase["start_date"]) if held.next_phase else None]
        is_settled = held.status in ("active", "trialing") and self._is_period_paid(held)
        if not is_settled:
            moments.append(now + UNSETTLED_AGAIN)
        if held.data["pending_update"]:
            # Somebody was just sent to its payment, whose page does not lead back here.
            moments.append(now + WAITING_AGAIN)
        return min((moment for moment in moments if moment is not None and moment > now), default=now + UNSETTLED_AGAIN)

    def _held(self, data: Mapping[str, Any]) -> Held:
        items = data["items"]["data"]
        known = [(self.prices[item["price"]["id"]], item) for item in items if item["price"]["id"] in self.prices]
        if not known:
            return Held(data, None, items[0])
        price, item = max(known, key=lambda pair: pair[0].plan.rank)
        return Held(data, price, item)

    def _is_period_paid(self, held: Held) -> bool:
        """By the invoice that has a line for just this period; prorations and one-off invoices are none."""
        if held.status == "trialing":
            return True
        span = {"start": int(held.start.timestamp()), "end": int(held.end.timestamp())}
        covering = [
            invoice
            for invoice in self.invoices_of(held)
            if any(span == {name: line["period"][name] for name in span} for line in invoice["lines"]["data"])
        ]
        if covering:
            return any(invoice["status"] == "paid" for invoice in covering)
        # Older than the page of invoices that was read: what is not settled since would show there.
        return held.status == "active" and not any(invoice["status"] == "open" for invoice in self.invoices_of(held))

    def _oldest_unpaid_at(self, held: Held) -> datetime | None:
        waiting = held.data["latest_invoice"] if held.data["pending_update"] else None
        unpaid = [
            instant(invoice["created"])
            for invoice in self.invoices_of(held)
            if invoice["status"] == "open" and invoice["amount_remaining"] > 0 and invoice["id"] != waiting
        ]
        return min(unpaid, default=None)

    def _first_paid_at(self, before: Subscription) -> datetime | None:
        begun = [
            instant(held.data["start_date"])
            for held in self.subscriptions
            if held.status in CHARGED or any(invoice["status"] == "paid" for invoice in self.invoices_of(held))
        ]
        if before.first_paid_at is not None:
            # What was paid once stays so, also when Stripe's lists do not reach back to it.
            begun.append(before.first_paid_at)
        return min(begun, default=None)

    def _pending(self, held: Held, plan: Plan | None) -> dict[str, Any]:
        phase = held.next_phase
        if phase is None:
            return {}
        price = self.prices.get(id_of(phase["items"][0]["price"]))
        if price is None or (price.plan == plan and price.interval == held.interval):
            return {}
        return {
            "pending_plan": price.plan,
            "pending_interval": price.interval,
            "pending_at": instant(phase["start_date"]),
        }


def instant(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def id_of(value: Any) -> str:
    """Of a reference that may have been filled in."""
    return str(value["id"] if isinstance(value, Mapping) else value)


def subscription_of(invoice: Mapping[str, Any]) -> str | None:
    parent = invoice["parent"]
    details = parent["subscription_details"] if parent else None
    return id_of(details["subscription"]) if details else None
