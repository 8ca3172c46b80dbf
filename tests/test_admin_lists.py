"""The lists of the desk, whatever their size: few statements, each by an index, and never a count of it all."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User, Workspace
from billing.models import (
    AuditEntry,
    CreditGrant,
    LedgerEntry,
    Refusal,
    StripeEvent,
    StripeOperation,
    Subscription,
    UsagePeriod,
)
from billing.proofs import PROOFS
from sessions_app.proofs import RUN_PROOFS
from tests.crowd import gather
from tests.people import person

MOST = 12
# What there are millions of.
LARGE = (
    *("accounts_user", "accounts_workspace", "accounts_membership", "billing_subscription", "billing_usageperiod"),
    *("billing_ledgerentry", "billing_creditgrant", "billing_refusal", "billing_stripeevent", "billing_auditentry"),
    *("billing_stripeoperation", "billing_subscriptionchange", "djstripe_invoice", "djstripe_customer"),
    *("djstripe_charge", "djstripe_subscription", "sessions_app_session"),
)
TABLES: list[type[models.Model]] = [
    *(Workspace, User, Subscription, UsagePeriod, LedgerEntry, CreditGrant, Refusal),
    *(StripeEvent, StripeOperation, AuditEntry),
]
# The runs of the crowd are counted, and are no rows.
FOREIGN = {proof.name for proof in RUN_PROOFS}
SEARCHES = ["crowd77@example.net", "Crowd 77", "cus_crowd77", "sub_crowd70", "evt_crowd7", "in_none", "no such thing"]


@pytest.fixture(scope="module")
def crowd(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Two thousand workspaces, once for the module; taken away with its transaction."""
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        connection.ensure_connection()
        gather(connection.connection, workspaces=2000, lines=20_000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        yield
        transaction.set_rollback(True)


@pytest.fixture
def desk(crowd: None, db: None) -> Client:
    client = Client()
    client.force_login(person("chief@staff.example", is_staff=True, is_superuser=True).user)
    return client


def listed(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def scanned(seen: CaptureQueriesContext) -> list[str]:
    """Of large tables that a statement would read from end to end though it must not."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for query in seen.captured_queries:
            sql = str(query["sql"])
            if sql.startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
                found += [f"{table}: {sql[:400]}" for table in re.findall(r"Seq Scan on (\w+)", plan) if table in LARGE]
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found


def opened(desk: Client, path: str, query: dict[str, str]) -> str:
    with CaptureQueriesContext(connection) as seen:
        answer = desk.get(path, query)
    assert answer.status_code == 200, (path, query)
    assert len(seen) <= MOST, (path, query, len(seen))
    assert scanned(seen) == [], (path, query)
    assert not [one for one in seen.captured_queries if "COUNT(*)" in str(one["sql"]).upper()], (path, query)
    return str(answer.content.decode())


def test_the_crowd_is_as_the_service_would_have_made_it(crowd: None, db: None) -> None:
    with connection.cursor() as cursor:
        for proof in PROOFS:
            if proof.name in FOREIGN:
                continue
            cursor.execute(proof.sql)
            assert (proof.name, cursor.fetchone()) == (proof.name, None)


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_every_list_and_filter_is_read_along_an_index(desk: Client, model: type[models.Model]) -> None:
    page = opened(desk, listed(model), {})
    opened(desk, listed(model), {"p": "2"})
    links = set(re.findall(r'href="\?([^"#]+)"', page))
    queries = [dict(part.partition("=")[::2] for part in link.split("&amp;")) for link in links]
    filters = [query for query in queries if query and not {"p", "o"} & set(query)]
    for query in filters:
        opened(desk, listed(model), {name: value.replace("+", " ") for name, value in query.items()})


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
@pytest.mark.parametrize("text", SEARCHES)
def test_every_search_is_by_an_index(desk: Client, model: type[models.Model], text: str) -> None:
    opened(desk, listed(model), {"q": text})


@pytest.mark.parametrize("path", ["/admin/", "/admin/dunning/", "/admin/dunning/cards/", "/admin/reconciliation/"])
def test_every_desk_is_read_along_indexes_too(desk: Client, path: str) -> None:
    with CaptureQueriesContext(connection) as seen:
        assert desk.get(path).status_code == 200
    assert len(seen) <= MOST
    assert scanned(seen) == []
    if "cards" in path:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            sqls = [str(one["sql"]) for one in seen.captured_queries if "card_expires_at" in str(one["sql"])]
            cursor.execute(f"EXPLAIN {sqls[0]}")
            assert "subscription_card_expires" in "\n".join(row[0] for row in cursor.fetchall())
            cursor.execute("SET LOCAL enable_seqscan = on")


@pytest.mark.parametrize("text", ["crowd77@example.net", "Crowd 77", "cus_crowd77", "sub_crowd70"])
def test_a_customer_is_found_by_any_name(desk: Client, text: str) -> None:
    page = opened(desk, listed(Workspace), {"q": text})
    assert "Crowd 7" in page


def test_a_customer_is_found_by_any_id_of_ours(desk: Client) -> None:
    workspace = Workspace.objects.get(name="Crowd 80 Ltd")
    line = LedgerEntry.objects.filter(workspace=workspace, kind="consume")[0]
    grant = CreditGrant.objects.get(workspace=workspace)
    ids = [workspace.pk, workspace.personal_user_id, workspace.subscription.pk, line.pk, line.run_id, grant.pk]
    for id in ids:
        page = opened(desk, listed(Workspace), {"q": str(id)})
        assert ("Crowd 80 Ltd" in page, "Crowd 81 Ltd" in page) == (True, False)


def test_the_search_over_all_of_the_desk_leads_to_the_customer(desk: Client) -> None:
    with CaptureQueriesContext(connection) as seen:
        text = desk.get("/admin/search/", {"s": "cus_crowd77"}).content.decode()
    assert ("Crowd 77" in text, "/admin/accounts/workspace/" in text) == (True, True)
    assert scanned(seen) == []


def test_the_page_of_a_customer_costs_the_same_for_all(desk: Client) -> None:
    def count(name: str) -> int:
        workspace = Workspace.objects.get(name=name)
        with CaptureQueriesContext(connection) as seen:
            address = reverse("admin:accounts_workspace_change", args=[workspace.pk])
            assert desk.get(address).status_code == 200
        assert scanned(seen) == []
        return len(seen)

    assert count("Crowd 70 Ltd") == count("Crowd 80 Ltd") <= 35


def test_every_table_of_the_desk_is_looked_at_here() -> None:
    ours = {model for model in admin.site._registry if model._meta.app_label in ("accounts", "billing")}
    small = {"Plan", "Price", "Batch", "ReconciliationReport"}
    assert {model.__name__ for model in ours} - small == {model.__name__ for model in TABLES}
