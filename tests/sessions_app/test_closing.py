"""A workspace that is closed stops what runs in it, and gives back what was not begun."""

import pytest

from accounts import clock, teams
from billing import proofs
from billing.models import LedgerEntry
from sessions_app import runs
from sessions_app.models import Event, Run, Session
from tests.people import Person


def statuses(person: Person) -> list[tuple[str, bool]]:
    return list(Run.objects.filter(workspace=person.workspace).order_by("id").values_list("status", "is_charged"))


@pytest.mark.django_db(transaction=True)
def test_what_is_queued_is_given_back_and_what_runs_is_stopped_and_charged(tara: Person, charlie: Person) -> None:
    # One that waits for its first prompt, one for a worker, one that runs, and one that was deleted.
    assert tara.post("/sessions", {}).status_code == 201
    assert tara.post("/sessions", {"prompt": "Queued"}).status_code == 201
    running = tara.post("/sessions", {"prompt": "Running"}).json()
    assert runs.start(Run.objects.get(session=running["id"]).pk, now=clock.now()) is not None
    deleted = tara.post("/sessions", {"prompt": "Deleted"}).json()["id"]
    assert tara.delete(f"/sessions/{deleted}").status_code == 204
    assert charlie.post("/sessions", {"prompt": "Elsewhere"}).status_code == 201

    teams.close(workspace=tara.workspace, actor=tara.user, now=clock.now())

    assert statuses(tara) == [("stopped", False), ("stopped", False), ("stopped", True), ("stopped", False)]
    assert statuses(charlie) == [("queued", True)]
    assert set(Session.objects.filter(workspace=tara.workspace).values_list("status", flat=True)) == {"stopped"}
    assert Event.objects.filter(session=running["id"], type=Event.Type.DONE).count() == 1
    refunds = LedgerEntry.objects.filter(workspace=tara.workspace, kind=LedgerEntry.Kind.REFUND)
    assert refunds.count() == 3
    assert proofs.find() == []
