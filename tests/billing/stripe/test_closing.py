"""Closing a workspace ends what is paid for it first, and at Stripe (invariant 14)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from django.db import connection
from django.http import Http404
from pytest_django import Settings as SettingsWrapper

from accounts import clock, teams
from accounts.errors import Problem
from accounts.models import Role, User, Workspace
from accounts.roles import RoleRequired
from billing import gateway, jobs, lifecycle, proofs, reconciliation
from billing.models import Price, StripeOperation, Subscription, SubscriptionChange
from billing.snapshots import LIVE
from tests.accounts.browsing import Browser
from tests.accounts.test_teams import close as close_here
from tests.accounts.test_teams import transfer
from tests.billing.stripe.payer import Payer
from tests.fake_stripe.running import StandIn
from tests.people import PASSWORD, Person, join

PAGE = "/workspace/close"


@pytest.fixture
def owner(shop: StandIn, stripe_client: stripe.StripeClient, tara: Person) -> Payer:
    """tara, in the team that she owns, with a way to pay."""
    return Payer(tara, shop, stripe_client)


def close(payer: Payer) -> None:
    lifecycle.close(payer.row, actor=payer.person.user, now=clock.now())


def is_open(payer: Payer) -> bool:
    return Workspace.objects.get(pk=payer.person.workspace.pk).closed_at is None


def statuses(payer: Payer) -> list[str]:
    return [str(one.status) for one in payer.at_stripe]


def open_sessions(payer: Payer) -> list[str]:
    listed = payer.client.v1.checkout.sessions.list({"customer": payer.customer, "status": "open"})
    return [one.id for one in listed.data]


def causes(payer: Payer) -> list[tuple[str, str | None]]:
    changes = SubscriptionChange.objects.filter(subscription=payer.row).order_by("id")
    return [(change.cause, change.actor.email if change.actor else None) for change in changes]


def test_a_paid_plan_ends_at_stripe_and_then_the_workspace_is_closed(owner: Payer) -> None:
    owner.buy("pro")
    close(owner)
    assert (statuses(owner), is_open(owner)) == (["canceled"], False)
    assert owner.row.stripe_status == "canceled"
    assert causes(owner)[-2:] == [("cancel", "tara@example.com"), ("close", "tara@example.com")]
    assert owner.refunds == []
    owner.travel(days=40)
    assert len(owner.invoices) == 1


def test_a_workspace_that_never_paid_asks_stripe_for_nothing(owner: Payer, calls: Callable[[], list[str]]) -> None:
    close(owner)
    assert (calls(), is_open(owner)) == ([], False)


def test_without_stripe_a_workspace_that_pays_nothing_is_closed_and_one_that_pays_is_not(
    owner: Payer, settings: SettingsWrapper
) -> None:
    owner.buy("pro")
    key = settings.STRIPE_SECRET_KEY
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(gateway.BillingNotConfigured):
        close(owner)
    assert is_open(owner)
    settings.STRIPE_SECRET_KEY = key
    owner.client.v1.subscriptions.cancel(owner.one.id)
    owner.sync()
    settings.STRIPE_SECRET_KEY = ""
    close(owner)
    assert not is_open(owner)


@pytest.mark.parametrize("state", ["cancelled", "changing", "past_due", "incomplete", "not collected"])
def test_whatever_is_live_is_ended(owner: Payer, state: str) -> None:
    if state == "incomplete":
        owner.checkout("pro")
        price = Price.objects.get(plan__slug="pro", interval="month").stripe_price_id
        owner.client.v1.subscriptions.create(
            {
                "customer": owner.customer,
                "items": [{"price": str(price)}],
                "payment_behavior": "default_incomplete",
            }
        )
        assert statuses(owner) == ["incomplete"]
    else:
        owner.buy("pro")
    if state == "cancelled":
        assert owner.post("cancel").status_code == 200
    elif state == "changing":
        assert owner.post("change-plan", {"plan": "basic"}).status_code == 200
    elif state == "past_due":
        owner.card("pm_card_chargeCustomerFail")
        owner.travel(days=31, hours=2)
    elif state == "not collected":
        owner.client.v1.subscriptions.update(owner.one.id, {"pause_collection": {"behavior": "void"}})
    close(owner)
    assert not LIVE & set(statuses(owner))
    assert not is_open(owner)
    assert not StripeOperation.objects.filter(kind="restore", finished_at=None).exists()


def test_two_live_subscriptions_are_both_ended(owner: Payer) -> None:
    owner.buy("pro")
    price = owner.one["items"].data[0].price.id
    owner.client.v1.subscriptions.create(
        {
            "customer": owner.customer,
            "items": [{"price": price}],
            "default_payment_method": str(owner.one.default_payment_method),
        }
    )
    close(owner)
    assert (statuses(owner), is_open(owner)) == (["canceled", "canceled"], False)


def test_an_open_checkout_is_expired_so_that_nobody_pays_for_what_is_closed(owner: Payer) -> None:
    session = owner.checkout("pro")
    assert open_sessions(owner) == [session]
    close(owner)
    assert (open_sessions(owner), is_open(owner)) == ([], False)


def test_what_is_bought_in_the_instant_of_closing_is_ended(owner: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    session = owner.checkout("pro")
    expire = gateway.expire_checkout

    def too_late(id: str) -> None:
        # Somebody pays between our look at it and our call.
        owner.stand_in.pay(session, "4242424242424242")
        expire(id)

    monkeypatch.setattr(gateway, "expire_checkout", too_late)
    close(owner)
    assert (statuses(owner), is_open(owner)) == (["canceled"], False)


def test_a_checkout_that_was_asked_for_before_and_begins_after_is_not_begun(owner: Payer) -> None:
    subscription = owner.row
    close(owner)
    with pytest.raises(Http404):
        lifecycle.start_checkout(
            subscription,
            plan="pro",
            interval="month",
            currency=None,
            success_url="http://127.0.0.1:8000/",
            cancel_url="http://127.0.0.1:8000/",
            now=clock.now(),
        )
    assert owner.row.stripe_customer_id is None


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "GET /v1/customers/{id}", "status": 500},
        {"path": "GET /v1/checkout/sessions", "status": 500},
        {"path": "DELETE /v1/subscriptions/{id}", "status": 500},
        {"path": "DELETE /v1/subscriptions/{id}", "status": 500, "after": True},
    ],
    ids=lambda fault: f"{fault['path']}{' after' if fault.get('after') else ''}",
)
def test_while_stripe_is_silent_everything_stays_open_and_trying_again_ends_it(
    owner: Payer, fault: dict[str, Any], settings: SettingsWrapper
) -> None:
    settings.STRIPE_RETRIES = 0
    owner.buy("pro")
    path = fault["path"].replace("/customers/{id}", f"/customers/{owner.customer}")
    path = path.replace("/subscriptions/{id}", f"/subscriptions/{owner.one.id}")
    owner.stand_in.control("POST", "faults", **{**fault, "path": path})
    with pytest.raises(Problem) as refused:
        close(owner)
    assert (refused.value.status_code, is_open(owner)) == (503, True)
    assert ("close", "tara@example.com") not in causes(owner)
    close(owner)
    assert (statuses(owner), is_open(owner)) == (["canceled"], False)
    assert owner.row.stripe_status == "canceled"


def test_a_call_that_the_library_repeats_after_it_was_done_is_no_refusal(owner: Payer) -> None:
    owner.buy("pro")
    owner.stand_in.control(
        "POST", "faults", path=f"DELETE /v1/subscriptions/{owner.one.id}", status=500, after=True, times=1
    )
    close(owner)
    assert (statuses(owner), is_open(owner)) == (["canceled"], False)


def test_a_customer_who_was_deleted_at_stripe_stands_in_nobodys_way(owner: Payer) -> None:
    owner.buy("pro")
    owner.client.v1.customers.delete(owner.customer)
    close(owner)
    assert not is_open(owner)


def test_who_may_not_close_ends_nothing_at_stripe(owner: Payer, dana: Person, calls: Callable[[], list[str]]) -> None:
    owner.buy("pro")
    calls()
    with pytest.raises(RoleRequired):
        lifecycle.close(owner.row, actor=dana.user, now=clock.now())
    with pytest.raises(teams.PersonalWorkspace):
        lifecycle.close(
            Subscription.objects.get(workspace=dana.user.personal_workspace), actor=dana.user, now=clock.now()
        )
    assert (calls(), statuses(owner), is_open(owner)) == ([], ["active"], True)


# What finds it where it was missed


def test_a_closed_workspace_that_is_charged_is_found_by_the_proof_and_the_reconciliation(owner: Payer) -> None:
    owner.buy("pro")
    # As if by hand in the database: the rule itself would have ended it.
    close_here(owner.person)
    (finding,) = _proof_rows()
    assert finding == (owner.person.workspace.pk, "is active at Stripe, and closed")
    outcome = reconciliation.reconcile(now=clock.now())
    assert [(one.kind, one.id) for one in outcome.orphans] == [("workspace", str(owner.person.workspace.pk))]
    assert "is active at Stripe, and closed. Cancel it at Stripe" in outcome.orphans[0].sentence


def test_an_open_checkout_of_a_closed_workspace_is_an_orphan(owner: Payer) -> None:
    session = owner.checkout("pro")
    close_here(owner.person)
    (orphan,) = reconciliation.reconcile(now=clock.now()).orphans
    assert (orphan.kind, orphan.id) == ("Checkout Session", session)
    assert "which was closed. Expire it at Stripe" in orphan.sentence


def test_what_was_closed_by_the_rule_is_clean(owner: Payer) -> None:
    owner.buy("pro")
    close(owner)
    assert reconciliation.reconcile(now=clock.now()).is_clean
    assert _proof_rows() == []


def _proof_rows() -> list[tuple[Any, str]]:
    with connection.cursor() as cursor:
        cursor.execute(proofs.CHARGED_IN_VAIN.sql)
        return list(cursor.fetchall())


# In a browser


def test_the_owner_closes_with_their_password_and_is_told_what_it_means(owner: Payer, mike: Person) -> None:
    owner.buy("pro")
    browser = Browser(owner.person)
    text = browser.text(PAGE)
    for shown in ("This cannot be undone.", "All 2 people in it lose access", "The paid plan ends now"):
        assert shown in text, shown
    answer = browser.send(PAGE, password="a guess")
    assert (answer.status_code, "This is not your password." in answer.content.decode()) == (200, True)
    assert (statuses(owner), is_open(owner)) == (["active"], True)
    answer = browser.send(PAGE, password=PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/workspace/")
    text = browser.text("/workspace/")
    assert "The team is closed." in text
    assert "This is your personal workspace." in text
    assert (statuses(owner), is_open(owner)) == (["canceled"], False)
    assert mike.get("/sessions").status_code == 404


def test_silence_of_stripe_is_a_page_that_says_so(owner: Payer, settings: SettingsWrapper) -> None:
    settings.STRIPE_RETRIES = 0
    owner.buy("pro")
    owner.stand_in.control("POST", "faults", path=f"GET /v1/customers/{owner.customer}", status=500)
    answer = Browser(owner.person).send(PAGE, password=PASSWORD)
    assert (answer.status_code, "cannot be reached" in answer.content.decode()) == (503, True)
    assert (statuses(owner), is_open(owner)) == (["active"], True)


def test_a_personal_workspace_has_no_such_page(bob: Person) -> None:
    answer = Browser(bob).get(PAGE)
    assert (answer.status_code, "This is a personal workspace" in answer.content.decode()) == (409, True)


# Whose invoices they are


def test_invoices_follow_a_transfer_to_the_new_owner(owner: Payer, mike: Person, work: Callable[[], None]) -> None:
    owner.buy("pro")
    customer = owner.customer
    transfer(owner.person, mike)
    work()
    held = owner.client.v1.customers.retrieve(customer)
    assert (held.email, held.name) == ("mike@example.com", "The team")
    # However often it is carried out, and for a customer who is gone.
    jobs.address_invoices(workspace_id=str(owner.person.workspace.pk))
    owner.client.v1.customers.delete(customer)
    jobs.address_invoices(workspace_id=str(owner.person.workspace.pk))


def test_the_new_owner_pays_and_the_old_one_does_not(owner: Payer) -> None:
    owner.buy("pro")
    mike = User.objects.create_user("mike@example.com", PASSWORD, fullname="Mike", now=datetime.now(UTC))
    join(owner.person.workspace, mike, Role.MEMBER)
    new = Person(mike, owner.person.workspace)
    transfer(owner.person, new)
    assert owner.post("cancel").status_code == 403
    assert owner.one.cancel_at_period_end is False
    assert new.post("/billing/cancel").status_code == 200
    assert owner.one.cancel_at_period_end is True
