"""A plan has room for so many members, and a person owns so many teams without a plan."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from accounts import clock, invitations, teams
from accounts.models import Invitation, MembershipChange, Workspace
from billing.models import Plan
from billing.teams import SeatsExceeded, UnpaidTeam
from sessions_app import runs
from tests.accounts.test_invitations import accept, age, token_of, verified
from tests.accounts.test_teams import close, invite, roles, transfer
from tests.people import Person, put_on


def limit_free(members: int | None) -> None:
    Plan.objects.filter(slug=Plan.FREE).update(members_limit=members)


def teams_of(person: Person) -> "QuerySet[Workspace]":
    return Workspace.objects.filter(personal_user=None, membership__user=person.user, membership__role="owner")


def open_team(person: Person, *, now: datetime | None = None) -> Workspace:
    return teams.open_team(owner=person.user, name="Another", now=now or clock.now())


def run_once(person: Person, workspace: Workspace) -> None:
    """One that a worker has begun, so that closing does not give it back."""
    session = person.into(workspace).post("/sessions", {"prompt": "Go"}).json()
    assert runs.start(uuid.UUID(session["runs"][0]["id"]), now=clock.now()) is not None


# Members


def test_a_plan_without_a_limit_takes_everybody(tara: Person) -> None:
    for number in range(5):
        invite(tara, f"kim{number}@example.com")
    assert Invitation.objects.count() == 5


def test_members_and_open_invitations_take_the_places_of_the_plan(tara: Person, mike: Person) -> None:
    limit_free(3)
    first = invite(tara, "kim@example.com")
    with pytest.raises(SeatsExceeded) as refused:
        invite(tara, "lee@example.com")
    problem = refused.value
    assert (problem.status_code, problem.code) == (402, "seats_exceeded")
    assert str(problem.detail) == (
        "The Free plan has room for 3 members, counting open invitations. A larger plan has room for more."
    )
    members: dict[str, Any] = problem.members
    assert (members["subscription"]["plan"], members["upgrade_url"]) == ("free", "http://127.0.0.1:8000/billing/")
    assert list(Invitation.objects.all()) == [first]
    # What has ended takes no place, and takes one again when it is sent again.
    age(first, timedelta(days=7))
    second = invite(tara, "lee@example.com")
    with pytest.raises(SeatsExceeded):
        invitations.resend(workspace=tara.workspace, actor=tara.user, invitation=first.pk, now=clock.now())
    first.refresh_from_db()
    assert list(invitations.open_ones()) == [second]
    # One that is open takes its place once.
    invitations.resend(workspace=tara.workspace, actor=tara.user, invitation=second.pk, now=clock.now())


def test_a_place_is_asked_for_again_when_somebody_joins(tara: Person) -> None:
    kim, lee = verified("kim@example.com"), verified("lee@example.com")
    tokens = [token_of(invite(tara, who.user.email)) for who in (kim, lee)]
    limit_free(2)
    accept(tokens[0], kim)
    with pytest.raises(SeatsExceeded):
        accept(tokens[1], lee)
    assert (set(roles(tara.workspace)), MembershipChange.objects.count()) == ({"tara", "kim"}, 1)
    put_on(tara.workspace, Plan.PRO)
    accept(tokens[1], lee)
    assert set(roles(tara.workspace)) == {"tara", "kim", "lee"}


def test_a_plan_that_became_smaller_puts_nobody_out(tara: Person, dana: Person, mike: Person) -> None:
    limit_free(1)
    assert mike.get("/sessions").status_code == 200
    transfer(tara, dana)
    assert roles(tara.workspace) == {"tara": "admin", "dana": "owner", "mike": "member"}


# Teams without a plan


def test_one_team_without_a_plan_is_anybodys_and_a_second_is_not(bob: Person, charlie: Person) -> None:
    first = open_team(bob)
    with pytest.raises(UnpaidTeam) as refused:
        open_team(bob)
    assert (refused.value.status_code, refused.value.code) == (409, "unpaid_workspace")
    assert str(refused.value.detail) == (
        "You can own 1 team workspace without a plan, and do. Choose a plan for it first."
    )
    assert list(teams_of(bob)) == [first]
    # That somebody else has theirs is nothing to charlie.
    open_team(charlie)
    put_on(first, Plan.PRO)
    open_team(bob)
    assert teams_of(bob).count() == 2


def test_a_trial_is_no_plan(bob: Person) -> None:
    first = open_team(bob)
    assert bob.into(first).post("/billing/activate-trial").status_code == 200
    with pytest.raises(UnpaidTeam):
        open_team(bob)
    assert list(teams_of(bob)) == [first]


def test_closing_a_team_refills_no_free_runs(bob: Person) -> None:
    now = clock.now()
    first = open_team(bob)
    run_once(bob, first)
    close(bob.into(first))
    with pytest.raises(UnpaidTeam, match="that you have closed were used this month"):
        open_team(bob)
    assert list(teams_of(bob)) == [first]
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    second = open_team(bob, now=next_month)
    # One in which nothing was used leaves its place.
    close(bob.into(second))
    assert open_team(bob, now=next_month).pk != second.pk


def test_a_team_without_a_plan_is_not_transferred_to_who_has_one(tara: Person, mike: Person) -> None:
    theirs = open_team(mike)
    with pytest.raises(UnpaidTeam, match="Choose a plan for this one first"):
        transfer(tara, mike)
    assert roles(tara.workspace) == {"tara": "owner", "mike": "member"}
    assert tara.workspace.ownerships.count() == 1
    put_on(tara.workspace, Plan.BASIC)
    transfer(tara, mike)
    assert set(teams_of(mike)) == {theirs, tara.workspace}
