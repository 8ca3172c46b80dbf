"""Invariant 11 over real processes: however often it is asked for at once, a person has one trial."""

from datetime import UTC, datetime

from accounts.models import Workspace
from billing.models import SubscriptionChange, TrialUse
from tests.people import Person
from tests.processes.bursts import at_once
from tests.processes.clients import statuses
from tests.processes.conftest import Somebody
from tests.processes.service import Service


def test_a_trial_that_is_started_sixteen_times_at_once_starts_once(service: Service, somebody: Somebody) -> None:
    bob = somebody(service)
    answers = at_once(16, lambda _: bob.post("/billing/activate-trial"))
    assert statuses(answers) == {200: 1, 409: 15}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"trial_already_used"}
    assert started(bob.person.workspace) == 1
    assert bob.get("/billing/subscription").json()["runs_remaining"] == 50
    service.check_billing()


def test_a_trial_that_is_started_at_once_in_two_workspaces_of_an_owner_starts_in_one(
    service: Service, somebody: Somebody
) -> None:
    tara = somebody(service)
    team = Workspace.objects.open(name="The team", owner=tara.person.user, now=datetime.now(UTC))
    there = somebody(service, Person(tara.person.user, team))
    answers = at_once(16, lambda number: (tara, there)[number % 2].post("/billing/activate-trial"))
    assert statuses(answers) == {200: 1, 409: 15}
    assert started(tara.person.workspace) + started(team) == 1
    assert TrialUse.objects.filter(kind=TrialUse.USER, subject=str(tara.person.user.pk)).count() == 1
    sources = {caller.get("/billing/subscription").json()["source"] for caller in (tara, there)}
    assert sources == {"trial", "free"}
    service.check_billing()


def started(workspace: Workspace) -> int:
    changes = SubscriptionChange.objects.filter(subscription__workspace=workspace, cause=SubscriptionChange.TRIAL)
    return changes.count()
