"""An act on many: what it would do to each, and then a worker that does it one by one, each once."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest
from django.utils import timezone

from accounts.errors import Problem
from billing.acts.act import Wish, WorkspaceAct
from billing.models import Batch, BatchItem, Subscription

# In one batch; whoever wants more writes a command.
MOST: Final = 1000
CHOSEN: Final = "workspaces"


class TooMany(Problem):
    def __init__(self) -> None:
        super().__init__(f"Choose at most {MOST:,} workspaces for one batch.", "too_many", status=400)


@dataclass(frozen=True)
class Foreseen:
    workspace_id: uuid.UUID
    name: str
    is_possible: bool
    sentence: str


def chosen(request: HttpRequest) -> list[uuid.UUID]:
    """Of the form's hidden field, or of the address; what is no id is left out."""
    found = []
    for word in (request.POST.get(CHOSEN) or request.GET.get(CHOSEN, "")).split(","):
        try:
            found.append(uuid.UUID(word.strip()))
        except ValueError:
            continue
    return list(dict.fromkeys(found))[:MOST]


def foresee(act: WorkspaceAct, ids: Sequence[uuid.UUID], wish: Wish) -> list[Foreseen]:
    """What it would do to each; one statement for all of them, and nothing is done."""
    rows = Subscription.objects.with_plans().select_related("workspace", "paid_price").filter(workspace_id__in=ids)
    by_id = {row.workspace_id: row for row in rows}
    found = []
    for id in ids:
        row = by_id.get(id)
        if row is None:
            found.append(Foreseen(id, str(id), is_possible=False, sentence="There is no such workspace."))
            continue
        try:
            sentence, is_possible = act.foresee(row, wish.data, wish.now), True
        except Problem as problem:
            sentence, is_possible = str(problem.detail), False
        except ValueError as error:
            sentence, is_possible = str(error), False
        found.append(Foreseen(id, row.workspace.name, is_possible, sentence))
    return found


@transaction.atomic
def begin(act: WorkspaceAct, form: Form, foreseen: Sequence[Foreseen], wish: Wish) -> Batch:
    """Write down what is wanted, and hand it to the worker in the same transaction."""
    from billing import jobs

    at = datetime.now(UTC)
    raw = {name: form[name].value() for name in form.fields if name != "reason"}
    batch = Batch(
        act=act.name,
        # As it was typed, with the zone in which a day is meant.
        parameters={**json.loads(json.dumps(raw, cls=DjangoJSONEncoder)), "zone": timezone.get_current_timezone_name()},
        reason=wish.reason,
        actor=wish.actor,
        created_at=at,
        confirmed_at=at,
    )
    batch.save(force_insert=True)
    BatchItem.objects.bulk_create(
        BatchItem(batch=batch, workspace_id=one.workspace_id) for one in foreseen if one.is_possible
    )
    jobs.carry_out_batch.defer(batch_id=str(batch.pk))
    return batch


def carry_out(batch: Batch, act: WorkspaceAct, *, now: datetime) -> None:
    """What waits of it, one after the other; safe to run again after a death in between."""
    with timezone.override(batch.parameters["zone"]):
        for item in batch.items.filter(state=BatchItem.State.WAITING).iterator(chunk_size=50):
            _carry_out_one(item, batch, act, now=now)
    Batch.objects.filter(pk=batch.pk, finished_at=None).update(finished_at=datetime.now(UTC))


def _carry_out_one(item: BatchItem, batch: Batch, act: WorkspaceAct, *, now: datetime) -> None:
    rows = Subscription.objects.with_plans().select_related("workspace", "paid_price")
    target = rows.get(workspace_id=item.workspace_id)
    form = act.form({**batch.parameters, "reason": batch.reason}, **act.form_arguments(None, now))
    if not form.is_valid():
        _end(
            item, BatchItem.State.REFUSED, "; ".join(str(error) for errors in form.errors.values() for error in errors)
        )
        return
    wish = Wish(form.cleaned_data, batch.reason, batch.actor, now)
    try:
        if act.is_at_stripe:
            # Asked again after a death in between, Stripe has it already, and the act finds that out.
            _end(item, BatchItem.State.DONE, act.carry_out(target, wish))
        else:
            with transaction.atomic():
                held = BatchItem.objects.select_for_update().get(pk=item.pk)
                if held.state == BatchItem.State.WAITING:
                    _end(item, BatchItem.State.DONE, act.carry_out(target, wish))
    except Problem as problem:
        if problem.status_code >= 500:
            raise
        _end(item, BatchItem.State.REFUSED, str(problem.detail))
    except ValueError as error:
        _end(item, BatchItem.State.REFUSED, str(error))


def _end(item: BatchItem, state: Any, sentence: str) -> None:
    BatchItem.objects.filter(pk=item.pk).update(state=state, sentence=sentence[:500])
