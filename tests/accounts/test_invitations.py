"""An invitation is mailed to one address, works once and for seven days, and says nothing about who has an account."""

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.http import Http404

from accounts import clock, guards, invitations, jobs
from accounts.errors import Problem
from accounts.models import Attempt, Invitation, Membership, Role, User, Workspace
from accounts.roles import RoleRequired, Suspended
from tests.accounts.test_teams import history, invite, roles
from tests.people import Person, join, person

LINK = re.compile(r"http://127\.0\.0\.1:8000/workspace/join/([\w-]{43})/")


def token_of(invitation: Invitation) -> str:
    """As the worker makes it; the mail before ends."""
    made = invitations.new_link(invitation.pk)
    assert made is not None
    found = LINK.fullmatch(made[1])
    assert found is not None
    return found[1]


def verified(email: str) -> Person:
    return person(email, is_email_verified=True)


def accept(token: str, who: Person) -> Membership:
    return invitations.accept(token=token, user=who.user, now=clock.now())


def is_ended(token: str, who: Person) -> bool:
    with pytest.raises(invitations.InvitationEnded) as refused:
        accept(token, who)
    return (refused.value.code, refused.value.status_code) == ("invitation_ended", 410)


def waiting_jobs() -> list[tuple[str, dict[str, str]]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name, args FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
        return [(name.rpartition(".")[2], json.loads(args)) for name, args in cursor.fetchall()]


def age(invitation: Invitation, by: timedelta) -> None:
    invitation.expires_at -= by
    invitation.save(update_fields=["expires_at"])


# Inviting


def test_the_link_is_in_the_mail_alone(tara: Person, work: Callable[[], None]) -> None:
    made = invite(tara, "  Kim@Example.COM ", Role.ADMIN)
    assert (made.email, made.role, made.token_hash) == ("kim@example.com", "admin", None)
    assert waiting_jobs() == [("send_invitation", {"invitation_id": str(made.pk)})]
    work()
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["kim@example.com"], "Tara invites you to The team on AI-Manus")
    assert "Tara invites you to The team on AI-Manus, as an admin." in str(message.body)
    (token,) = LINK.findall(str(message.body))
    made.refresh_from_db()
    assert bytes(made.token_hash or b"") == hashlib.sha256(token.encode()).digest()
    found = invitations.find(token)
    assert found is not None
    assert (found.pk, found.expires_at - found.created_at) == (made.pk, timedelta(days=7))


def test_a_mail_carries_no_link_of_who_invites(tara: Person) -> None:
    tara.user.fullname = "Win at evil.example/now"
    tara.user.save(update_fields=["fullname"])
    Workspace.objects.filter(pk=tara.workspace.pk).update(name="See www.evil.example")
    jobs.send_invitation(invitation_id=str(invite(tara, "kim@example.com").pk))
    (message,) = mail.outbox
    assert message.subject == "Somebody invites you to a workspace on AI-Manus"
    assert "evil" not in str(message.body)


def test_an_admin_invites_members_and_a_member_nobody(dana: Person, mike: Person) -> None:
    invite(dana, "kim@example.com")
    for actor, role in ((dana, Role.ADMIN), (dana, Role.OWNER), (mike, Role.MEMBER)):
        with pytest.raises(RoleRequired):
            invite(actor, "lee@example.com", role)
    assert [(one.email, one.role) for one in Invitation.objects.all()] == [("kim@example.com", "member")]
    assert len(waiting_jobs()) == 1


def test_who_invites_has_confirmed_their_own_address(tara: Person) -> None:
    with pytest.raises(invitations.EmailNotVerified) as refused:
        invitations.invite(
            workspace=tara.workspace, actor=tara.user, email="kim@example.com", role=Role.MEMBER, now=clock.now()
        )
    assert (refused.value.code, refused.value.status_code) == ("email_not_verified", 403)
    assert (Invitation.objects.count(), Attempt.objects.count(), waiting_jobs()) == (0, 0, [])


def test_an_invitation_is_the_same_whether_or_not_the_address_has_an_account(tara: Person, bob: Person) -> None:
    known, unknown = invite(tara, bob.user.email), invite(tara, "unknown@example.com")
    assert known.role == unknown.role
    assert [name for name, _ in waiting_jobs()] == ["send_invitation"] * 2


