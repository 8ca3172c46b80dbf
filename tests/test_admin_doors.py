"""The desk's every address, by role: nothing fails, nothing that is shown is refused, nothing is done by a GET."""

import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, resolve

from accounts.models import User, Workspace
from billing import roles
from billing.models import AuditEntry, Batch, Plan
from tests.billing.stripe.digest import digest
from tests.desk import Desk, employ
from tests.people import Person

LINK = re.compile(r'<(?:a|form)\b[^>]*?\b(?:href|action|hx-get)="([^"#]*)')
# Of one kind of page so many are looked at.
ENOUGH = 2
MOST = 400


@pytest.fixture
def furnished(bob: Person, alice: Person, team: Workspace) -> None:
    """Something of each kind, so that every kind of page has one to show."""
    bob.post("/sessions", {"title": "Run"})
    plan = Plan.objects.get(slug=Plan.FREE)
    plan.runs_limit = 1
    plan.save(update_fields=["runs_limit"])
    bob.post("/sessions")
    Batch.objects.create(
        act="sync", parameters={"zone": "UTC"}, reason="A test", actor=bob.user, created_at=bob.user.created_at
    )
    assert AuditEntry.objects.exists()


def addresses(patterns: list[Any], before: str = "/admin/") -> list[str]:
    """Of every view, with the parameters still to be filled in."""
    found = []
    for pattern in patterns:
        here = before + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            found += addresses(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern):
            found.append(here)
    return found


def filled(address: str, bob: Person) -> str:
    """With what there is: the rows of bob, or of the table that the address names."""
    table = re.match(r"/admin/(\w+/\w+)/", address)
    models = {f"{m._meta.app_label}/{m._meta.model_name}": m for m in admin.site._registry}
    found = models.get(table[1]) if table else None
    row = found._default_manager.first() if found is not None else None
    values = {"name": "give-credits", "pk": str(bob.workspace.pk), "app_label": "billing", "url": "nothing"}
    key = str(row.pk) if row is not None else str(bob.workspace.pk)
    address = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda m: values.get(m[1], "billing"), address)
    address = re.sub(
        r"<(?:\w+:)?(\w+)>", lambda m: values.get(m[1], key) if m[1] != "pk" or row is None else key, address
    )
    return address.replace("$", "").replace("\\Z", "").replace("\\", "")


def crawl(desk: Desk, start: list[str]) -> dict[str, int]:
    """Every page that pages lead to, a few of each kind; the status of each."""
    seen: dict[str, int] = {}
    kinds: dict[str, int] = {}
    waiting = list(start)
    while waiting and len(seen) < MOST:
        address = waiting.pop(0)
        parts = urlsplit(address)
        # Filters one at a time: together they would be without number.
        if address in seen or not parts.path.startswith("/admin/") or "logout" in parts.path or "&" in parts.query:
            continue
        kind = resolve(parts.path).view_name + parts.query.partition("=")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] > (50 if "act" in kind else ENOUGH):
            continue
        answer = desk.client.get(address)
        seen[address] = answer.status_code
        if answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]:
            for link in LINK.findall(answer.content.decode()):
                link = html.unescape(link)
                waiting.append(link if link.startswith("/") else parts.path + link if link.startswith("?") else "")
    return seen


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.BILLING, roles.ADMIN])
def test_whatever_a_role_is_shown_it_may_open(role: str, furnished: None, bob: Person) -> None:
    desk = employ(role)
    pages = [f"/admin/accounts/workspace/{bob.workspace.pk}/change/", f"/admin/accounts/user/{bob.user.pk}/change/"]
    seen = crawl(desk, ["/admin/", *pages])
    # All that there is, and not as much as there was time for.
    assert 60 < len(seen) < MOST, seen
    # What only takes forms is named by a form, and not shown.
    assert {address: status for address, status in seen.items() if status not in (200, 302, 405)} == {}


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.BILLING, roles.ADMIN])
def test_no_address_fails_and_none_does_anything_when_it_is_only_opened(
    role: str, furnished: None, bob: Person
) -> None:
    desk = employ(role)
    before = digest()
    for address in addresses(admin.site.get_urls()):
        answer = desk.client.get(filled(address, bob))
        assert answer.status_code in (200, 301, 302, 400, 403, 404, 405, 409, 503), (address, answer.status_code)
    after = digest()
    ignored = {"django_session", "cache"}
    assert {table for table in after if before.get(table) != after[table]} - ignored == set()


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.BILLING, ""])
def test_an_empty_form_does_nothing_anywhere(role: str, furnished: None, bob: Person, charlie: Person) -> None:
    """Nor does one of somebody who is no staff, or whose role does not reach so far."""
    desk = employ(role) if role else Desk(charlie)
    before = digest()
    for address in addresses(admin.site.get_urls()):
        if "logout" in address:
            continue
        answer = desk.client.post(filled(address, bob), {"reason": "All the same"})
        assert answer.status_code in (200, 301, 302, 400, 403, 404, 405, 409, 503), (address, answer.status_code)
    after = digest()
    ignored = {"django_session", "cache", "accounts_idempotentrequest"}
    assert {table for table in after if before.get(table) != after[table]} - ignored == set()


def test_what_a_form_lacks_is_said_on_a_page_of_the_desk(db: None) -> None:
    desk = employ(roles.ADMIN)
    before = digest()
    answer = desk.client.post("/admin/billing/stripeevent/replay/", {"reason": "A test"})
    assert answer.status_code == 400
    (said,) = re.findall(r'<p [^>]*role="alert">([^<]+)</p>', answer.content.decode())
    assert said == "This form was not complete. Load the page again, and send it from there."
    assert "nav-sidebar" in answer.content.decode()
    after = digest()
    assert {table for table in after if before.get(table) != after[table]} <= {"django_session"}


def test_nobody_else_comes_in(bob: Person) -> None:
    for client in (Client(), Desk(bob).client):
        for address in addresses(admin.site.get_urls()):
            if "login" in address or "jsi18n" in address:
                continue
            answer = client.get(filled(address, bob))
            assert answer.status_code in (301, 302, 404), (address, answer.status_code)
            if answer.status_code == 302:
                assert "/login/" in answer.headers["Location"] or "logout" in address, (address, answer.headers)


def test_roles_are_groups_that_every_migrate_brings_up_to_date(db: None, bob: Person) -> None:
    from django.contrib.auth.models import Group, Permission

    Group.objects.get(name=roles.SUPPORT).permissions.add(Permission.objects.get(codename="move_money"))
    Group.objects.filter(name=roles.BILLING).delete()
    roles.load()
    assert not Group.objects.get(name=roles.SUPPORT).permissions.filter(codename="move_money").exists()
    held = {
        name: set(Group.objects.get(name=name).permissions.values_list("codename", flat=True)) for name in roles.ROLES
    }
    assert held[roles.SUPPORT] < held[roles.BILLING] < held[roles.ADMIN]
    assert not {one for one in held[roles.ADMIN] if one.startswith("delete_")}
    assert (roles.role_of(bob.user), roles.most_runs(bob.user), roles.most_money(bob.user)) == ("", 0, 0)


def test_somebody_who_is_staff_without_a_role_sees_nothing_of_customers(bob: Person, alice: Person) -> None:
    User.objects.filter(pk=bob.user.pk).update(is_staff=True)
    desk = Desk(bob)
    assert desk.client.get("/admin/").status_code == 200
    for address in ("/admin/accounts/workspace/", f"/admin/accounts/workspace/{alice.workspace.pk}/change/"):
        assert desk.client.get(address).status_code == 403
    assert desk.act("give-credits", alice.workspace, runs=5).status_code == 403
