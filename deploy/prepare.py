"""Brings the demo's database up to date in one process: migrations, plans, demo accounts."""

import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        django.setup()
        prepare()
    except (CommandError, ImproperlyConfigured) as error:
        sys.exit(str(error))


def prepare() -> None:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        sys.exit(f"The database that DATABASE_URL names cannot be reached: {error}".strip())
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=1)
    # Products and prices too, where there is a Stripe to make them at.
    call_command("sync_plans", *(["--create"] if os.environ.get("STRIPE_SECRET_KEY") else []))
    # In one word with its option: a password may begin with a dash.
    call_command("seed_demo", f"--password={os.environ['DEMO_PASSWORD']}")


if __name__ == "__main__":
    main()
