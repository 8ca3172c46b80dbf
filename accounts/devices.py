"""Where a person is signed in: browsers by their session, programs by their family of tokens.

allauth keeps which session is whose and from where (its UserSession); whether one still lives is read from
the session itself, for all of them at once.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, update_session_auth_hash
from django.contrib.sessions.models import Session as StoredSession
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.http import Http404, HttpRequest
from django.utils.crypto import constant_time_compare

from accounts import tokens
from accounts.addresses import client_ip
from accounts.models import RefreshToken, TokenFamily, User

# Of each kind, the latest.
LISTED = 50

NO_ADDRESS = "0.0.0.0"  # noqa: S104  (nothing is bound to it)
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iPadOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


@dataclass(frozen=True)
class Device:
    """Where somebody is signed in, as it is shown; `name` is empty where nothing is known of it."""

    id: str
    name: str
    address: str
    since: datetime
    last_seen: datetime | None = None
    is_this: bool = False


def user_agent(meta: Mapping[str, str]) -> str:
    """As the client names itself, in what a column holds."""
    return "".join(letter for letter in meta.get("HTTP_USER_AGENT", "") if letter.isprintable())[:200]


def remember(request: HttpRequest, user: User) -> None:
    """That this session, which has just begun, is the user's."""
    if not request.session.session_key:
        request.session.save()
    UserSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "ip": str(client_ip(request.META) or NO_ADDRESS),
            "user_agent": user_agent(request.META),
        },
    )


def forget(request: HttpRequest) -> None:
    """That this session, which is about to end, is anybody's."""
    UserSession.objects.filter(session_key=request.session.session_key).delete()


def keep(request: HttpRequest, user: User) -> None:
    """This browser stays signed in though the user's password or epoch has changed: called after it has."""
    before = request.session.session_key
    update_session_auth_hash(request, user)
    UserSession.objects.filter(session_key=before).update(session_key=request.session.session_key)


def browsers(user: User, *, present: str | None) -> list[Device]:
    """Those whose session lives, the latest first; two statements."""
    rows = list(_stored(user)[:LISTED])
    sessions = StoredSession.objects.in_bulk([row.session_key for row in rows])
    expected = user.get_session_auth_hash()
    return [
        Device(
            id=str(row.pk),
            name=named(row.user_agent),
            address="" if row.ip == NO_ADDRESS else row.ip,
            since=row.created_at,
            is_this=row.session_key == present,
        )
        for row in rows
        if row.session_key in sessions and _is_signed_in(sessions[row.session_key], expected)
    ]


def programs(user: User) -> list[Device]:
    """Those that hold a refresh token which is still good, the latest first; one statement."""
    return [
        Device(
            id=str(family.pk),
            name=family.user_agent,
            address="",
            since=family.created_at,
            last_seen=family.last_seen,
        )
        for family in _living_families(user)
        .annotate(last_seen=Max("tokens__created_at"))
        .order_by("-last_seen", "-id")[:LISTED]
    ]


def end_browser(request: HttpRequest, user: User, row_id: int) -> bool:
    """True when it is this one. Raises Http404 for a missing one and for somebody else's alike."""
    row = UserSession.objects.filter(user=user, pk=row_id).first()
    if row is None:
        raise Http404
    row.end()
    is_this: bool = row.session_key == request.session.session_key
    if is_this:
        request.session.flush()
    return is_this


def end_program(user: User, family_id: uuid.UUID) -> None:
    """Raises Http404 for a missing one and for somebody else's alike."""
    if not TokenFamily.objects.filter(user=user, revoked_at=None, pk=family_id).update(revoked_at=datetime.now(UTC)):
        raise Http404


@transaction.atomic
def end_others(request: HttpRequest, user: User) -> None:
    """Sign out everywhere but in this browser, of which also such sessions as nobody remembered."""
    tokens.revoke_families(user)
    keep(request, user)
    others = UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key)
    StoredSession.objects.filter(session_key__in=others.values("session_key")).delete()
    others.delete()


def forget_ended() -> int:
    """Delete what was noted of sessions that are gone; the number of rows."""
    return int(UserSession.objects.exclude(_has_session()).delete()[0])


def named(agent: str) -> str:
    """Firefox on Linux; empty for what names itself otherwise."""
    browser = next((name for word, name in BROWSERS.items() if re.search(rf"{word}\w*/", agent)), "")
    system = next((name for word, name in SYSTEMS.items() if word in agent), "")
    return " · ".join(word for word in (browser, system) if word)


def _stored(user: User) -> QuerySet[Any]:
    found: QuerySet[Any] = UserSession.objects.filter(_has_session(), user=user).order_by("-created_at", "-pk")
    return found


def _has_session() -> Exists:
    return Exists(StoredSession.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=datetime.now(UTC)))


def _is_signed_in(stored: StoredSession, expected: str) -> bool:
    return constant_time_compare(stored.get_decoded().get(HASH_SESSION_KEY, ""), expected)


def _living_families(user: User) -> QuerySet[TokenFamily]:
    good = RefreshToken.objects.filter(family=OuterRef("pk"), used_at=None, expires_at__gt=datetime.now(UTC))
    return TokenFamily.objects.filter(Exists(good), user=user, revoked_at=None)
