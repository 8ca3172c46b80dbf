"""Make somebody staff, from the server's shell: the first of them, who appoints the others on the desk."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import clock
from accounts.models import User, UserManager
from billing import audit, roles


class Command(BaseCommand):
    help = "Give an account a staff role, or take it away with --role none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="Of an account that is there.")
        parser.add_argument("--role", required=True, choices=[*(name.lower() for name in roles.ROLES), "none"])
        parser.add_argument("--reason", default="Appointed from the server's shell")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        email = UserManager.normalize_email(options["email"])
        user = User.objects.select_for_update().filter(email=email).first()
        if user is None:
            raise CommandError(f"No account has the address {email}. Sign up with it first.")
        if not user.is_active:
            raise CommandError(f"The account {email} is deactivated, and cannot be staff.")
        before, role = roles.role_of(user), "" if options["role"] == "none" else options["role"].title()
        roles.appoint(user, role)
        audit.record(
            "appoint",
            target=user,
            reason=options["reason"],
            actor=None,
            now=clock.now(),
            before={"role": before},
            after={"role": role},
        )
        self.stdout.write(f"{email} has the role {role}." if role else f"{email} is not staff any more.")