def test_an_address_is_invited_once_and_again_when_that_has_ended(tara: Person, mike: Person) -> None:
    first = invite(tara, "kim@example.com")
    for email, code in (("KIM@example.com", "already_invited"), (mike.user.email, "already_member")):
        with pytest.raises(Problem) as refused:
            invite(tara, email)
        assert refused.value.code == code
    assert (Invitation.objects.count(), len(waiting_jobs())) == (1, 1)
    age(first, timedelta(days=7))
    second = invite(tara, "kim@example.com")
    assert list(invitations.open_ones()) == [second]
    invitations.withdraw(workspace=tara.workspace, actor=tara.user, invitation=second.pk)
    assert list(invitations.open_ones()) == []
    assert invite(tara, "kim@example.com").pk not in (first.pk, second.pk)


def test_a_workspace_sends_fifty_an_hour(tara: Person) -> None:
    for number in range(guards.INVITATION.tries):
        invite(tara, f"kim{number}@example.com")
    with pytest.raises(guards.TooManyTries):
        invite(tara, "one.more@example.com")
    with pytest.raises(guards.TooManyTries):
        invitations.resend(
            workspace=tara.workspace,
            actor=tara.user,
            invitation=Invitation.objects.latest("created_at").pk,
            now=clock.now(),
        )
    assert Invitation.objects.count() == len(waiting_jobs()) == guards.INVITATION.tries


# Sending again, and withdrawing


def test_a_link_that_is_sent_again_ends_the_one_before(tara: Person, dana: Person) -> None:
    made = invite(tara, "kim@example.com")
    old = token_of(made)
    age(made, timedelta(days=8))
    kim = verified("kim@example.com")
    assert is_ended(old, kim)
    User.objects.filter(pk=dana.user.pk).update(is_email_verified=True)
    dana.user.is_email_verified = True
    again = invitations.resend(workspace=dana.workspace, actor=dana.user, invitation=made.pk, now=clock.now())
    # Before the worker has made the new one, too.
    assert is_ended(old, kim)
    # Who sends it answers for it.
    assert (again.invited_by, len(waiting_jobs())) == (dana.user, 2)
    new = token_of(made)
    assert is_ended(old, kim)
    accept(new, kim)
    assert roles(tara.workspace)["kim"] == "member"


def test_what_was_withdrawn_is_neither_accepted_nor_mailed_nor_sent_again(
    tara: Person, work: Callable[[], None]
) -> None:
    made = invite(tara, "kim@example.com")
    token = token_of(made)
    invitations.withdraw(workspace=tara.workspace, actor=tara.user, invitation=made.pk)
    assert is_ended(token, verified("kim@example.com"))
    work()
    assert mail.outbox == []
    with pytest.raises(Http404):
        invitations.resend(workspace=tara.workspace, actor=tara.user, invitation=made.pk, now=clock.now())
    with pytest.raises(Http404):
        invitations.withdraw(workspace=tara.workspace, actor=tara.user, invitation=made.pk)


def test_an_admin_touches_no_invitation_of_an_admin_and_no_foreign_one(
    tara: Person, dana: Person, alice: Person
) -> None:
    above = invite(tara, "kim@example.com", Role.ADMIN)
    theirs = Workspace.objects.open(name="Another", owner=alice.user, now=clock.now())
    foreign = invite(alice.into(theirs), "lee@example.com")
    with pytest.raises(RoleRequired):
        invitations.withdraw(workspace=dana.workspace, actor=dana.user, invitation=above.pk)
    for invitation in (foreign.pk, uuid.uuid4()):
        with pytest.raises(Http404):
            invitations.withdraw(workspace=dana.workspace, actor=dana.user, invitation=invitation)
    assert invitations.open_ones().count() == 2


# Accepting


def test_a_token_lets_one_account_in_once(tara: Person, bob: Person) -> None:
    made = invite(tara, "kim@example.com", Role.ADMIN)
    token, kim = token_of(made), verified("kim@example.com")
    accept(token, kim)
    made.refresh_from_db()
    assert (roles(tara.workspace)["kim"], made.accepted_by) == ("admin", kim.user)
    assert made.accepted_at is not None
    assert history(tara.workspace) == [("Kim", "Kim", "", "admin")]
    assert kim.into(tara.workspace).get("/sessions").status_code == 200
    assert is_ended(token, verified("lee@example.com"))
    assert is_ended("x" * 43, bob)


def test_the_token_is_the_proof_whichever_address_the_account_has(tara: Person) -> None:
    token = token_of(invite(tara, "kim@example.com"))
    accept(token, verified("kim.private@example.com"))
    assert roles(tara.workspace)["kim.private"] == "member"


