"""Acts of staff on what is paid: the same functions as the customer's own acts, with a reason and a trail."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import clock
from accounts.idempotency import once_token
from billing import roles
from billing.models import AuditEntry
from tests.billing.stripe.payer import Payer
from tests.desk import Desk, employ, off


@pytest.fixture
def desk(db: None) -> Desk:
    return employ(roles.BILLING)


def day(days: int) -> str:
    return f"{timezone.localtime(clock.now()) + timedelta(days=days):%Y-%m-%d}"


def actions() -> list[str]:
    return list(AuditEntry.objects.exclude(actor_id=None).order_by("id").values_list("action", flat=True))


@pytest.mark.parametrize("payments", ["leave", "cancel", "pause"])
def test_a_comp_on_a_payer_says_what_stripe_charges_and_does_with_it_as_chosen(
    desk: Desk, subscriber: Payer, payments: str
) -> None:
    workspace = subscriber.person.workspace
    form = desk.get(f"/admin/acts/comp/{workspace.pk}/").content.decode()
    assert "Stripe goes on charging 19.00 USD a month" in form
    assert desk.act("comp", workspace, plan="pro", until=day(60), payments=payments).status_code == 302
    assert subscriber.sees()["plan"] == "pro"
    held = subscriber.one
    assert (held.cancel_at_period_end, held.pause_collection is not None) == (payments == "cancel", payments == "pause")
    assert actions() == {"pause": ["pause collection", "comp"]}.get(payments, ["comp"])
    assert off() == []


def test_an_invoice_is_refunded_in_part_and_whole_and_once(desk: Desk, pro: Payer) -> None:
    workspace, (invoice,) = pro.person.workspace, pro.invoices
    token = once_token()
    for _ in range(2):
        assert desk.act("refund", workspace, invoice=invoice.id, amount="10.50", token=token).status_code == 302
    assert [refund.amount for refund in pro.refunds] == [1050]
    assert "10.50 USD given back" in desk.page_of(workspace)
    assert desk.act("refund", workspace, invoice=invoice.id, amount="38.51").status_code == 409
    assert desk.act("refund", workspace, invoice=invoice.id, amount="0.005").status_code == 400
    assert [refund.amount for refund in pro.refunds] == [1050]
    assert desk.act("refund", workspace, invoice=invoice.id, ends_access="on").status_code == 302
    assert (sum(refund.amount for refund in pro.refunds), pro.one.status) == (4900, "canceled")
    assert pro.sees()["plan"] == "free"
    assert actions() == ["refund", "refund"]


def test_sums_above_the_threshold_need_the_admin_role(desk: Desk, pro: Payer, settings: pytest.FixtureRequest) -> None:
    settings.STAFF_LARGE_AMOUNT = 4000  # type: ignore[attr-defined]
    workspace, (invoice,) = pro.person.workspace, pro.invoices
    answer = desk.act("refund", workspace, invoice=invoice.id)
    assert (answer.status_code, "more than your role moves" in answer.content.decode()) == (403, True)
    assert pro.refunds == []
    assert desk.act("refund", workspace, invoice=invoice.id, amount="40.00").status_code == 302
    assert employ(roles.ADMIN).act("refund", workspace, invoice=invoice.id).status_code == 302
    assert sum(refund.amount for refund in pro.refunds) == 4900


def test_another_workspaces_invoice_cannot_be_refunded_here(desk: Desk, pro: Payer, other: Payer) -> None:
    other.buy("basic")
    (foreign,) = other.invoices
    assert desk.act("refund", pro.person.workspace, invoice=foreign.id).status_code == 400
    assert other.refunds == []


def test_the_plan_is_changed_cancelled_resumed_and_ended_as_the_customer_would(desk: Desk, subscriber: Payer) -> None:
    workspace = subscriber.person.workspace
    assert desk.act("change-plan", workspace, plan="pro", interval="month").status_code == 302
    assert subscriber.sees()["plan"] == "pro"
    assert desk.act("change-plan", workspace, plan="basic", interval="month").status_code == 302
    assert (subscriber.sees()["plan"], subscriber.row.pending_plan is not None) == ("pro", True)
    assert desk.act("resume", workspace).status_code == 302
    assert subscriber.row.pending_plan is None
    assert desk.act("cancel", workspace, reason="They moved away").status_code == 302
    assert subscriber.one.cancel_at_period_end
    assert desk.act("cancel", workspace).status_code == 409
    assert desk.act("resume", workspace).status_code == 302
    assert desk.act("end-now", workspace).status_code == 302
    assert (subscriber.one.status, subscriber.sees()["plan"]) == ("canceled", "free")
    assert desk.act("end-now", workspace).status_code == 409
    assert actions() == ["change plan", "change plan", "resume", "cancel", "resume", "end now"]
    entry = AuditEntry.objects.get(action="cancel")
    assert (entry.reason, entry.before["cancel_at"], entry.after["cancel_at"] is not None) == (
        "They moved away",
        None,
        True,
    )
    assert off() == []


def test_a_suspended_workspace_is_not_charged_and_a_restored_one_is(desk: Desk, pro: Payer) -> None:
    workspace = pro.person.workspace
    assert desk.act("suspend", workspace, reason="Abuse").status_code == 302
    assert (pro.one.pause_collection is not None, off()) == (True, [])
    assert desk.act("restore", workspace).status_code == 302
    assert (pro.one.pause_collection, pro.sees()["plan"]) == (None, "pro")


def test_while_stripe_is_away_nothing_is_done_and_the_page_says_so(desk: Desk, pro: Payer) -> None:
    workspace = pro.person.workspace
    pro.stand_in.control("POST", "faults", path=".", status=500, times=100)
    answer = desk.act("suspend", workspace)
    assert (answer.status_code, "cannot be reached" in answer.content.decode()) == (503, True)
    workspace.refresh_from_db()
    assert (workspace.suspended_at, actions()) == (None, [])


def test_stripe_is_asked_again_and_what_differed_is_told(desk: Desk, pro: Payer) -> None:
    support, workspace = employ(roles.SUPPORT), pro.person.workspace
    pro.client.v1.subscriptions.update(pro.one.id, {"cancel_at_period_end": True})
    assert support.act("sync", workspace).status_code == 302
    assert pro.row.cancel_at is not None
    assert "Stripe held something else, which we follow now: cancel at, canceled at." in support.page_of(workspace)
    assert support.act("sync", workspace).status_code == 302
    assert "All is as at Stripe." in support.page_of(workspace)


def test_the_grace_of_a_payment_that_failed_is_extended(desk: Desk, pro: Payer) -> None:
    pro.card("pm_card_chargeCustomerFail")
    pro.travel(days=31, hours=2)
    pro.sync()
    assert (pro.row.stripe_status, pro.sees()["plan"]) == ("past_due", "pro")
    assert desk.act("extend-grace", pro.person.workspace, until=day(20)).status_code == 302
    pro.travel(days=8)
    pro.sync()
    if pro.row.stripe_status == "past_due":
        assert pro.sees()["plan"] == "pro"


def test_many_are_done_by_the_worker_one_by_one(desk: Desk, pro: Payer, other: Payer, work: Callable[[], None]) -> None:
    ids = f"{pro.person.workspace.pk},{other.person.workspace.pk}"
    form = {"workspaces": ids, "reason": "An outage of a day", "until": day(10)}
    look = desk.client.post("/admin/acts/pause-collection/many/", {**form, "step": "look"})
    text = look.content.decode()
    assert ("<strong>1</strong> would be changed" in text, "<strong>1</strong> would not" in text) == (True, True)
    assert pro.one.pause_collection is None
    token = once_token()
    for _ in range(2):
        answer = desk.client.post("/admin/acts/pause-collection/many/", {**form, "step": "do", "once": token})
        assert answer.status_code == 302
    work()
    assert pro.one.pause_collection is not None
    page = desk.get(answer.headers["Location"]).content.decode()
    assert "Nothing is collected until" in page
    assert actions() == ["pause collection"]
