"""The roles of staff: groups of permissions, brought up to date with every `migrate`.

Support reads everything, helps people to sign in, and gives a few runs. Billing does all that concerns
plans and money. Admin decides beside that about people, about staff, and about large sums.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db.models import Q

from accounts.models import User

SUPPORT, BILLING, ADMIN = "Support", "Billing", "Admin"

#: What support may do beside looking, by permission.
_SUPPORT: Final = (
    "billing.give_credits",
    "billing.sync_with_stripe",
    "accounts.help_person",
    "accounts.sign_in_as",
)
_BILLING: Final = (
    *_SUPPORT,
    "billing.steer_subscription",
    "billing.move_money",
    "billing.replay_events",
    "billing.reconcile",
    "billing.add_plan",
    "billing.change_plan",
    "billing.add_price",
    "billing.change_price",
)
_ADMIN: Final = (
    *_BILLING,
    "billing.decide_large",
    "accounts.decide_person",
    "accounts.appoint_staff",
)
ROLES: Final = {SUPPORT: _SUPPORT, BILLING: _BILLING, ADMIN: _ADMIN}
# Tables that hold keys or tokens, or are nobody's business.
HIDDEN: Final = ("authenticator", "apikey", "webhookendpoint", "session", "refreshtoken", "tokenfamily")
APPS: Final = ("accounts", "billing", "sessions_app", "djstripe", "mfa")


def load(**_kwargs: Any) -> None:
    """Make the groups, or bring them to what is written here. Called after every `migrate`."""
    for name, more in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(_viewing() | _named(more))


def _viewing() -> Any:
    return Permission.objects.filter(content_type__app_label__in=APPS, codename__startswith="view_").exclude(
        content_type__app_label="djstripe", content_type__model__in=HIDDEN
    )


def _named(names: Iterable[str]) -> Any:
    wanted = Q(pk=None)
    for name in names:
        app, _, codename = name.partition(".")
        wanted |= Q(content_type__app_label=app, codename=codename)
    return Permission.objects.filter(wanted)


def role_of(user: User) -> str:
    """The highest role, empty for who is not staff or has none."""
    if not user.is_staff:
        return ""
    if user.is_superuser:
        return ADMIN
    held = set(user.groups.filter(name__in=ROLES).values_list("name", flat=True))
    return next((name for name in (ADMIN, BILLING, SUPPORT) if name in held), "")


def appoint(user: User, role: str) -> None:
    """Give this role and no other; an empty one ends being staff."""
    user.is_staff, user.is_superuser = bool(role), False
    user.save(update_fields=["is_staff", "is_superuser"])
    user.user_permissions.clear()
    user.groups.set(Group.objects.filter(name=role) if role else [])


def most_runs(user: User) -> int | None:
    """That a member of staff may give in one act; None for no limit."""
    if user.has_perm("billing.decide_large"):
        return None
    if user.has_perm("billing.steer_subscription"):
        return int(settings.STAFF_LARGE_RUNS)
    return int(settings.STAFF_SUPPORT_RUNS) if user.has_perm("billing.give_credits") else 0


def most_money(user: User) -> int | None:
    """In minor units, that a member of staff may move in one act; None for no limit."""
    if user.has_perm("billing.decide_large"):
        return None
    return int(settings.STAFF_LARGE_AMOUNT) if user.has_perm("billing.move_money") else 0
