"""Stripe's deliveries: verified, stored once, enqueued in the same statement, answered. The work is the worker's."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stripe
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from accounts.errors import TooLarge, as_json
from billing import jobs
from billing.deliveries import FIRST

log = logging.getLogger(__name__)

# Stripe's own: an older signature may be a replay.
TOLERANCE_SECONDS: Final = 300
# A row that no job has taken up by then is rung again by the sweep.
SWEPT_AFTER: Final = timedelta(minutes=1)
FIRST_PRIORITY: Final = 50

RINGS = "The customer is looked at."
REFLECTS = "The object is fetched into the mirror; who pays by a price is not changed by it."
#: Every type that Stripe must send, and what it does here. See API.md, Billing.
EFFECTS: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "checkout.session.completed",
            "checkout.session.expired",
            "checkout.session.async_payment_succeeded",
            "checkout.session.async_payment_failed",
            "customer.updated",
            "customer.deleted",
            "customer.subscription.created",
            "customer.subscription.updated",
            "customer.subscription.deleted",
            "customer.subscription.paused",
            "customer.subscription.resumed",
            "customer.subscription.trial_will_end",
            "customer.subscription.pending_update_applied",
            "customer.subscription.pending_update_expired",
            "subscription_schedule.updated",
            "subscription_schedule.released",
            "subscription_schedule.canceled",
            "subscription_schedule.aborted",
            "subscription_schedule.completed",
            "invoice.paid",
            "invoice.payment_succeeded",
            "invoice.payment_failed",
            "invoice.payment_action_required",
            "invoice.upcoming",
            "invoice.finalized",
            "invoice.finalization_failed",
            "invoice.voided",
            "invoice.marked_uncollectible",
            "invoice.overdue",
            "charge.refunded",
            "refund.created",
            "refund.updated",
            "refund.failed",
            "credit_note.created",
            "charge.dispute.created",
            "charge.dispute.updated",
            "charge.dispute.closed",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
            "radar.early_fraud_warning.created",
            "payment_method.attached",
            "payment_method.detached",
            "payment_method.automatically_updated",
        ),
        RINGS,
    ),
    "price.updated": REFLECTS,
    "product.updated": REFLECTS,
}


@method_decorator(csrf_exempt, name="dispatch")
class Webhook(View):
    """Proven by its signature alone. No call to Stripe, and no row for what is not signed."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if not settings.STRIPE_WEBHOOK_SECRETS:
            return _refused(503, "billing_not_configured", "Deliveries cannot be proven: no secret is set.")
        # Refused by its Content-Length, before Django reads on.
        try:
            body = request.body
        except RequestDataTooBig:
            error = TooLarge(settings.MAX_BODY_BYTES)
            return _refused(413, error.code, str(error.detail))
        if not is_signed(body, request.headers.get("Stripe-Signature", "")):
            return _refused(400, "invalid_signature", "The signature is missing, wrong or too old.")
        try:
            event = json.loads(body)
            status = receive(event, body.decode())
        except (ValueError, KeyError, TypeError):
            log.exception("A signed delivery could not be read.")
            return _refused(400, "invalid", "This is no event.")
        return as_json({"status": status}, 200)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = _refused(405, "method_not_allowed", "Only POST is answered here.")
        response["Allow"] = "POST"
        return response


def is_signed(body: bytes, header: str) -> bool:
    """By any of the secrets, so that one can be rotated."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(text, header, secret, TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError:
            continue
        return True
    return False


def receive(event: dict[str, Any], payload: str, *, is_caught_up: bool = False) -> str:
    """Into the inbox, once, with the job that looks at it: one statement. `accepted`, `duplicate` or `ignored`.

    Raises KeyError, TypeError or ValueError for what is no event.
    """
    type = str(event["type"])
    if type not in EFFECTS or event["livemode"] is not settings.STRIPE_LIVE_MODE or event.get("account"):
        return "ignored"
    id = str(event["id"])
    customer, points_to = subject_of(type, event["data"])
    received_at = datetime.now(UTC)
    named: dict[str, Any] = {
        "id": id,
        "type": type,
        "customer": customer,
        "points_to": points_to,
        "payload": payload,
        "created": datetime.fromtimestamp(event["created"], UTC),
        "received": received_at,
        "swept": received_at + SWEPT_AFTER,
        "is_caught_up": is_caught_up,
        "queue": jobs.BILLING_QUEUE,
        "task": jobs.look_at_customer.name if customer else jobs.look_at_event.name,
        "priority": FIRST_PRIORITY if type in FIRST else 0,
        "lock": customer or None,
        "arguments": json.dumps({"event": id} | ({"customer": customer} if customer else {})),
    }
    with connection.cursor() as cursor:
        cursor.execute(_RECEIVE, named)
        return "accepted" if cursor.fetchone() else "duplicate"


def subject_of(type: str, data: dict[str, Any]) -> tuple[str, str]:
    """The customer whom an event names, or else what leads to one."""
    found = data["object"]
    if type.startswith(("price.", "product.")):
        return "", str(found["id"])
    if found["object"] == "customer":
        return str(found["id"]), ""
    customer = found.get("customer") or data.get("previous_attributes", {}).get("customer")
    if customer:
        return str(customer["id"] if isinstance(customer, dict) else customer), ""
    # Disputes, refunds and fraud warnings name a charge, and a charge its customer.
    return "", str(found.get("charge") or found.get("payment_intent") or "")


def _refused(status: int, code: str, detail: str) -> HttpResponse:
    response = as_json({"detail": detail, "code": code}, status)
    if status == 503:
        response["Retry-After"] = "60"
    return response


# The job is a row of the same statement, by Procrastinate's own function: either both are there or neither.
# What was read from Stripe's list and is delivered after all was not kept from us: see `catch_up`.
_RECEIVE = """
WITH stored AS (
    INSERT INTO billing_stripeevent (stripe_id, type, customer, points_to, payload, created_at, received_at,
        is_caught_up, state, attempts, next_attempt_at, error)
    VALUES (%(id)s, %(type)s, %(customer)s, %(points_to)s, %(payload)s::jsonb, %(created)s, %(received)s,
        %(is_caught_up)s, 'waiting', 0, %(swept)s, '')
    ON CONFLICT (stripe_id) DO UPDATE SET is_caught_up = false
        WHERE billing_stripeevent.is_caught_up AND NOT excluded.is_caught_up
    RETURNING xmax = 0 AS is_new
)
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    %(queue)s, %(task)s, %(priority)s, %(lock)s, NULL,
    %(arguments)s::jsonb, NULL
)]::procrastinate_job_to_defer_v1[]) FROM stored WHERE is_new
"""
