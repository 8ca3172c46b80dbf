"""A person has one trial (invariant 11): whatever the spelling, the workspace, the account or the haste."""

from functools import partial

import pytest

from accounts import clock
from accounts.models import Membership, Ownership, Role, User, Workspace
from billing.models import SubscriptionChange, TrialUse
from tests.people import PASSWORD, Person, join, person
from tests.threads import at_once

TRIAL = "/billing/activate-trial"


def open_team(owner: User) -> Person:
    return Person(owner, Workspace.objects.open(name="Another team", owner=owner, now=clock.now()))


def hand_over(workspace: Workspace, heir: User) -> None:
    """As a transfer leaves it: the heir owns, the former owner is an admin and stays known as one who owned."""
    Membership.objects.filter(workspace=workspace, role=Role.OWNER).update(role=Role.ADMIN)
    join(workspace, heir, Role.OWNER)
    Ownership.objects.create(workspace=workspace, user=heir, since=clock.now())


def assert_refused(someone: Person) -> None:
    before = list(TrialUse.objects.order_by("id").values()), SubscriptionChange.objects.count()
    shown = someone.get("/billing/subscription").json()
    assert (shown["trial_available"], shown["trial_start"]) == (False, None)
    answer = someone.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (409, "trial_already_used")
    assert someone.get("/billing/subscription").json() == shown
    assert (list(TrialUse.objects.order_by("id").values()), SubscriptionChange.objects.count()) == before


def test_it_starts_once_in_a_workspace(bob: Person) -> None:
    assert bob.get("/billing/subscription").json()["trial_available"] is True
    assert bob.post(TRIAL).status_code == 200
    began = bob.subscription.trial_start
    answer = bob.post(TRIAL)
    assert (answer.status_code, answer.json()["code"]) == (409, "trial_already_used")
    assert bob.subscription.trial_start == began
    assert SubscriptionChange.objects.filter(cause=SubscriptionChange.TRIAL).count() == 1


@pytest.mark.parametrize("first_in", ["the old workspace", "the new one"])
def test_it_starts_in_one_of_the_workspaces_that_a_person_owns(bob: Person, first_in: str) -> None:
    places = [bob, open_team(bob.user)]
    if first_in == "the new one":
        places.reverse()
    assert places[0].post(TRIAL).status_code == 200
    assert_refused(places[1])


def test_a_workspace_opened_after_the_trial_has_none(bob: Person) -> None:
    bob.post(TRIAL)
    assert_refused(open_team(bob.user))


@pytest.mark.parametrize(
    "spelling",
    ["Bob.Builder@gmail.com", "b.o.b.builder@gmail.com", "bobbuilder+two@gmail.com", "BobBuilder+x@googlemail.com"],
)
def test_another_spelling_of_the_address_is_the_same_person(db: None, spelling: str) -> None:
    assert person("bobbuilder@gmail.com").post(TRIAL).status_code == 200
    assert_refused(person(spelling))


@pytest.mark.parametrize("other", ["bobbuilder2@gmail.com", "bobbuilder@example.com"])
def test_another_mailbox_is_another_person(db: None, other: str) -> None:
    person("bobbuilder@gmail.com").post(TRIAL)
    assert person(other).post(TRIAL).status_code == 200


def test_a_new_address_of_the_same_account_brings_no_second_trial(bob: Person) -> None:
    bob.post(TRIAL)
    bob.user.set_email("robert@example.com")
    bob.user.save(update_fields=["email", "person_hash"])
    assert_refused(open_team(bob.user))


def test_the_use_outlives_the_account(bob: Person) -> None:
    bob.post(TRIAL)
    bob.user.set_email("closed@example.com")
    bob.user.is_active = False
    bob.user.save(update_fields=["email", "person_hash", "is_active"])
    assert_refused(person("BOB+again@example.com"))


def test_what_is_kept_of_an_address_does_not_tell_it(bob: Person) -> None:
    bob.post(TRIAL)
    (kept,) = TrialUse.objects.filter(kind=TrialUse.ADDRESS).values_list("subject", flat=True)
    assert kept == bob.user.person_hash
    assert "bob" not in kept


def test_a_workspace_that_changes_hands_brings_no_second_trial_to_anybody(bob: Person, charlie: Person) -> None:
    team = open_team(bob.user)
    bob.post(TRIAL)
    hand_over(team.workspace, charlie.user)
    assert_refused(charlie.into(team.workspace))


def test_who_takes_over_a_workspace_with_the_trial_keeps_their_own(bob: Person, charlie: Person) -> None:
    team = open_team(bob.user)
    team.post(TRIAL)
    hand_over(team.workspace, charlie.user)
    assert charlie.post(TRIAL).status_code == 200


def test_a_workspace_whose_former_owner_used_theirs_later_is_used_too(bob: Person, charlie: Person) -> None:
    team = open_team(bob.user)
    hand_over(team.workspace, charlie.user)
    assert bob.post(TRIAL).status_code == 200
    assert_refused(charlie.into(team.workspace))


def test_it_is_remembered_of_the_person_the_address_and_every_workspace(bob: Person) -> None:
    team = open_team(bob.user)
    bob.post(TRIAL)
    assert set(TrialUse.objects.values_list("kind", "subject")) == {
        ("user", str(bob.user.pk)),
        ("address", bob.user.person_hash),
        ("workspace", str(bob.workspace.pk)),
        ("workspace", str(team.workspace.pk)),
    }


@pytest.mark.parametrize("kind", [TrialUse.USER, TrialUse.WORKSPACE, TrialUse.ADDRESS])
def test_each_of_the_three_is_enough_to_refuse(bob: Person, charlie: Person, kind: str) -> None:
    team = open_team(bob.user)
    bob.post(TRIAL)
    TrialUse.objects.exclude(kind=kind).delete()
    if kind == TrialUse.ADDRESS:
        assert_refused(person("bob+again@example.com"))
    else:
        hand_over(team.workspace, charlie.user)
        assert_refused(charlie.into(team.workspace))


def test_a_member_of_a_team_with_the_trial_still_has_their_own(tara: Person, mike: Person) -> None:
    assert tara.post(TRIAL).status_code == 200
    assert mike.into(mike.user.personal_workspace).post(TRIAL).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_starts_at_once_in_all_of_a_persons_workspaces_one_is_answered() -> None:
    user = User.objects.create_user("bob@example.com", PASSWORD, fullname="Bob")
    places = [Person(user, user.personal_workspace), *[open_team(user) for _ in range(3)]]
    requests = [partial(Person(user, place.workspace).post, TRIAL) for place in places for _ in range(4)]
    answers = at_once(requests)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"trial_already_used"}
    assert SubscriptionChange.objects.filter(cause=SubscriptionChange.TRIAL).count() == 1
    assert [place.subscription.trial_start is None for place in places].count(False) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_spellings_at_once_one_starts() -> None:
    people = [person(f"bob+{number}@example.com") for number in range(4)]
    answers = at_once([partial(someone.post, TRIAL) for someone in people])
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert SubscriptionChange.objects.filter(cause=SubscriptionChange.TRIAL).count() == 1
