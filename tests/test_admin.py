"""The admin: everything opens in a constant number of statements, and only plans and people are edited there."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import LedgerEntry, Plan, Subscription
from tests.people import Person, person

type Statements = Callable[[], CaptureQueriesContext]

OURS = [model for model in admin.site._registry if model._meta.app_label in ("accounts", "billing", "sessions_app")]


@pytest.fixture
def desk(staff: Person) -> Client:
    """The browser of a member of staff."""
    client = Client()
    client.force_login(staff.user)
    return client


def listed(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def shown(row: models.Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_opens_in_a_constant_number_of_statements(
    desk: Client, bob: Person, statements: Statements, model: type[models.Model]
) -> None:
    def count() -> int:
        with statements() as seen:
            assert desk.get(listed(model)).status_code == 200
        return len(seen)

    bob.post("/sessions")
    before = count()
    for number in range(5):
        person(f"number{number}@example.com", plan=Plan.PRO).post("/sessions")
    assert count() == before


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_row_opens(desk: Client, bob: Person, model: type[models.Model]) -> None:
    bob.post("/sessions")
    for row in model._default_manager.all()[:1]:
        # A subscription is shown with all that is known of its workspace.
        assert desk.get(shown(row), follow=model is Subscription).status_code == 200


def test_a_search_by_address_finds_the_subscription(desk: Client, bob: Person, charlie: Person) -> None:
    page = desk.get(listed(Subscription), {"q": "bob@example.com"}).content.decode()
    assert (bob.workspace.name in page, charlie.workspace.name in page) == (True, False)


def test_the_ledger_cannot_be_changed(desk: Client, bob: Person) -> None:
    bob.post("/sessions")
    line = LedgerEntry.objects.get()
    assert desk.post(shown(line), {"quantity": 5}).status_code == 403
    assert desk.post(shown(line).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert desk.get(reverse("admin:billing_ledgerentry_add")).status_code == 403
    assert LedgerEntry.objects.get().quantity == -1


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_customers_do_not_come_in(bob: Person, model: type[models.Model]) -> None:
    client = Client()
    client.force_login(bob.user)
    answer = client.get(listed(model))
    assert (answer.status_code, answer.headers["Location"].startswith("/admin/login/")) == (302, True)
