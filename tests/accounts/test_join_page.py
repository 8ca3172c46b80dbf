"""What a mailed invitation leads to: it shows who invites whom into what, and its button joins."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test.utils import CaptureQueriesContext

from accounts.models import Invitation, Membership, Role, User, Workspace
from billing.models import Plan
from tests.accounts.browsing import Browser
from tests.accounts.test_invitations import token_of, verified
from tests.accounts.test_teams import close, invite, roles
from tests.people import Person, person

HOME = "/workspace/"


@pytest.fixture
def invitation(tara: Person) -> Invitation:
    return invite(tara, "kim@example.com", Role.ADMIN)


@pytest.fixture
def path(invitation: Invitation) -> str:
    return f"/workspace/join/{token_of(invitation)}/"


def test_who_is_not_signed_in_sees_the_invitation_and_is_led_to_sign_in_or_up_and_back(path: str, tara: Person) -> None:
    nobody = Browser()
    text = nobody.text(path)
    for shown in ("Join The team", "<strong>Tara</strong> invites you", "as an admin", "works once"):
        assert shown in text, shown
    for way in ("login", "signup"):
        assert f'href="/accounts/{way}/?next={path}"' in text
    assert "tara@example.com" not in text
    assert "kim@example.com" not in text
    assert nobody.force(path).status_code == 200
    assert roles(tara.workspace) == {"tara": "owner"}


def test_looking_joins_nothing_and_the_button_does(path: str, tara: Person) -> None:
    kim = verified("kim@example.com")
    browser = Browser(kim)
    text = browser.text(path)
    assert "You join as Kim, with the account <strong>kim@example.com</strong>." in text
    assert "mailed to another address" not in text
    assert roles(tara.workspace) == {"tara": "owner"}
    answer = browser.send(path)
    assert (answer.status_code, answer["Location"], browser.workspace) == (302, HOME, str(tara.workspace.pk))
    text = browser.text(HOME)
    assert "You are in The team now." in text
    assert "You are an admin of this workspace." in text
    assert roles(tara.workspace) == {"tara": "owner", "kim": "admin"}


def test_another_account_is_told_which_one_joins(path: str, tara: Person) -> None:
    browser = Browser(verified("kim.private@example.com"))
    text = browser.text(path)
    assert "with the account <strong>kim.private@example.com</strong>" in text
    assert "The invitation was mailed to another address." in text
    assert "kim@example.com" not in text
    assert browser.send(path).status_code == 302
    assert roles(tara.workspace) == {"tara": "owner", "kim.private": "admin"}


def test_the_mailed_link_proves_the_address_and_the_browser_stays_signed_in(path: str, tara: Person) -> None:
    kim = person("kim@example.com")
    browser = Browser(kim)
    assert browser.send(path).status_code == 302
    assert "You are in The team now." in browser.text(HOME)
    assert User.objects.get(pk=kim.user.pk).is_email_verified


def test_who_made_the_account_before_its_address_was_proven_is_signed_out(path: str, tara: Person) -> None:
    kim = person("kim@example.com")
    before = Browser(kim)
    assert before.text(HOME)
    assert kim.get("/auth/me").status_code == 200
    assert Browser(kim).send(path).status_code == 302
    assert before.get(HOME).status_code == 302
    assert kim.get("/auth/me").status_code == 401


def test_an_unproven_account_with_another_address_is_led_to_confirm_it(path: str, tara: Person) -> None:
    lee = person("lee@example.com")
    answer = Browser(lee).send(path)
    assert (answer.status_code, "Confirm the e-mail address of your account" in answer.content.decode()) == (403, True)
    assert 'href="/accounts/email/"' in answer.content.decode()
    assert not User.objects.get(pk=lee.user.pk).is_email_verified
    assert roles(tara.workspace) == {"tara": "owner"}


def test_who_is_in_it_already_is_led_into_it(path: str, mike: Person, tara: Person) -> None:
    browser = Browser(mike.into(mike.user.personal_workspace))
    assert "You are in this workspace already." in browser.text(path)
    assert browser.force(path).status_code == 409
    assert browser.send(path, "/workspace/switch")["Location"] == HOME
    assert browser.workspace == str(tara.workspace.pk)
    assert roles(tara.workspace)["mike"] == "member"


def test_a_link_that_has_ended_says_so_whatever_ended_it(
    path: str, tara: Person, invitation: Invitation, subtests: pytest.Subtests
) -> None:
    browser = Browser(verified("lee@example.com"))
    ends: dict[str, Callable[[], object]] = {
        "accepted": lambda: Invitation.objects.update(accepted_at=datetime.now(UTC)),
        "withdrawn": lambda: Invitation.objects.update(accepted_at=None, withdrawn_at=datetime.now(UTC)),
        "expired": lambda: Invitation.objects.update(withdrawn_at=None, expires_at=datetime.now(UTC)),
        "closed": lambda: close(tara),
    }
    for name, end in ends.items():
        with subtests.test(name):
            end()
            for answer in (browser.get(path), browser.force(path), browser.get("/workspace/join/none/")):
                assert answer.status_code == 410
                assert "This invitation is not valid any more" in answer.content.decode()
            assert roles(tara.workspace) == {"tara": "owner"}


def test_a_full_plan_is_said_to_who_wants_to_join(path: str, tara: Person) -> None:
    Plan.objects.filter(slug=Plan.FREE).update(members_limit=1)
    answer = Browser(verified("kim@example.com")).send(path)
    assert (answer.status_code, "has room for 1 member," in answer.content.decode()) == (402, True)
    assert roles(tara.workspace) == {"tara": "owner"}
    assert Invitation.objects.get().accepted_at is None


def test_a_form_without_the_pages_token_joins_nothing(path: str, tara: Person) -> None:
    assert Browser(verified("kim@example.com")).client.post(path).status_code == 403
    assert roles(tara.workspace) == {"tara": "owner"}


def test_a_suspended_workspace_of_ones_own_keeps_nobody_from_joining_another(path: str, tara: Person) -> None:
    kim = verified("kim@example.com")
    Workspace.objects.filter(pk=kim.workspace.pk).update(suspended_at=datetime.now(UTC))
    assert Browser(kim).send(path).status_code == 302
    assert roles(tara.workspace)["kim"] == "admin"


def test_a_proven_address_finds_its_invitations_on_the_page_of_every_workspace(
    invitation: Invitation, tara: Person
) -> None:
    kim = person("kim@example.com")
    assert "invites you to" not in Browser(kim).text(HOME)
    action = f"/workspace/invitations/{invitation.pk}/accept"
    assert Browser(kim).force(action).status_code == 404
    User.objects.filter(pk=kim.user.pk).update(is_email_verified=True)
    browser = Browser(kim)
    assert "Tara invites you to <strong>The team</strong>." in browser.text(HOME)
    assert browser.send(HOME, action).status_code == 302
    assert Membership.objects.filter(workspace=tara.workspace, user=kim.user, role=Role.ADMIN).exists()
    assert "invites you to" not in browser.text(HOME)
    assert Browser(verified("lee@example.com")).force(action).status_code == 404


def test_what_people_write_is_shown_as_they_wrote_it(path: str, tara: Person) -> None:
    User.objects.filter(pk=tara.user.pk).update(fullname="<i>Tara</i>")
    Workspace.objects.filter(pk=tara.workspace.pk).update(name='"><script>alert(1)</script>')
    text = Browser(verified("kim@example.com")).text(path)
    assert "&lt;i&gt;Tara&lt;/i&gt;" in text
    assert "<i>" not in text
    assert "<script>alert" not in text


def test_the_page_is_eight_statements_at_most(path: str, statements: Callable[[], CaptureQueriesContext]) -> None:
    for browser in (Browser(), Browser(verified("kim@example.com"))):
        browser.text(path)
        with statements() as seen:
            browser.text(path)
        assert len(seen) <= 8
