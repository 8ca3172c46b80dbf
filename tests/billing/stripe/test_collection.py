"""What staff do about the money of a subscription."""

from datetime import timedelta
from typing import Any

import pytest

from accounts import clock
from billing import lifecycle
from billing.lifecycle.standing import NoChange
from billing.models import AuditEntry, StripeOperation, SubscriptionChange
from tests.billing.stripe.payer import Payer
from tests.people import Person


def test_paused_collection_entitles_to_nothing_until_it_is_resumed(pro: Payer, staff: Person) -> None:
    act: Any = {"reason": "A favour", "actor": staff.user}
    lifecycle.pause_collection(pro.row, until=None, now=clock.now(), **act)
    assert (pro.sees()["plan"], pro.row.stripe_status) == ("free", "active")
    pro.travel(days=31, hours=2)
    pro.sync()
    assert [invoice.status for invoice in pro.invoices] == ["void", "paid"]
    with pytest.raises(NoChange):
        lifecycle.pause_collection(pro.row, until=None, now=clock.now(), **act)
    lifecycle.resume_collection(pro.row, now=clock.now(), **act)
    # The void invoice leaves its period unpaid.
    assert (pro.sees()["plan"], pro.sees()["monthly_agent_runs_limit"]) == ("pro", 500)
    with pytest.raises(NoChange):
        lifecycle.resume_collection(pro.row, now=clock.now(), **act)
    done = list(AuditEntry.objects.order_by("id").values_list("action", "actor_id", "reason"))
    assert done == [("pause collection", staff.user.pk, "A favour"), ("resume collection", staff.user.pk, "A favour")]
    causes = SubscriptionChange.objects.filter(actor=staff.user).values_list("cause", flat=True)
    assert sorted(causes) == ["pause", "resume"]


def test_a_pause_ends_at_its_instant(pro: Payer, staff: Person) -> None:
    now = clock.now()
    with pytest.raises(ValueError, match="future"):
        lifecycle.pause_collection(pro.row, until=now, reason="-", actor=staff.user, now=now)
    assert pro.one.pause_collection is None
    lifecycle.pause_collection(pro.row, until=now + timedelta(days=3), reason="-", actor=staff.user, now=now)
    assert pro.sees()["plan"] == "free"
    pro.travel(days=3, hours=1)
    pro.sync()
    assert pro.sees()["plan"] == "pro"


def test_an_invoice_is_given_back_in_parts_and_never_more_than_was_paid(pro: Payer, staff: Person) -> None:
    act: Any = {"reason": "Outage", "actor": staff.user, "now": clock.now()}
    (invoice,) = pro.invoices
    assert invoice.id is not None
    assert lifecycle.refund(pro.row, invoice=invoice.id, amount=1000, **act) == 1000
    assert lifecycle.refund(pro.row, invoice=invoice.id, amount=1000, **act) == 1000
    with pytest.raises(ValueError, match="2900 can still be given back"):
        lifecycle.refund(pro.row, invoice=invoice.id, amount=2901, **act)
    assert lifecycle.refund(pro.row, invoice=invoice.id, **act) == 2900
    assert lifecycle.refund(pro.row, invoice=invoice.id, **act) == 0
    assert [refund.amount for refund in pro.refunds] == [2900, 1000, 1000]
    entry = AuditEntry.objects.filter(action="refund").last()
    assert entry is not None
    assert (entry.after["given"], entry.after["invoice"]) == (1000, invoice.id)


def test_a_part_whose_answer_was_lost_is_not_given_again(pro: Payer, staff: Person) -> None:
    act: Any = {"reason": "Outage", "actor": staff.user, "now": clock.now()}
    (invoice,) = pro.invoices
    assert invoice.id is not None
    pro.stand_in.control("POST", "faults", path="POST /v1/refunds", status=500, times=3, after=True)
    with pytest.raises(Exception, match="cannot be reached"):
        lifecycle.refund(pro.row, invoice=invoice.id, amount=1000, **act)
    pro.stand_in.control("DELETE", "faults")
    assert lifecycle.refund(pro.row, invoice=invoice.id, amount=1000, **act) == 1000
    assert [refund.amount for refund in pro.refunds] == [1000]
    assert not StripeOperation.objects.filter(kind="refund", finished_at=None).exists()


def test_another_workspaces_invoice_is_not_given_back(pro: Payer, other: Payer, staff: Person) -> None:
    other.buy("basic")
    (foreign,) = other.invoices
    assert foreign.id is not None
    with pytest.raises(ValueError, match="no invoice of this workspace"):
        lifecycle.refund(pro.row, invoice=foreign.id, reason="-", actor=staff.user, now=clock.now())
    assert pro.refunds == []
    assert not AuditEntry.objects.filter(action="refund").exists()
