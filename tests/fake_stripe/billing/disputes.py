"""Money that goes back: refunds, disputes and the warnings before them. They name a charge, not a customer."""

from tests.fake_stripe.billing import cards, payments
from tests.fake_stripe.billing.periods import DAY
from tests.fake_stripe.errors import invalid
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.world import World

FEE = 1500
TEXTS = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
]
OUTCOMES = ("needs_response", "won", "lost", "fraud_warning")


def refund(
    world: World,
    charge: Object,
    amount: int | None,
    *,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Object:
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if amount is None else amount
    if not charge["paid"] or left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if any(one["status"] != "won" for one in world.store.where("dispute", charge=charge["id"])):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if amount <= 0:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    card = cards.BY_NUMBER[world.store.get("payment_method", charge["payment_method"])["_number"]]
    made = world.store.add(
        {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": world.now,
            "currency": charge["currency"],
            "destination_details": {
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
                "type": "card",
            },
            "metadata": metadata or {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending" if card.refund == "succeeds_later" else "succeeded",
            "transfer_reversal": None,
            "_settles_at": world.now + DAY if card.refund else None,
        }
    )
    made["balance_transaction"] = payments.book(world, "refund", -amount, made)["id"]
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    world.announce("refund.created", made)
    world.announce("charge.refunded", charge)
    _judge_warnings(world, charge)
    return made


def settle_refund(world: World, refund: Object) -> None:
    """A day later, with the cards that take so long."""
    if refund["status"] == "pending":
        refund |= {"status": "succeeded", "_settles_at": None}
        world.announce("refund.updated", refund)
    else:
        fail_refund(world, refund)


def fail_refund(world: World, refund: Object) -> None:
    """The bank sends it back: the charge has that much to refund again."""
    if refund["status"] not in ("pending", "succeeded"):
        raise invalid(f"This refund is {refund['status']}.")
    charge = world.store.get("charge", refund["charge"])
    refund |= {
        "status": "failed",
        "failure_reason": "unknown",
        "failure_balance_transaction": payments.book(world, "refund_failure", refund["amount"], refund)["id"],
        "_settles_at": None,
    }
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    world.announce("charge.updated", charge)
    world.announce("refund.updated", refund)
    world.announce("refund.failed", refund)


def _judge_warnings(world: World, charge: Object) -> None:
    """A fraud warning asks for nothing more once its charge is disputed or wholly refunded."""
    if not (charge["disputed"] or charge["refunded"]):
        return
    for warning in world.store.where("radar.early_fraud_warning", charge=charge["id"], actionable=True):
        warning["actionable"] = False
        world.announce("radar.early_fraud_warning.updated", warning)


def open_dispute(world: World, charge: Object) -> Object:
    """The buyer's bank takes the money back until it has decided."""
    charge["_dispute_at"] = None
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} is disputed already.", param="charge")
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} was never paid.", param="charge")
    charge["disputed"] = True
    dispute = world.store.add(
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": world.now,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**dict.fromkeys(TEXTS), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": world.now + 9 * DAY,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "83"},
                "type": "card",
            },
            "reason": "fraudulent",
            "status": "needs_response",
        }
    )
    world.announce("charge.dispute.created", dispute)
    _move(world, dispute, -charge["amount"], fee=FEE)
    world.announce("charge.dispute.funds_withdrawn", dispute)
    world.announce("charge.updated", charge)
    _judge_warnings(world, charge)
    return dispute


def close(world: World, dispute: Object, outcome: str) -> None:
    if dispute["status"] in ("won", "lost"):
        raise invalid(f"This dispute is already {dispute['status']}.")
    dispute["status"] = outcome
    if outcome == "won":
        _move(world, dispute, dispute["amount"], fee=-FEE)
        world.announce("charge.dispute.funds_reinstated", dispute)
    world.announce("charge.dispute.closed", dispute)


def warn(world: World, charge: Object) -> Object:
    """What an issuer suspects before it takes money back."""
    charge["_warn_at"] = None
    warning = world.store.add(
        {
            "id": new_id("issfr"),
            "object": "radar.early_fraud_warning",
            "actionable": not (charge["refunded"] or charge["disputed"]),
            "charge": charge["id"],
            "created": world.now,
            "fraud_type": "made_with_stolen_card",
            "livemode": False,
            "payment_intent": charge["payment_intent"],
        }
    )
    world.announce("radar.early_fraud_warning.created", warning)
    return warning


def decide(world: World, charge: Object, outcome: str) -> Object:
    """What control asks for: a dispute opened, opened and decided, or decided when it is open; or a warning."""
    if outcome == "fraud_warning":
        return warn(world, charge)
    known = [one for one in world.store.where("dispute", charge=charge["id"]) if one["status"] not in ("won", "lost")]
    dispute = known[0] if known else open_dispute(world, charge)
    if outcome in ("won", "lost"):
        close(world, dispute, outcome)
    return dispute


def _move(world: World, dispute: Object, amount: int, *, fee: int) -> None:
    booked = payments.book(world, "adjustment", amount, dispute, fee=fee)
    shown = {name: value for name, value in booked.items() if not name.startswith("_")}
    dispute["balance_transactions"].append(shown)
