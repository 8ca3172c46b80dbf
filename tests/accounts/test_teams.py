"""Who may be what in a workspace, and that somebody always owns it."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.http import Http404

from accounts import access, clock, invitations, teams
from accounts.errors import Problem
from accounts.models import Invitation, Membership, MembershipChange, Ownership, Role, User, Workspace
from accounts.roles import RoleRequired, Suspended
from billing.models import Subscription
from tests.people import Person, join, person


def roles(workspace: Workspace) -> dict[str, str]:
    """By the first word of the address."""
    return {
        email.partition("@")[0]: role
        for email, role in Membership.objects.filter(workspace=workspace).values_list("user__email", "role")
    }


def membership_of(person: Person) -> uuid.UUID:
    return Membership.objects.get(workspace=person.workspace, user=person.user).pk


def history(workspace: Workspace) -> list[tuple[str, str, str, str]]:
    """Whom, by whom, from which role, to which."""
    lines = MembershipChange.objects.filter(workspace=workspace).order_by("id")
    return [(c.user.get_short_name(), c.actor.get_short_name(), c.before, c.after) for c in lines]


def set_role(actor: Person, member: Person, role: Role) -> Membership:
    return teams.set_role(
        workspace=actor.workspace, actor=actor.user, member=membership_of(member), role=role, now=clock.now()
    )


def remove(actor: Person, member: Person) -> Membership:
    return teams.remove(workspace=actor.workspace, actor=actor.user, member=membership_of(member), now=clock.now())


def leave(actor: Person) -> None:
    teams.leave(workspace=actor.workspace, actor=actor.user, now=clock.now())


def transfer(actor: Person, member: Person) -> Membership:
    return teams.transfer(workspace=actor.workspace, actor=actor.user, member=membership_of(member), now=clock.now())


def close(actor: Person) -> None:
    teams.close(workspace=actor.workspace, actor=actor.user, now=clock.now())


def invite(actor: Person, email: str, role: Role = Role.MEMBER) -> Invitation:
    User.objects.filter(pk=actor.user.pk).update(is_email_verified=True)
    actor.user.is_email_verified = True
    return invitations.invite(workspace=actor.workspace, actor=actor.user, email=email, role=role, now=clock.now())


# Opening and naming


def test_a_team_is_opened_with_its_owner_and_its_free_subscription(bob: Person) -> None:
    team = teams.open_team(owner=bob.user, name="  Harbour \n Lane ", now=clock.now())
    assert (team.name, team.is_personal, team.owner) == ("Harbour Lane", False, bob.user)
    assert Ownership.objects.filter(workspace=team, user=bob.user).exists()
    assert Subscription.objects.get(workspace=team).base_plan.slug == "free"
    assert bob.into(team).get("/billing/subscription").json()["plan"] == "free"


def test_owner_and_admin_rename_and_a_member_does_not(tara: Person, dana: Person, mike: Person) -> None:
    for actor, name in ((tara, "By the owner"), (dana, "By an\tadmin ")):
        teams.rename(workspace=actor.workspace, actor=actor.user, name=name)
    with pytest.raises(RoleRequired):
        teams.rename(workspace=mike.workspace, actor=mike.user, name="By a member")
    assert Workspace.objects.get(pk=tara.workspace.pk).name == "By an admin"


def test_the_owner_alone_lets_admins_bill(tara: Person, dana: Person) -> None:
    with pytest.raises(RoleRequired):
        teams.let_admins_bill(workspace=dana.workspace, actor=dana.user, is_allowed=True)
    assert not Workspace.objects.get(pk=tara.workspace.pk).may_admins_bill
    teams.let_admins_bill(workspace=tara.workspace, actor=tara.user, is_allowed=True)
    assert Workspace.objects.get(pk=tara.workspace.pk).may_admins_bill


# Roles


def test_the_owner_makes_an_admin_of_a_member_and_the_other_way_round(tara: Person, dana: Person, mike: Person) -> None:
    set_role(tara, mike, Role.ADMIN)
    set_role(tara, dana, Role.MEMBER)
    # No change is no line.
    set_role(tara, dana, Role.MEMBER)
    assert roles(tara.workspace) == {"tara": "owner", "mike": "admin", "dana": "member"}
    assert history(tara.workspace) == [
        ("Mike", "Tara", "member", "admin"),
        ("Dana", "Tara", "admin", "member"),
    ]


@pytest.mark.parametrize(
    ("actor", "member", "role"),
    [
        ("dana", "mike", Role.ADMIN),
        ("dana", "tara", Role.MEMBER),
        ("dana", "dana", Role.MEMBER),
        ("mike", "mike", Role.ADMIN),
        ("mike", "dana", Role.MEMBER),
        ("tara", "tara", Role.MEMBER),
        ("tara", "mike", Role.OWNER),
    ],
)
def test_a_role_that_is_not_below_ones_own_is_neither_given_nor_taken(
    actor: str, member: str, role: Role, tara: Person, dana: Person, mike: Person
) -> None:
    cast, before = {"tara": tara, "dana": dana, "mike": mike}, roles(tara.workspace)
    with pytest.raises(RoleRequired):
        set_role(cast[actor], cast[member], role)
    assert (roles(tara.workspace), history(tara.workspace)) == (before, [])


def test_the_database_knows_one_owner_only(tara: Person, mike: Person) -> None:
    with pytest.raises(IntegrityError, match="membership_one_owner"), transaction.atomic():
        Membership.objects.filter(pk=membership_of(mike)).update(role=Role.OWNER)
    assert roles(tara.workspace)["mike"] == "member"


# Removing and leaving


def test_who_is_removed_is_out_at_once_and_what_they_sent_out_is_withdrawn(
    tara: Person, dana: Person, mike: Person
) -> None:
    sent, of_another = invite(dana, "kim@example.com"), invite(tara, "lee@example.com")
    assert dana.get("/sessions").status_code == 200
    remove(tara, dana)
    assert dana.get("/sessions").status_code == 404
    assert roles(tara.workspace) == {"tara": "owner", "mike": "member"}
    assert history(tara.workspace) == [("Dana", "Tara", "admin", "")]
    assert list(invitations.open_ones()) == [of_another]
    assert Invitation.objects.get(pk=sent.pk).withdrawn_at is not None


def test_an_admin_removes_members_and_nobody_else(tara: Person, dana: Person, mike: Person) -> None:
    other = person("otto@example.com")
    join(tara.workspace, other.user, Role.ADMIN)
    for member in (tara, dana, other.into(tara.workspace)):
        with pytest.raises(RoleRequired):
            remove(dana, member)
    with pytest.raises(RoleRequired):
        remove(mike, dana)
    assert (len(roles(tara.workspace)), history(tara.workspace)) == (4, [])
    remove(dana, mike)
    assert "mike" not in roles(tara.workspace)


def test_a_member_of_another_team_is_as_one_who_is_not_there(tara: Person, charlie: Person) -> None:
    elsewhere = membership_of(charlie)
    for member in (elsewhere, uuid.uuid4()):
        for act in (teams.remove, teams.transfer):
            with pytest.raises(Http404):
                act(workspace=tara.workspace, actor=tara.user, member=member, now=clock.now())
    assert Membership.objects.filter(pk=elsewhere, role=Role.OWNER).exists()
    assert roles(tara.workspace) == {"tara": "owner"}


def test_a_stranger_does_nothing_in_a_team(tara: Person, mike: Person, charlie: Person) -> None:
    intruder = charlie.into(tara.workspace)
    acts: list[Callable[[], Any]] = [
        lambda: teams.rename(workspace=tara.workspace, actor=charlie.user, name="Mine"),
        lambda: set_role(Person(charlie.user, tara.workspace), mike, Role.ADMIN),
        lambda: remove(intruder, mike),
        lambda: transfer(intruder, mike),
        lambda: leave(intruder),
        lambda: close(intruder),
        lambda: invite(intruder, "kim@example.com"),
    ]
    for act in acts:
        with pytest.raises(Http404):
            act()
    assert (roles(tara.workspace), history(tara.workspace)) == ({"tara": "owner", "mike": "member"}, [])
    assert Workspace.objects.get(pk=tara.workspace.pk).name == "The team"
    assert not Invitation.objects.exists()


def test_member_and_admin_leave_and_the_owner_does_not(tara: Person, dana: Person, mike: Person) -> None:
    sent = invite(dana, "kim@example.com")
    leave(mike)
    leave(dana)
    for act in (leave, lambda actor: remove(actor, actor)):
        with pytest.raises(teams.LastOwner) as refused:
            act(tara)
        assert (refused.value.code, refused.value.status_code) == ("last_owner", 409)
    assert roles(tara.workspace) == {"tara": "owner"}
    assert history(tara.workspace) == [("Mike", "Mike", "member", ""), ("Dana", "Dana", "admin", "")]
    # Who leaves was not distrusted.
    assert list(invitations.open_ones()) == [sent]


# Transferring


def test_a_transfer_swaps_owner_and_admin_and_is_remembered(tara: Person, mike: Person) -> None:
    transfer(tara, mike)
    assert roles(tara.workspace) == {"tara": "admin", "mike": "owner"}
    assert set(tara.workspace.ownerships.values_list("user__email", flat=True)) == {tara.user.email, mike.user.email}
    assert history(tara.workspace) == [("Tara", "Tara", "owner", "admin"), ("Mike", "Tara", "member", "owner")]
    # And back, to who has owned it before.
    transfer(mike, tara)
    assert roles(tara.workspace) == {"tara": "owner", "mike": "admin"}
    assert tara.workspace.ownerships.count() == 2


def test_the_trial_of_a_new_owner_is_the_trial_of_the_workspace(tara: Person, mike: Person) -> None:
    assert mike.into(mike.user.personal_workspace).post("/billing/activate-trial").status_code == 200
    transfer(tara, mike)
    answer = mike.post("/billing/activate-trial")
    assert (answer.status_code, answer.json()["code"]) == (409, "trial_already_used")


def test_only_the_owner_transfers_and_only_to_another_who_can_sign_in(tara: Person, dana: Person, mike: Person) -> None:
    with pytest.raises(RoleRequired):
        transfer(dana, mike)
    with pytest.raises(Problem, match="the owner already"):
        transfer(tara, tara)
    User.objects.filter(pk=mike.user.pk).update(is_active=False)
    with pytest.raises(Problem, match="deactivated"):
        transfer(tara, mike)
    assert roles(tara.workspace) == {"tara": "owner", "dana": "admin", "mike": "member"}
    assert history(tara.workspace) == []
    assert tara.workspace.ownerships.count() == 1


# Closing


def test_a_closed_workspace_is_nobodys_and_its_invitations_end(tara: Person, dana: Person, charlie: Person) -> None:
    sent = invite(tara, charlie.user.email)
    close(tara)
    assert Workspace.objects.get(pk=tara.workspace.pk).closed_at is not None
    assert Invitation.objects.get(pk=sent.pk).withdrawn_at is not None
    for someone in (tara, dana):
        assert someone.get("/sessions").status_code == 404
        with pytest.raises(Http404):
            access.load(someone.user.pk, workspace_id=tara.workspace.pk, now=clock.now(), is_session=True)
    for act in (leave, close, lambda actor: invite(actor, "lee@example.com")):
        with pytest.raises(Http404):
            act(tara)
    # What was is still known.
    assert roles(tara.workspace) == {"tara": "owner", "dana": "admin"}


def test_only_the_owner_closes(tara: Person, dana: Person, mike: Person) -> None:
    for actor in (dana, mike):
        with pytest.raises(RoleRequired):
            close(actor)
        with pytest.raises(RoleRequired):
            teams.refuse_to_close(workspace=actor.workspace, actor=actor.user)
    assert Workspace.objects.get(pk=tara.workspace.pk).closed_at is None


def test_a_personal_workspace_is_not_shared_left_transferred_or_closed(bob: Person) -> None:
    own = membership_of(bob)
    acts: list[Callable[[], Any]] = [
        lambda: leave(bob),
        lambda: close(bob),
        lambda: remove(bob, bob),
        lambda: transfer(bob, bob),
        lambda: set_role(bob, bob, Role.MEMBER),
        lambda: teams.let_admins_bill(workspace=bob.workspace, actor=bob.user, is_allowed=True),
        lambda: invite(bob, "kim@example.com"),
    ]
    for act in acts:
        with pytest.raises(teams.PersonalWorkspace) as refused:
            act()
        assert refused.value.code == "personal_workspace"
    assert Membership.objects.get(pk=own).role == Role.OWNER
    found = Workspace.objects.get(pk=bob.workspace.pk)
    assert (found.closed_at, found.may_admins_bill, Invitation.objects.count()) == (None, False, 0)


def test_nothing_is_changed_in_a_suspended_workspace(tara: Person, mike: Person) -> None:
    Workspace.objects.filter(pk=tara.workspace.pk).update(suspended_at=datetime.now(UTC))
    acts: list[Callable[[], Any]] = [
        lambda: teams.rename(workspace=tara.workspace, actor=tara.user, name="Other"),
        lambda: set_role(tara, mike, Role.ADMIN),
        lambda: remove(tara, mike),
        lambda: transfer(tara, mike),
        lambda: leave(mike),
        lambda: close(tara),
        lambda: invite(tara, "kim@example.com"),
    ]
    for act in acts:
        with pytest.raises(Suspended):
            act()
    assert (roles(tara.workspace), history(tara.workspace)) == ({"tara": "owner", "mike": "member"}, [])
    assert not Invitation.objects.exists()


def test_the_history_of_members_cannot_be_changed(tara: Person, mike: Person) -> None:
    set_role(tara, mike, Role.ADMIN)
    for statement in ("DELETE FROM accounts_membershipchange", "UPDATE accounts_membershipchange SET after = ''"):
        with (
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert history(tara.workspace) == [("Mike", "Tara", "member", "admin")]


def test_signed_in_people_see_no_closed_workspace_among_theirs(tara: Person) -> None:
    assert len(tara.get("/auth/me").json()["workspaces"]) == 2
    close(tara)
    (left,) = tara.into(tara.user.personal_workspace).get("/auth/me").json()["workspaces"]
    assert left["is_personal"] is True
