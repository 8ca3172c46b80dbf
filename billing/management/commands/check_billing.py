"""Prove the books over the whole database."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import clock
from billing import proofs


class Command(BaseCommand):
    help = (
        "Prove that every counter equals its ledger, every run was charged once, and what was granted was paid for."
        " Exits 1 when anything is off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="Set counters to what the ledger says, and audit it.")
        parser.add_argument("--reason", default="check_billing --repair", help="Kept in the audit entries.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["repair"]:
            mended = proofs.repair(reason=options["reason"], now=clock.now())
            self.stdout.write(f"{mended} counters set to what the ledger says.")
        findings = proofs.find()
        for finding in findings:
            self.stdout.write(f"{finding.proof}: {finding.id}: {finding.sentence}")
        if findings:
            raise CommandError(f"{len(findings)} things are off.")
        self.stdout.write(f"All {len(proofs.PROOFS)} proofs hold.")
