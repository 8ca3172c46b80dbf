"""Stripe's SDK as this service uses it: one version of the API, bounded waits, nothing sent or logged beside."""

import stripe
from django.conf import settings


def set_up() -> None:
    """For what reads the SDK's module rather than a client of its own, which is dj-stripe."""
    stripe.api_version = settings.STRIPE_API_VERSION
    stripe.api_base = settings.STRIPE_API_BASE
    stripe.max_network_retries = settings.STRIPE_RETRIES
    stripe.default_http_client = stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS)
    # Telemetry tells Stripe with each request how long the one before it took.
    stripe.enable_telemetry = False
