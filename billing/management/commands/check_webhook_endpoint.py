"""Compare the webhook endpoint at Stripe with what this service needs of it."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Problem
from billing import gateway
from billing.webhooks import EFFECTS

PATH = "/api/v1/billing/webhook"


class Command(BaseCommand):
    help = "Check that Stripe sends the events that are needed, to our address, in our version. Exits 1 if not."

    def handle(self, *args: Any, **options: Any) -> None:
        ours = f"{settings.SITE_URL}{PATH}"
        try:
            endpoints = gateway.webhook_endpoints()
        except Problem as error:
            raise CommandError(str(error.detail)) from error
        endpoint = next((one for one in endpoints if one.url == ours), None)
        if endpoint is None:
            known = ", ".join(one.url for one in endpoints) or "none"
            raise CommandError(f"Stripe has no endpoint for {ours}; it has {known}.")
        found = [f"Not sent: {type}" for type in sorted(EFFECTS.keys() - set(endpoint.enabled_events))]
        if "*" in endpoint.enabled_events:
            found = []
        if endpoint.status != "enabled":
            found.append(f"The endpoint is {endpoint.status}.")
        # What is in an event is not read, so that another version does no harm; it should be known.
        if endpoint.api_version not in (None, settings.STRIPE_API_VERSION):
            found.append(f"Its version is {endpoint.api_version}, ours is {settings.STRIPE_API_VERSION}.")
        for line in found:
            self.stdout.write(line)
        if found:
            raise CommandError(f"{len(found)} things to mend at {endpoint.id}.")
        self.stdout.write(f"{endpoint.id} sends all {len(EFFECTS)} types of events to {ours}.")