def test_a_token_proves_the_address_that_it_was_mailed_to(tara: Person) -> None:
    kim = person("kim@example.com")
    accept(token_of(invite(tara, "kim@example.com")), kim)
    assert User.objects.get(pk=kim.user.pk).is_email_verified
    assert roles(tara.workspace)["kim"] == "member"


def test_a_token_proves_no_other_address(tara: Person) -> None:
    lee, token = person("lee@example.com"), token_of(invite(tara, "kim@example.com"))
    with pytest.raises(invitations.EmailNotVerified):
        accept(token, lee)
    assert not User.objects.get(pk=lee.user.pk).is_email_verified
    assert roles(tara.workspace) == {"tara": "owner"}
    User.objects.filter(pk=lee.user.pk).update(is_email_verified=True)
    accept(token, lee)
    assert roles(tara.workspace)["lee"] == "member"


def test_a_proven_address_needs_no_token_and_an_unproven_one_gets_nowhere(tara: Person, charlie: Person) -> None:
    made = invite(tara, "kim@example.com")
    kim = person("kim@example.com")
    for who in (kim, charlie):
        assert list(invitations.for_user(who.user)) == []
        with pytest.raises(Http404):
            invitations.accept_by_address(invitation=made.pk, user=who.user, now=clock.now())
    assert roles(tara.workspace) == {"tara": "owner"}
    kim.user.is_email_verified = True
    # Not by what the request has read: by what is so.
    with pytest.raises(invitations.EmailNotVerified):
        invitations.accept_by_address(invitation=made.pk, user=kim.user, now=clock.now())
    kim.user.save(update_fields=["is_email_verified"])
    assert list(invitations.for_user(kim.user)) == [made]
    invitations.accept_by_address(invitation=made.pk, user=kim.user, now=clock.now())
    assert (roles(tara.workspace)["kim"], list(invitations.for_user(kim.user))) == ("member", [])


def test_seven_days_are_counted_by_the_wall_clock(tara: Person, travel: Callable[[timedelta], datetime]) -> None:
    made, kim = invite(tara, "kim@example.com"), verified("kim@example.com")
    token = token_of(made)
    travel(timedelta(days=30))
    age(made, timedelta(days=7))
    assert is_ended(token, kim)
    assert roles(tara.workspace) == {"tara": "owner"}
    age(made, -timedelta(minutes=1))
    accept(token, kim)
    member = Membership.objects.get(workspace=tara.workspace, user=kim.user)
    assert member.created_at > datetime.now(UTC) + timedelta(days=29)


def test_who_is_in_it_already_stays_what_they_are_and_leaves_the_invitation_to_others(
    tara: Person, mike: Person
) -> None:
    User.objects.filter(pk=mike.user.pk).update(is_email_verified=True)
    token = token_of(invite(tara, "kim@example.com", Role.ADMIN))
    with pytest.raises(Problem) as refused:
        accept(token, mike)
    assert (refused.value.code, roles(tara.workspace)["mike"]) == ("already_member", "member")
    assert invitations.find(token) is not None


def test_who_came_in_another_way_is_not_invited_any_more(tara: Person) -> None:
    invite(tara, "kim@example.com")
    kim = verified("kim@example.com")
    assert invitations.for_user(kim.user).count() == 1
    join(tara.workspace, kim.user, Role.MEMBER)
    assert invitations.for_user(kim.user).count() == 0


def test_what_ended_long_ago_is_forgotten_and_who_joined_by_it_stays(tara: Person) -> None:
    used, recent = invite(tara, "kim@example.com"), invite(tara, "lee@example.com")
    accept(token_of(used), verified("kim@example.com"))
    age(used, timedelta(days=98))
    age(recent, timedelta(days=96))
    jobs.forget_what_expired(timestamp=int(datetime.now(UTC).timestamp()))
    assert list(Invitation.objects.all()) == [recent]
    assert roles(tara.workspace)["kim"] == "member"
    assert history(tara.workspace) == [("Kim", "Kim", "", "member")]


def test_nobody_joins_a_suspended_or_closed_workspace(tara: Person) -> None:
    token, kim = token_of(invite(tara, "kim@example.com")), verified("kim@example.com")
    Workspace.objects.filter(pk=tara.workspace.pk).update(suspended_at=datetime.now(UTC))
    with pytest.raises(Suspended):
        accept(token, kim)
    Workspace.objects.filter(pk=tara.workspace.pk).update(suspended_at=None, closed_at=datetime.now(UTC))
    assert is_ended(token, kim)
    assert list(invitations.for_user(kim.user)) == []
    assert roles(tara.workspace) == {"tara": "owner"}
