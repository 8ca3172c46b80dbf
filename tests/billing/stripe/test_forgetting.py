"""What was noted down in passing is forgotten by age; what money went where, and what is not done yet, never."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from djstripe import models as djstripe
from procrastinate.contrib.django.models import ProcrastinateJob

from billing import jobs
from billing.models import StripeEvent, StripeOperation
from tests.billing.stripe.digest import digest
from tests.billing.stripe.payer import Payer

OLD, YOUNG = timedelta(days=31), timedelta(days=29)
State, Kind = StripeEvent.State, StripeOperation.Kind

pytestmark = pytest.mark.django_db


def event(state: StripeEvent.State, age: timedelta) -> StripeEvent:
    at = datetime.now(UTC) - age
    done_at = at if state == State.DONE else None
    return StripeEvent.objects.create(
        stripe_id=f"evt_{uuid.uuid4().hex}",
        type="invoice.paid",
        payload={},
        state=state,
        created_at=at,
        received_at=at,
        next_attempt_at=at,
        done_at=done_at,
    )


def asked(kind: StripeOperation.Kind, age: timedelta, *, is_open: bool = False) -> StripeOperation:
    at = datetime.now(UTC) - age
    ended: dict[str, Any] = {} if is_open else {"finished_at": at, "stripe_id": "made"}
    return StripeOperation.objects.create(kind=kind, intent={}, parameters={}, created_at=at, **ended)


def delivered(age: timedelta, *, is_processed: bool, is_valid: bool = True) -> djstripe.WebhookEventTrigger:
    """As dj-stripe keeps it where its own endpoint is in use."""
    told = djstripe.Event.objects.create(id=f"evt_{uuid.uuid4().hex}", data={}, type="invoice.paid")
    trigger = djstripe.WebhookEventTrigger.objects.create(
        remote_ip="127.0.0.1", headers={}, event=told, valid=is_valid, processed=is_processed
    )
    at = datetime.now(UTC) - age
    djstripe.WebhookEventTrigger.objects.filter(pk=trigger.pk).update(created=at)
    djstripe.Event.objects.filter(pk=told.pk).update(djstripe_created=at)
    return trigger


def key(age: timedelta) -> djstripe.IdempotencyKey:
    made = djstripe.IdempotencyKey.objects.create(action=uuid.uuid4().hex, livemode=False)
    djstripe.IdempotencyKey.objects.filter(pk=made.pk).update(created=datetime.now(UTC) - age)
    return made


def forget() -> set[str]:
    """The tables of which anything is gone."""
    before = digest()
    jobs.forget_old_events.func(timestamp=0)
    after = digest()
    return {name for name in before if before[name] != after[name]}


def test_of_what_was_noted_down_the_old_is_forgotten() -> None:
    old = [event(State.DONE, OLD), asked(Kind.PORTAL, OLD), asked(Kind.CHECKOUT, OLD), asked(Kind.RESTORE, OLD)]
    old += [delivered(OLD, is_processed=True), delivered(OLD, is_processed=False, is_valid=False), key(OLD)]
    told = [one.event for one in old if isinstance(one, djstripe.WebhookEventTrigger)]
    young = [event(State.DONE, YOUNG), asked(Kind.PORTAL, YOUNG), delivered(YOUNG, is_processed=True), key(YOUNG)]
    assert forget() == {
        "billing_stripeevent",
        "billing_stripeoperation",
        "djstripe_event",
        "djstripe_idempotencykey",
        "djstripe_webhookeventtrigger",
    }
    assert [one for one in [*old, *told] if type(one)._default_manager.filter(pk=one.pk).exists()] == []
    assert [one for one in young if not type(one)._default_manager.filter(pk=one.pk).exists()] == []
    assert djstripe.Event.objects.count() == 1


def test_what_is_not_done_is_kept_however_old() -> None:
    for state in (State.WAITING, State.DEAD, State.UNMATCHED):
        event(state, 100 * OLD)
    for kind in Kind:
        asked(kind, 100 * OLD, is_open=True)
        if kind not in (Kind.PORTAL, Kind.CHECKOUT, Kind.RESTORE):
            asked(kind, 100 * OLD)
    delivered(100 * OLD, is_processed=False)
    assert forget() == set()


def test_what_money_went_where_is_kept_however_old(pro: Payer) -> None:
    charge = pro.client.v1.charges.list({"customer": pro.customer}).data[0].id
    pro.client.v1.refunds.create({"charge": charge, "amount": 100})
    pro.stand_in.control("POST", "disputes", charge=charge, outcome="won")
    pro.travel(days=32)
    pro.run()
    pro.sync()
    ProcrastinateJob.objects.all().delete()
    StripeOperation.objects.filter(kind__in=[Kind.PORTAL, Kind.CHECKOUT]).delete()
    age_everything()
    for model in (djstripe.Invoice, djstripe.Charge, djstripe.Refund, djstripe.Dispute, djstripe.Customer):
        assert model.objects.exists(), model
    assert forget() == set()


def age_everything() -> None:
    """Whatever may tell how old a row is."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_name ~ '^(djstripe|billing)_'"
            " AND column_name IN ('created', 'djstripe_created', 'djstripe_updated', 'created_at', 'finished_at')"
        )
        for table, column in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(f"UPDATE {table} SET {column} = {column} - interval '10 years'")  # noqa: S608
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
