"""What is asked of one team at once follows one another: nobody comes in twice, and somebody always owns it."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import Http404
from pytest_django import Settings as SettingsWrapper

from accounts import clock, invitations, teams
from accounts.errors import Problem
from accounts.models import Invitation, Membership, MembershipChange, Ownership, Role, User, Workspace
from billing.models import Plan
from tests.accounts.test_invitations import accept, token_of, verified
from tests.accounts.test_teams import invite, leave, membership_of, remove, roles, set_role, transfer
from tests.people import Person, join, person
from tests.threads import at_once, wait_until_one_waits_for

# On a clone of the template, with the cast's rows in it, every thread sees what the others commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> Person:
    tara = verified("tara@example.com").user
    return Person(tara, Workspace.objects.open(name="The team", owner=tara, now=clock.now()))


def into(owner: Person, name: str, role: Role) -> Person:
    """A person who is in the owner's team."""
    made = verified(f"{name}@example.com")
    join(owner.workspace, made.user, role)
    return made.into(owner.workspace)


def came_of(*acts: Callable[[], Any]) -> Counter[str]:
    """How often each thing came of them, all at once: `done`, or the code of the refusal."""

    def told(act: Callable[[], Any]) -> str:
        try:
            act()
        except Problem as problem:
            return problem.code
        except Http404:
            return "not_found"
        return "done"

    came = at_once([partial(told, act) for act in acts])
    assert all(isinstance(one, str) for one in came), came
    return Counter(came)


def test_an_address_that_is_invited_eight_times_at_once_is_invited_once(owner: Person) -> None:
    came = came_of(*[lambda: invite(owner, "kim@example.com")] * 8)
    assert came == {"done": 1, "already_invited": 7}
    assert Invitation.objects.count() == 1


def test_a_token_that_eight_accounts_use_at_once_lets_one_in(owner: Person) -> None:
    token = token_of(invite(owner, "kim@example.com"))
    people = [verified(f"kim{number}@example.com") for number in range(8)]
    came = came_of(*(lambda who=who: accept(token, who) for who in people))
    assert came == {"done": 1, "invitation_ended": 7}
    assert len(roles(owner.workspace)) == 2
    assert MembershipChange.objects.count() == 1


def test_a_token_that_one_account_uses_eight_times_at_once_lets_them_in_once(owner: Person) -> None:
    token, kim = token_of(invite(owner, "kim@example.com")), verified("kim@example.com")
    came = came_of(*[lambda: accept(token, kim)] * 8)
    assert came == {"done": 1, "invitation_ended": 7}
    assert Membership.objects.filter(user=kim.user, workspace=owner.workspace).count() == 1


def test_of_eight_who_join_at_once_as_many_come_in_as_the_plan_has_room_for(owner: Person) -> None:
    people = [verified(f"kim{number}@example.com") for number in range(8)]
    tokens = [token_of(invite(owner, who.user.email)) for who in people]
    # Five with the owner.
    Plan.objects.filter(slug=Plan.FREE).update(members_limit=5)
    came = came_of(
        *(lambda who=who, token=token: accept(token, who) for who, token in zip(people, tokens, strict=True))
    )
    assert came == {"done": 4, "seats_exceeded": 4}
    assert len(roles(owner.workspace)) == 5
    assert Invitation.objects.exclude(accepted_at=None).count() == 4


def test_a_link_that_is_sent_anew_while_it_is_used_lets_nobody_in(owner: Person) -> None:
    made = invite(owner, "kim@example.com")
    token, kim = token_of(made), verified("kim@example.com")
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            teams.hold_row(owner.workspace.pk)
            came = threads.submit(came_of, lambda: accept(token, kim))
            wait_until_one_waits_for(connection.connection.info.backend_pid)
            token_of(made)
        assert came.result(timeout=30) == {"invitation_ended": 1}
    assert roles(owner.workspace) == {"tara": "owner"}


def test_an_invitation_is_accepted_or_withdrawn_and_never_both(owner: Person) -> None:
    for number in range(4):
        made = invite(owner, f"kim{number}@example.com")
        token, kim = token_of(made), verified(f"kim{number}@example.com")
        came = came_of(
            lambda token=token, kim=kim: accept(token, kim),  # type: ignore[misc]
            lambda made=made: invitations.withdraw(  # type: ignore[misc]
                workspace=owner.workspace, actor=owner.user, invitation=made.pk
            ),
        )
        assert came["done"] == 1
        made.refresh_from_db()
        is_in = f"kim{number}" in roles(owner.workspace)
        assert (made.accepted_at is not None, made.withdrawn_at is None) == (is_in, is_in)


