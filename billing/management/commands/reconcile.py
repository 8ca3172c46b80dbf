"""Compare what Stripe holds with what we have, and bring ours to it."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import clock
from accounts.models import Role, Workspace
from billing import gateway
from billing.findings import Outcome
from billing.reconciliation import AlreadyUnderWay, reconcile

BAR_LENGTH = 30
# Where no terminal shows a bar, a line each so many.
LINE_EACH = 1000


class Command(BaseCommand):
    help = (
        "Walk our workspaces and Stripe's lists, print what differs, and mend it by a sync. What only staff can"
        " decide is listed. Exits 1 while anything differs, needs staff, or could not be looked at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Change nothing at all, and leave no report.")
        parser.add_argument(
            "--workspace",
            action="append",
            metavar="ID|EMAIL",
            help="Only this one, or those of this owner; may be repeated. Stripe's lists are not walked then.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only = _named(options["workspace"]) if options["workspace"] else None
        try:
            outcome = reconcile(now=clock.now(), is_dry_run=options["dry_run"], only=only, progress=self._show_progress)
        except gateway.BillingNotConfigured as error:
            raise CommandError("STRIPE_SECRET_KEY is not set: there is nothing to compare with.") from error
        except AlreadyUnderWay as error:
            raise CommandError("Another reconciliation is under way: wait for its end.") from error
        if self._is_terminal:
            self.stdout.write("\r" + " " * 79 + "\r", ending="")
        self._report(outcome, is_dry_run=options["dry_run"])

    def _report(self, outcome: Outcome, *, is_dry_run: bool) -> None:
        if outcome.drifts:
            rows = [(one.workspace, one.what, one.ours, one.theirs) for one in outcome.drifts]
            for line in aligned([("Workspace", "What", "Ours", "Stripe's"), *rows]):
                self.stdout.write(line)
            if outcome.differences > len(rows):
                self.stdout.write(f"... and {outcome.differences - len(rows)} more differences.")
            self.stdout.write("")
        if outcome.orphans:
            self.stdout.write("For staff to decide, at Stripe:")
            for orphan in outcome.orphans:
                self.stdout.write(f"  The {orphan.kind} {orphan.id} {orphan.sentence}")
            self.stdout.write("")
        if outcome.failures:
            self.stdout.write("Could not be looked at:")
            for failure in outcome.failures:
                self.stdout.write(f"  {failure.subject}: {failure.sentence}")
            self.stdout.write("")
        if outcome.events:
            waiting = ", ".join(f"{count} {state}" for state, count in outcome.events.items())
            self.stdout.write(
                f"Deliveries not done: {waiting}. `manage.py replay_events` lists the dead and unmatched."
            )
        self.stdout.write(
            f"Workspaces {outcome.workspaces}, drifts {outcome.drifted}, mended {outcome.mended},"
            f" orphans {len(outcome.orphans)}, failures {len(outcome.failures)}."
        )
        if not outcome.is_clean:
            raise CommandError(" ".join(_next_steps(outcome, is_dry_run=is_dry_run)))
        self.stdout.write("Ours is what Stripe holds.")

    @property
    def _is_terminal(self) -> bool:
        return bool(self.stdout.isatty())

    def _show_progress(self, what: str, done: int, total: int | None) -> None:
        if not self._is_terminal:
            if done % LINE_EACH == 0:
                self.stdout.write(f"{done}{f' of {total}' if total else ''} {what} ...")
            return
        if total:
            filled = BAR_LENGTH * done // total
            text = f"[{'#' * filled}{'.' * (BAR_LENGTH - filled)}] {done} of {total} {what}"
        else:
            text = f"{done} {what}"
        self.stdout.write(f"\r{text:<79}", ending="")
        self.stdout.flush()


def aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _next_steps(outcome: Outcome, *, is_dry_run: bool) -> Iterable[str]:
    left = outcome.drifted - outcome.mended
    if is_dry_run:
        yield "Nothing was changed."
        if left:
            yield "Run it without --dry-run to mend what differs."
    elif left:
        yield f"{left} drifts remain: run it again, and if they stay, look into the log."
    if outcome.orphans:
        yield "Staff must decide about the orphans."
    if outcome.failures:
        yield "Run it again for what could not be looked at."


def _named(words: list[str]) -> list[UUID]:
    """Workspaces by id, or by their owner's address. Raises CommandError for what names none."""
    found: list[UUID] = []
    for word in words:
        workspaces = Workspace.objects.all()
        try:
            workspaces = workspaces.filter(pk=UUID(word))
        except ValueError:
            workspaces = workspaces.filter(membership__user__email=word.lower(), membership__role=Role.OWNER)
        ids = list(workspaces.values_list("pk", flat=True))
        if not ids:
            raise CommandError(f"No workspace is, or is owned by, {word}.")
        found += ids
    return found
