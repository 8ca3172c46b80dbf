"""The people of the demo."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import clock
from accounts.models import User, Workspace
from billing import lifecycle
from billing.models import Plan, Subscription

PEOPLE = {
    "pro@example.com": "Petra Pro",
    "free@example.com": "Fred Free",
    "team@example.com": "Tara Team",
    "staff@example.com": "Stefan Staff",
}
COMP_LENGTH = timedelta(days=365)


class Command(BaseCommand):
    help = "Make the demo's accounts, or give those that are there the password; refused in production."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password", required=True, help="The one password of them all.")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("seed_demo makes accounts with a known password and is refused in production.")
        now = clock.now()
        people = {email: self._person(email, options["password"]) for email in PEOPLE}
        User.objects.filter(email="staff@example.com").update(is_staff=True, is_superuser=True)
        team = people["team@example.com"]
        if not team.ownerships.filter(workspace__personal_user=None).exists():
            Workspace.objects.open(name="Team Tara", owner=team, now=now)
        pro = Subscription.objects.with_plans().get(workspace__personal_user=people["pro@example.com"])
        if pro.comp_end is None or pro.comp_end <= now:
            plan = Plan.objects.get(slug=Plan.PRO)
            lifecycle.comp(pro, plan=plan, until=now + COMP_LENGTH, reason="Demo account", actor=None, now=now)
        self.stdout.write(f"{len(people)} demo accounts: {', '.join(people)}.")

    def _person(self, email: str, password: str) -> User:
        user = User.objects.filter(email=email).first()
        if user is None:
            return User.objects.create_user(email, password, fullname=PEOPLE[email], is_email_verified=True)
        if not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        return user
