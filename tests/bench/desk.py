"""The desk's lists at a million workspaces against those at a thousand."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import httpx
import psycopg
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from accounts.models import User
from billing import roles
from deploy.files import LaunchError
from deploy.postgres import SUPERUSER, Cluster
from tests.bench import server
from tests.bench.figures import Figure, Pace
from tests.crowd import gather

FEW, FEW_LINES = 1_000, 10_000
# The overview is no list: it lives on what the nights have counted, and here there was none.
PAGES = {
    "workspaces": "/admin/accounts/workspace/",
    "workspaces by name": "/admin/accounts/workspace/?q=Crowd+770+Ltd",
    "workspaces by address": "/admin/accounts/workspace/?q=crowd770%40example.net",
    "workspaces by customer": "/admin/accounts/workspace/?q=cus_crowd770",
    "suspended workspaces": "/admin/accounts/workspace/?suspended_at__isempty=0",
    "people": "/admin/accounts/user/",
    "subscriptions": "/admin/billing/subscription/",
    "active subscriptions": "/admin/billing/subscription/?status=active",
    "ledger": "/admin/billing/ledgerentry/",
    "grants in the ledger": "/admin/billing/ledgerentry/?kind__exact=grant",
    "a customer's ledger": "/admin/billing/ledgerentry/?q=cus_crowd770",
    "periods": "/admin/billing/usageperiod/",
    "credits": "/admin/billing/creditgrant/",
    "refusals": "/admin/billing/refusal/",
    "deliveries": "/admin/billing/stripeevent/",
    "dead deliveries": "/admin/billing/stripeevent/?state=dead",
    "audit": "/admin/billing/auditentry/",
    "past due": "/admin/dunning/",
}


def employ() -> str:
    """The cookie of somebody of the admin role, with a second factor; in the database that Django is set up with."""
    user = User.objects.create_user("chief@staff.example", None, fullname="Chief", is_email_verified=True)
    roles.appoint(user, roles.ADMIN)
    TOTP.activate(user, generate_totp_secret())
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def fill(cluster: Cluster, database: str, *, workspaces: int, lines: int, say: Callable[[str], None]) -> None:
    with psycopg.connect(cluster.url(database, SUPERUSER), autocommit=True) as superuser:
        gather(superuser, workspaces=workspaces, lines=lines, say=say)
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


def lists(few: str, many: str, cookie: str, pace: Pace, *, workspaces: int) -> list[Figure]:
    """Each page in turn on both; the medians, and the worst of their ratios."""
    rounds = max(5, pace.rounds)
    seen: dict[str, dict[str, float]] = {}
    for name, path in PAGES.items():
        taken: dict[str, list[float]] = {few: [], many: []}
        for api in (few, many):
            _open(api, path, cookie)
        for _ in range(rounds):
            for api in (few, many):
                taken[api].append(_open(api, path, cookie))
        seen[name] = {api: median(times) for api, times in taken.items()}
    ratios = {name: times[many] / times[few] for name, times in seen.items()}
    worst = max(ratios, key=lambda name: ratios[name])
    middle = median(ratios.values())
    told = f"{seen[worst][few] * 1000:.0f} ms, {seen[worst][many] * 1000:.0f} ms: {worst}"
    return [
        Figure(
            f"the slowest list of the desk with {workspaces:,} workspaces, against {FEW:,} (medians)",
            ratios[worst],
            1.5,
            at_most=True,
            seen=told,
        ),
        Figure(
            f"the {len(PAGES)} lists of the desk with {workspaces:,} workspaces, against {FEW:,} (median of them)",
            middle,
            1.5,
            at_most=True,
            seen=", ".join(_slowest(ratios)),
        ),
    ]


def _slowest(ratios: dict[str, float]) -> Sequence[str]:
    return [f"{name} {ratios[name]:.2f}" for name in sorted(ratios, key=lambda name: -ratios[name])[:3]]


def _open(api: str, path: str, cookie: str) -> float:
    """Seconds. A list that does not open is no figure."""
    address = api.removesuffix("/api/v1") + path
    headers = {"X-Forwarded-Proto": "https", "Cookie": f"sessionid={cookie}"}
    begun = time.perf_counter()
    answer = httpx.get(address, headers=headers, timeout=120)
    seconds = time.perf_counter() - begun
    if answer.status_code != 200:
        raise LaunchError(f"{path} answered {answer.status_code}: {server.SCRATCH} has the logs.")
    return seconds
