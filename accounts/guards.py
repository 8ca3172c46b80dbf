"""Counts tries against guessing, in PostgreSQL: with the cache away these guards still hold (invariant 15)."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.errors import Problem
from accounts.models import Attempt


@dataclass(frozen=True)
class Limit:
    scope: str
    tries: int
    window: timedelta


SIGN_IN_ADDRESS = Limit("sign-in address", 10, timedelta(minutes=1))
SIGN_IN_ACCOUNT = Limit("sign-in account", 5, timedelta(minutes=5))
REGISTRATION = Limit("registration", 100, timedelta(hours=1))
RESET = Limit("reset", 5, timedelta(hours=1))
VERIFICATION = Limit("verification", 5, timedelta(hours=1))
EMAIL_CHANGE = Limit("e-mail change", 5, timedelta(hours=1))
ADDRESS_TAKEN = Limit("address taken", 3, timedelta(hours=1))
INVITATION = Limit("invitation", 50, timedelta(hours=1))
LONGEST_WINDOW = timedelta(hours=1)


class TooManyTries(Problem):
    def __init__(self, wait: timedelta) -> None:
        seconds = max(1, int(wait.total_seconds()) + 1)
        minutes = -(-seconds // 60)
        super().__init__(
            ngettext(
                "Too many tries. Wait %(seconds)d second and try again.",
                "Too many tries. Wait %(seconds)d seconds and try again.",
                seconds,
            )
            % {"seconds": seconds}
            if minutes < 3
            else _("Too many tries. Wait %(minutes)d minutes and try again.") % {"minutes": minutes},
            "rate_limited",
            status=429,
            headers={"Retry-After": str(seconds)},
        )


def count(limit: Limit, subject: str) -> None:
    """Count this try, whatever becomes of it. Raises TooManyTries, and then counts nothing."""
    if not settings.RATE_LIMITS:
        return
    with _alone(limit, subject):
        _refuse_over(limit, subject)
        _record(limit, subject)


@contextmanager
def guessing(*, address: str, account: str) -> Iterator[list[bool]]:
    """Around a check of credentials; append whether it succeeded to the list. Raises TooManyTries.

    Only failures count. The tries at one account wait for each other, so that sixty-four guesses
    sent at once are sixty-four guesses. Those of one address do not, for many people share one: they
    take turns only to be counted, and who is then past the limit does not learn the outcome.
    """
    outcome: list[bool] = []
    if not settings.RATE_LIMITS:
        yield outcome
        return
    with _alone(SIGN_IN_ACCOUNT, account):
        _refuse_over(SIGN_IN_ACCOUNT, account)
        _refuse_over(SIGN_IN_ADDRESS, address)
        yield outcome
        with _alone(SIGN_IN_ADDRESS, address):
            _refuse_over(SIGN_IN_ADDRESS, address)
            if outcome != [True]:
                _record(SIGN_IN_ACCOUNT, account)
                _record(SIGN_IN_ADDRESS, address)


def forget(limit: Limit, subject: str) -> int:
    """Let somebody try again at once; the number of tries that are forgotten."""
    return Attempt.objects.filter(scope=limit.scope, subject=_hash(subject)).delete()[0]


def forget_old(now: datetime) -> int:
    """Delete what no window reaches any more; the number of rows."""
    return Attempt.objects.filter(at__lt=now - LONGEST_WINDOW).delete()[0]


@contextmanager
def _alone(limit: Limit, subject: str) -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            key = int.from_bytes(_hash(limit.scope + subject)[:8], signed=True)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        yield


def _refuse_over(limit: Limit, subject: str) -> None:
    now = datetime.now(UTC)
    tries = Attempt.objects.filter(scope=limit.scope, subject=_hash(subject), at__gt=now - limit.window).aggregate(
        count=Count("id"), first=Min("at")
    )
    if tries["count"] >= limit.tries:
        raise TooManyTries(tries["first"] + limit.window - now)


def _record(limit: Limit, subject: str) -> None:
    Attempt.objects.create(scope=limit.scope, subject=_hash(subject), at=datetime.now(UTC))


def _hash(subject: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), subject.encode(), hashlib.sha256)
