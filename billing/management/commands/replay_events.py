"""Let events that were given up be tried again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import clock
from billing import deliveries
from billing.models import StripeEvent


class Command(BaseCommand):
    help = "Try dead and unmatched events again, from the first attempt on; without ids, list them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="evt_...", help="Ids of Stripe's.")
        parser.add_argument("--all-dead", action="store_true", help="Every dead one.")

    def handle(self, *args: Any, **options: Any) -> None:
        events = deliveries.ended().order_by("id")
        if options["all_dead"]:
            chosen = events.filter(state=StripeEvent.State.DEAD)
        elif options["ids"]:
            chosen = events.filter(stripe_id__in=options["ids"])
            missing = set(options["ids"]) - set(chosen.values_list("stripe_id", flat=True))
            if missing:
                raise CommandError(f"Neither dead nor unmatched: {', '.join(sorted(missing))}.")
        else:
            self._list(events)
            return
        count = deliveries.replay(chosen, reason="manage.py replay_events", actor=None, now=clock.now())
        self.stdout.write(f"{count} events wait again; a worker takes them within 15 seconds.")

    def _list(self, events: Any) -> None:
        for event in events.iterator():
            self.stdout.write(
                f"{event.stripe_id}  {event.received_at:%Y-%m-%d %H:%M}  {event.state}  {event.type}  {event.error}"
            )
        self.stdout.write(f"{events.count()} events are dead or unmatched.")
