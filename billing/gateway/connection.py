"""The connection to Stripe, and what its errors mean for a person."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import stripe
from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import Problem

log = logging.getLogger(__name__)

# More than so many of one customer's are not looked at: the newest count.
PAGE: Final = 100
MISSING: Final = "resource_missing"


class BillingNotConfigured(Problem):
    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail or _("Plans cannot be bought here yet: billing is not set up. Everything else works."),
            "billing_not_configured",
            status=503,
            headers={"Retry-After": "3600"},
        )


class StripeUnavailable(Problem):
    """No answer, or none to rely on. Where the call would have made something it may have been made all the same.

    `message` is for whoever runs this. `is_key_spent`: Stripe stored the failure under the idempotency key
    and would repeat it.
    """

    def __init__(self, message: str = "", *, is_key_spent: bool = False) -> None:
        super().__init__(
            _(
                "The payment service cannot be reached just now. Nothing was charged or changed."
                " Try again in a minute: it is safe to."
            ),
            "stripe_unavailable",
            status=503,
            headers={"Retry-After": "30"},
        )
        self.message = message
        self.is_key_spent = is_key_spent


class StripeRefused(Problem):
    """Stripe answered that it will not. `reason` is its own word, for the code that knows what to do about it."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(
            _(
                "The payment service did not accept this. Nothing was charged or changed."
                " Write to support if it stays so."
            ),
            "stripe_error",
            status=502,
        )
        self.message = message
        self.reason = reason


class PaymentFailed(Problem):
    """The card was declined or wants authentication. `payment_url` is where the open invoice is paid."""

    def __init__(self, payment_url: str = "", *, reason: str = "") -> None:
        why = reason or _("The payment did not go through: the card was declined or asks for your confirmation.")
        super().__init__(
            _("%(reason)s Your plan stays as it is; complete the payment at payment_url.") % {"reason": why},
            "payment_failed",
            status=402,
            payment_url=payment_url,
        )
        self.payment_url, self.reason = payment_url, reason


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def client() -> stripe.StripeClient:
    """Raises BillingNotConfigured without a key."""
    if not is_configured():
        raise BillingNotConfigured
    return _client(
        settings.STRIPE_SECRET_KEY,
        settings.STRIPE_API_BASE,
        settings.STRIPE_TIMEOUT_SECONDS,
        settings.STRIPE_RETRIES,
    )


@contextmanager
def errors(act: str) -> Iterator[None]:
    """Stripe's errors as ours. The log gets what a person cannot use: Stripe's words, code and request id."""
    try:
        yield
    except stripe.CardError as error:
        log.info("Stripe declined a card, to %s: %s (request %s)", act, error.code, error.request_id)
        raise PaymentFailed(reason=error.user_message or "") from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        log.warning("Stripe is out of reach, to %s: %s", act, type(error).__name__)
        raise StripeUnavailable(f"{type(error).__name__}, to {act}") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("Stripe refuses our key, to %s (request %s)", act, error.request_id)
        raise StripeRefused(type(error).__name__, reason="key") from error
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        if error.http_status == 409:
            # The first call with this key is still under way.
            raise StripeUnavailable from error
        log.error("Stripe refused to %s: %s (%s, request %s)", act, error.user_message, error.code, error.request_id)
        raise StripeRefused(error.user_message or "", reason=error.code or "") from error
    except stripe.StripeError as error:
        log.warning("Stripe failed to %s: %s (request %s)", act, error.http_status, error.request_id)
        told = f"{error.http_status} from Stripe, to {act} (request {error.request_id})"
        raise StripeUnavailable(told, is_key_spent=(error.http_status or 0) >= 500) from error


@lru_cache(maxsize=4)
def _client(key: str, base: str, timeout: float, retries: int) -> stripe.StripeClient:
    # Given the address, because the client does not read `stripe.api_base`.
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout),
    )
