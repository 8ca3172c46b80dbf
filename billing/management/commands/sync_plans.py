"""Bring the shipped plans into the database and their prices to Stripe, or say how the two differ."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import clock
from accounts.errors import Problem
from billing import assortment, catalogue, gateway, publishing


class Command(BaseCommand):
    help = "Load the plan catalogue. What staff edited in the admin is kept, unless --overwrite."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; exit 1 when anything differs.")
        parser.add_argument("--overwrite", action="store_true", help="Also undo what staff edited.")
        parser.add_argument(
            "--create", action="store_true", help="Make the Products and Prices that Stripe does not have yet."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        if options["create"] and not gateway.is_configured():
            raise CommandError("STRIPE_SECRET_KEY is not set, so nothing can be made at Stripe.")
        try:
            written = catalogue.load(now=clock.now(), overwrite=options["overwrite"])
        except assortment.Mistake as error:
            raise CommandError(str(error)) from error
        for difference in catalogue.differences():
            self.stdout.write(f"Kept: {difference}")
        changed = len({difference.slug for difference in written})
        self.stdout.write(f"{len(catalogue.CATALOGUE)} plans in the catalogue, {changed} written.")
        if gateway.is_configured():
            self._bring_to_stripe(is_creating=options["create"])

    def _check(self) -> None:
        found = [str(difference) for difference in catalogue.differences()]
        if gateway.is_configured():
            found += [f"{publishing.describe(price)} is not at Stripe" for price in publishing.unpublished()]
        for line in found:
            self.stdout.write(line)
        if found:
            raise CommandError(f"{len(found)} values differ from the catalogue.")
        self.stdout.write(f"All {len(catalogue.CATALOGUE)} plans are as the catalogue has them.")

    def _bring_to_stripe(self, *, is_creating: bool) -> None:
        try:
            outcomes = publishing.link()
            if is_creating:
                outcomes += publishing.publish()
            publishing.reflect(outcomes)
        except publishing.Mismatch as error:
            raise CommandError(str(error)) from error
        except Problem as error:
            where = "" if settings.STRIPE_API_BASE == settings.STRIPE_OWN_API else f" at {settings.STRIPE_API_BASE}"
            raise CommandError(f"Stripe{where}: {error.detail}") from error
        for outcome in outcomes:
            self.stdout.write(str(outcome))
        for price in publishing.unpublished():
            self.stdout.write(
                f"{publishing.describe(price)} is not at Stripe, so nobody can buy it:"
                " name its price in the environment, or run this with --create."
            )