def test_who_is_removed_while_they_accept_is_out_and_what_they_sent_is_withdrawn(owner: Person) -> None:
    for number in range(4):
        dana = into(owner, f"dana{number}", Role.ADMIN)
        kim = verified(f"kim{number}@example.com")
        token = token_of(invite(dana, kim.user.email))
        came = came_of(
            lambda dana=dana: remove(owner, dana),  # type: ignore[misc]
            lambda token=token, kim=kim: accept(token, kim),  # type: ignore[misc]
        )
        assert f"dana{number}" not in roles(owner.workspace)
        assert (came["done"] == 2) == (f"kim{number}" in roles(owner.workspace))
        assert not invitations.open_ones().exists()


def test_a_workspace_has_one_owner_whoever_leaves_while_it_is_transferred(owner: Person) -> None:
    for number in range(6):
        mike = into(owner, f"mike{number}", Role.MEMBER)
        # Looked up before, because mike may be gone when it begins.
        member = membership_of(mike)
        came = came_of(
            lambda member=member: teams.transfer(  # type: ignore[misc]
                workspace=owner.workspace, actor=owner.user, member=member, now=clock.now()
            ),
            lambda mike=mike: leave(mike),  # type: ignore[misc]
        )
        # The transfer came first, and the new owner cannot leave; or there was nobody to transfer it to.
        assert came in ({"done": 1, "last_owner": 1}, {"done": 1, "not_found": 1})
        now_owner = Membership.objects.get(workspace=owner.workspace, role=Role.OWNER)
        if now_owner.user != owner.user:
            transfer(mike, owner)


def test_two_transfers_at_once_make_one_owner(owner: Person) -> None:
    heirs = [into(owner, name, Role.MEMBER) for name in ("mike", "otto", "lee")]
    came = came_of(*(lambda heir=heir: transfer(owner, heir) for heir in heirs))
    assert came == {"done": 1, "role_required": 2}
    assert Counter(roles(owner.workspace).values()) == {"owner": 1, "admin": 1, "member": 2}
    assert Ownership.objects.filter(workspace=owner.workspace).count() == 2


def test_who_is_made_less_cannot_act_as_more_in_the_same_instant(owner: Person) -> None:
    for number in range(4):
        dana, mike = into(owner, f"dana{number}", Role.ADMIN), into(owner, f"mike{number}", Role.MEMBER)
        came = came_of(
            lambda dana=dana: set_role(owner, dana, Role.MEMBER),  # type: ignore[misc]
            lambda dana=dana, mike=mike: remove(dana, mike),  # type: ignore[misc]
        )
        lines = list(
            MembershipChange.objects.filter(user__in=[dana.user, mike.user]).order_by("id").values_list("user", "after")
        )
        assert came in ({"done": 2}, {"done": 1, "role_required": 1})
        # Whoever removed somebody was an admin then.
        assert lines in ([(dana.user.pk, "member")], [(mike.user.pk, ""), (dana.user.pk, "member")])


def test_a_workspace_that_is_closed_while_somebody_joins_lets_nobody_in_after(owner: Person) -> None:
    kim = verified("kim@example.com")
    token = token_of(invite(owner, kim.user.email))
    came_of(
        lambda: teams.close(workspace=owner.workspace, actor=owner.user, now=clock.now()),
        lambda: accept(token, kim),
    )
    found = Workspace.objects.get(pk=owner.workspace.pk)
    assert found.closed_at is not None
    assert Invitation.objects.filter(accepted_at=None, withdrawn_at=None).count() == 0
    assert kim.into(owner.workspace).get("/sessions").status_code == 404


@pytest.mark.parametrize("limit", [1, 2])
def test_of_eight_teams_that_somebody_opens_at_once_as_many_are_made_as_may_be_without_a_plan(
    limit: int, settings: SettingsWrapper
) -> None:
    settings.UNPAID_TEAMS_PER_OWNER = limit
    bob = person("bob@example.com")
    came = came_of(*[lambda: teams.open_team(owner=bob.user, name="Free", now=clock.now())] * 8)
    assert came == {"done": limit, "unpaid_workspace": 8 - limit}
    assert teams_of(bob.user) == ["Free"] * limit


def teams_of(user: User) -> Sequence[str]:
    return list(Workspace.objects.filter(members=user, personal_user=None).values_list("name", flat=True))
