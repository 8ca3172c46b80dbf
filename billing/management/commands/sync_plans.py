"""Bring the shipped plans into the database, or say how it differs from them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import catalogue


class Command(BaseCommand):
    help = "Load the plan catalogue. What staff edited in the admin is kept, unless --overwrite."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; exit 1 when anything differs.")
        parser.add_argument("--overwrite", action="store_true", help="Also undo what staff edited.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            found = catalogue.differences()
            for difference in found:
                self.stdout.write(str(difference))
            if found:
                raise CommandError(f"{len(found)} values differ from the catalogue.")
            self.stdout.write(f"All {len(catalogue.CATALOGUE)} plans are as the catalogue has them.")
            return
        written = catalogue.load(overwrite=options["overwrite"])
        for difference in catalogue.differences():
            self.stdout.write(f"Kept: {difference}")
        changed = len({difference.slug for difference in written})
        self.stdout.write(f"{len(catalogue.CATALOGUE)} plans in the catalogue, {changed} written.")
