"""The pages of a workspace: each role sees what it may do, and does it there and nothing else."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test.utils import CaptureQueriesContext

from accounts import clock, invitations, workspace_pages
from accounts.models import Invitation, Membership, MembershipChange, Ownership, Role, User, Workspace
from accounts.roles import MAY, Act
from billing.models import Plan
from tests.accounts.browsing import Browser
from tests.accounts.test_invitations import age
from tests.accounts.test_teams import close, history, invite, membership_of, roles
from tests.people import PASSWORD, Person, person, put_on

HOME = "/workspace/"


@pytest.fixture
def trusted(tara: Person) -> Person:
    """tara, whose address is confirmed."""
    User.objects.filter(pk=tara.user.pk).update(is_email_verified=True)
    tara.user.refresh_from_db()
    return tara


def digest() -> str:
    """Of everything that a page of a workspace could change."""
    models = (Workspace, Membership, MembershipChange, Invitation, Ownership)
    return str([list(model._default_manager.order_by("pk").values_list()) for model in models])


def name_of(workspace: Workspace) -> str:
    return Workspace.objects.get(pk=workspace.pk).name


# What is shown


def test_a_member_sees_names_and_roles_and_no_addresses(tara: Person, dana: Person, mike: Person) -> None:
    text = Browser(mike).text(HOME)
    assert all(f">{name}" in text for name in ("Tara", "Dana", "Mike (you)"))
    assert "You are a member of this workspace." in text
    assert [person.user.email for person in (tara, dana, mike) if person.user.email in text] == ["mike@example.com"]
    assert "Leave the workspace" in text
    for hidden in ("Open invitations", "Invite somebody", "Save the name", "Transfer", "/workspace/members/"):
        assert hidden not in text.replace("Transfer or close the workspace", ""), hidden


def test_an_admin_sees_what_admins_do(dana: Person, mike: Person) -> None:
    User.objects.filter(pk=dana.user.pk).update(is_email_verified=True)
    text = Browser(dana).text(HOME)
    assert "mike@example.com" in text
    assert re.findall(r"/workspace/members/([\w-]+)/", text) == [str(membership_of(mike))]
    for shown in ("Open invitations", "Send the invitation", "They join as a member.", "Save the name", "Leave the w"):
        assert shown in text, shown
    for hidden in ("workspace/close", "workspace/transfer", "may_admins_bill"):
        assert hidden not in text, hidden


def test_the_owner_sees_all_of_it_and_why_they_cannot_leave(trusted: Person, dana: Person, mike: Person) -> None:
    text = Browser(trusted).text(HOME)
    assert set(re.findall(r"/workspace/members/([\w-]+)/", text)) == {
        str(membership_of(member)) for member in (dana, mike)
    }
    for shown in ("workspace/close", "workspace/transfer", "may_admins_bill", "As the owner you cannot leave."):
        assert shown in text, shown
    assert "workspace/leave" not in text
    assert "None is open." in text


def test_the_table_of_rights_is_the_matrix_that_is_enforced(tara: Person) -> None:
    shown = {act for _, act in workspace_pages.RIGHTS}
    assert set(Act) - shown == {Act.LET_ADMINS_BILL, Act.TRANSFER}
    assert MAY[Act.TRANSFER] == MAY[Act.CLOSE] == MAY[Act.LET_ADMINS_BILL] == {Role.OWNER}

    def row(label: str) -> list[str]:
        (found,) = re.findall(rf'<th scope="row" class="light">{label}</th>(.*)</tr>', Browser(tara).text(HOME))
        return re.findall(r'<span class="unseen">(yes|no)</span>', found)

    assert row("Start runs, and read all sessions") == ["yes", "yes", "yes"]
    assert row("See the ledger and invoices") == ["no", "yes", "yes"]
    assert row("Transfer or close the workspace") == ["no", "no", "yes"]
    assert row("Buy, change and cancel the plan") == ["no", "no", "yes"]
    Workspace.objects.filter(pk=tara.workspace.pk).update(may_admins_bill=True)
    assert row("Buy, change and cancel the plan") == ["no", "yes", "yes"]


def test_a_personal_workspace_says_what_it_is_and_leads_to_a_team(bob: Person) -> None:
    text = Browser(bob).text(HOME)
    assert "it cannot be shared, left, transferred or closed" in text
    assert "Make a team workspace" in text
    for hidden in ("Invite", "workspace/leave", "workspace/transfer", "workspace/close", "What each role may do"):
        assert hidden not in text, hidden
    assert Browser(bob).send(HOME, "/workspace/rename", name=" My  place ").status_code == 302
    assert name_of(bob.workspace) == "My place"


def test_what_people_write_is_shown_as_they_wrote_it(trusted: Person, mike: Person) -> None:
    User.objects.filter(pk=mike.user.pk).update(fullname="<b>Mike</b>")
    Workspace.objects.filter(pk=trusted.workspace.pk).update(name="<script>alert(1)</script>")
    text = Browser(trusted).text(HOME)
    assert "&lt;b&gt;Mike&lt;/b&gt;" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>Mike" not in text
    assert "<script>alert" not in text


def test_places_are_counted_where_the_plan_counts_them(trusted: Person, mike: Person) -> None:
    assert "2 people" in Browser(trusted).text(HOME)
    Plan.objects.filter(slug=Plan.FREE).update(members_limit=3)
    assert "2 of 3 places of the plan" in Browser(trusted).text(HOME)
    assert "Send the invitation" in Browser(trusted).text(HOME)
    invite(trusted, "kim@example.com")
    text = Browser(trusted).text(HOME)
    assert "3 of 3 places of the plan" in text
    assert "All places of the plan are taken." in text
    assert "Send the invitation" not in text


def test_a_page_is_eight_statements_at_most_however_many_belong_to_it(
    trusted: Person, statements: Callable[[], CaptureQueriesContext]
) -> None:
    workspace, now = trusted.workspace, datetime.now(UTC)
    users = User.objects.bulk_create(
        User(email=f"many{n}@example.com", person_hash=str(n), fullname=f"Many {n}", created_at=now) for n in range(120)
    )
    Membership.objects.bulk_create(
        Membership(workspace=workspace, user=user, role=Role.MEMBER, created_at=now) for user in users
    )
    Invitation.objects.bulk_create(
        Invitation(
            workspace=workspace,
            email=f"invited{n}@example.com",
            invited_by=trusted.user,
            created_at=now,
            expires_at=now + timedelta(days=7),
        )
        for n in range(120)
    )
    member = Membership.objects.filter(workspace=workspace, role=Role.MEMBER).first()
    assert member is not None
    browser = Browser(trusted)
    for path in (
        HOME,
        "/workspace/new",
        "/workspace/invite",
        "/workspace/leave",
        "/workspace/transfer",
        "/workspace/close",
        f"/workspace/members/{member.pk}/",
        f"/workspace/members/{member.pk}/remove",
    ):
        browser.text(path)
        with statements() as seen:
            browser.text(path)
        assert len(seen) <= 8, (path, [query["sql"][:90] for query in seen.captured_queries])

    seen_people: list[str] = []
    path = HOME
    while path:
        text = browser.text(path)
        seen_people += re.findall(r"<small>(\S+@example.com)</small>", text)
        more = re.search(r'href="(\?after=[\w-]+)#members">More members', text)
        path = HOME + more[1] if more else ""
    assert len(seen_people) == len(set(seen_people)) == 121
    assert "Older invitations are not shown." in browser.text(HOME)
    assert browser.get(f"{HOME}?after=no-id").status_code == 404


# What is done


def test_a_team_is_made_once_however_often_its_form_is_sent(bob: Person) -> None:
    browser = Browser(bob)
    form = browser.forms("/workspace/new")["/workspace/new"] | {"name": "Harbour Lane"}
    answers = [browser.client.post("/workspace/new", form) for _ in range(2)]
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, HOME)] * 2
    team = Workspace.objects.get(personal_user=None)
    assert (team.name, team.owner, browser.workspace) == ("Harbour Lane", bob.user, str(team.pk))
    assert "Harbour Lane is ready." in browser.text(HOME)
    # Another wish is another team, and one is what there is without a plan.
    answer = browser.send("/workspace/new", name="One more")
    assert (answer.status_code, "Choose a plan for it first." in answer.content.decode()) == (409, True)
    assert Workspace.objects.filter(personal_user=None).count() == 1
    put_on(team, Plan.PRO)
    assert browser.send("/workspace/new", name="One more").status_code == 302
    assert Workspace.objects.filter(personal_user=None).count() == 2


@pytest.mark.parametrize("name", ["", "   ", "\t\n", "x" * 151])
def test_a_name_that_is_none_is_refused_beside_its_field(name: str, trusted: Person) -> None:
    before = digest()
    for path, action in (("/workspace/new", "/workspace/new"), (HOME, "/workspace/rename")):
        answer = Browser(trusted).send(path, action, name=name)
        assert (answer.status_code, 'aria-invalid="true"' in answer.content.decode()) == (200, True)
    assert digest() == before


def test_the_owners_settings(trusted: Person) -> None:
    browser = Browser(trusted)
    assert browser.send(HOME, "/workspace/rename", name="Renamed").status_code == 302
    assert browser.send(HOME, "/workspace/admins-bill", may_admins_bill="on").status_code == 302
    found = Workspace.objects.get(pk=trusted.workspace.pk)
    assert (found.name, found.may_admins_bill) == ("Renamed", True)
    assert browser.send(HOME, "/workspace/admins-bill").status_code == 302
    assert not Workspace.objects.get(pk=trusted.workspace.pk).may_admins_bill


def test_inviting_sending_again_and_withdrawing(trusted: Person) -> None:
    browser = Browser(trusted)
    answer = browser.send(HOME, "/workspace/invite", email="Kim@example.com", role="admin")
    assert (answer.status_code, answer["Location"]) == (302, "/workspace/#invitations")
    made = Invitation.objects.get()
    assert (made.email, made.role, made.workspace, made.invited_by) == (
        "kim@example.com",
        "admin",
        trusted.workspace,
        trusted.user,
    )
    text = browser.text(HOME)
    assert "An invitation is on its way to kim@example.com." in text
    assert "Admin, from Tara, until" in text
    age(made, timedelta(days=8))
    assert "Expired" in browser.text(HOME)
    assert browser.send(HOME, f"/workspace/invitations/{made.pk}/resend").status_code == 302
    made.refresh_from_db()
    assert made.expires_at > datetime.now(UTC)
    assert browser.send(HOME, f"/workspace/invitations/{made.pk}/withdraw").status_code == 302
    assert list(invitations.open_ones()) == []
    assert "The invitation of kim@example.com is withdrawn." in browser.text(HOME)


def test_why_somebody_cannot_be_invited_is_said_beside_the_form(trusted: Person, mike: Person) -> None:
    browser = Browser(trusted)
    Plan.objects.filter(slug=Plan.FREE).update(members_limit=2)
    for email, status, sentence in (
        ("no address", 200, "Enter a valid email address."),
        (mike.user.email, 409, "This address belongs to a member of this workspace."),
        ("kim@example.com", 402, "The Free plan has room for 2 members, counting open invitations."),
    ):
        answer = browser.send("/workspace/invite", email=email, role="member")
        assert (answer.status_code, sentence in answer.content.decode()) == (status, True)
    assert not Invitation.objects.exists()


def test_who_has_not_confirmed_their_address_is_led_to_do_so(tara: Person) -> None:
    assert "Confirm your own e-mail address first" in Browser(tara).text(HOME)
    answer = Browser(tara).send("/workspace/invite", email="kim@example.com", role="member")
    assert (answer.status_code, "/accounts/email/" in answer.content.decode()) == (403, True)
    assert not Invitation.objects.exists()


def test_a_members_role_is_changed_on_a_page_of_its_own(trusted: Person, mike: Person) -> None:
    browser, path = Browser(trusted), f"/workspace/members/{membership_of(mike)}/"
    assert browser.send(path, role="admin").status_code == 302
    assert "Mike is an admin now." in browser.text(HOME)
    assert roles(trusted.workspace)["mike"] == "admin"
    assert browser.send(path, role="owner").status_code == 200
    assert roles(trusted.workspace)["mike"] == "admin"


def test_an_admin_is_told_what_they_cannot_change(dana: Person, mike: Person, tara: Person) -> None:
    browser = Browser(dana)
    for above in (tara, dana):
        text = browser.text(f"/workspace/members/{membership_of(above)}/")
        assert "only people whose role is below your own" in text
        assert "<form method" not in text.partition("<main")[2].partition("</main>")[0]
        assert browser.get(f"/workspace/members/{membership_of(above)}/remove").status_code == 302
    text = browser.text(f"/workspace/members/{membership_of(mike)}/")
    assert "Only the owner can make a member an admin." in text
    before = digest()
    for member, action, fields in (
        (mike, "", {"role": "admin"}),
        (tara, "", {"role": "member"}),
        (tara, "remove", {}),
    ):
        answer = browser.force(f"/workspace/members/{membership_of(member)}/{action}", **fields)
        assert (answer.status_code, "below your own" in answer.content.decode()) == (403, True)
    assert digest() == before


def test_a_member_is_removed_after_a_page_that_asks(dana: Person, mike: Person) -> None:
    browser, path = Browser(dana), f"/workspace/members/{membership_of(mike)}/remove"
    assert "Remove Mike from The team" in browser.text(path)
    assert roles(dana.workspace)["mike"] == "member"
    assert browser.send(path).status_code == 302
    assert "Mike is not in this workspace any more." in browser.text(HOME)
    assert "mike" not in roles(dana.workspace)
    # Who was removed is at home, whatever their browser had switched to.
    assert "This is your personal workspace." in Browser(mike).text(HOME)


def test_leaving_leads_home(mike: Person) -> None:
    browser = Browser(mike)
    assert "Somebody has to invite you" in browser.text("/workspace/leave")
    assert browser.send("/workspace/leave").status_code == 302
    text = browser.text(HOME)
    assert "You have left The team." in text
    assert "This is your personal workspace." in text
    assert "mike" not in roles(mike.workspace)


def test_the_owner_is_told_why_they_cannot_leave(tara: Person) -> None:
    browser = Browser(tara)
    assert "you cannot leave it as its owner" in browser.text("/workspace/leave")
    answer = browser.force("/workspace/leave")
    assert (answer.status_code, "A workspace always has an owner." in answer.content.decode()) == (409, True)
    assert roles(tara.workspace) == {"tara": "owner"}


def test_a_transfer_takes_a_member_and_the_password(trusted: Person, mike: Person, dana: Person) -> None:
    browser, member = Browser(trusted), str(membership_of(mike))
    assert f'value="{member}" selected' in browser.text(f"/workspace/transfer?member={member}")
    for fields, sentence in (
        ({"member": member, "password": "a guess"}, "This is not your password."),
        ({"member": member, "password": ""}, "This field is required."),
        ({"member": "", "password": PASSWORD}, "This field is required."),
        ({"member": str(membership_of(trusted)), "password": PASSWORD}, "Select a valid choice."),
    ):
        answer = browser.send("/workspace/transfer", **fields)
        assert (answer.status_code, sentence in answer.content.decode()) == (200, True)
        assert PASSWORD not in answer.content.decode()
    assert (roles(trusted.workspace)["mike"], history(trusted.workspace)) == ("member", [])
    assert browser.send("/workspace/transfer", member=member, password=PASSWORD).status_code == 302
    assert roles(trusted.workspace) == {"mike": "owner", "tara": "admin", "dana": "admin"}
    assert "Mike owns this workspace now, and you are an admin." in browser.text(HOME)


def test_guesses_at_the_password_of_a_transfer_count(trusted: Person, mike: Person) -> None:
    browser, member = Browser(trusted), str(membership_of(mike))
    for _ in range(5):
        assert browser.send("/workspace/transfer", member=member, password="a guess").status_code == 200
    answer = browser.send("/workspace/transfer", member=member, password=PASSWORD)
    assert (answer.status_code, answer["Retry-After"].isdecimal()) == (429, True)
    assert roles(trusted.workspace)["mike"] == "member"


def test_an_owner_alone_is_led_to_invite_before_a_transfer(tara: Person) -> None:
    text = Browser(tara).text("/workspace/transfer")
    assert "Nobody else is in this workspace." in text
    assert "password" not in text


# Who may not


REFUSED: dict[str, tuple[str, ...]] = {
    # Everything that writes, and by whom it is refused.
    "/workspace/rename": ("member",),
    "/workspace/admins-bill": ("member", "admin"),
    "/workspace/invite": ("member",),
    "/workspace/invitations/{invitation}/resend": ("member", "admin"),
    "/workspace/invitations/{invitation}/withdraw": ("member", "admin"),
    "/workspace/members/{member}/": ("member",),
    "/workspace/members/{member}/remove": ("member",),
    "/workspace/transfer": ("member", "admin"),
    "/workspace/close": ("member", "admin"),
}
SOUND = {"name": "Other", "email": "kim@example.com", "role": "member", "password": PASSWORD, "once": "x" * 22}


def test_what_a_role_does_not_allow_is_refused_in_words_and_does_nothing(
    trusted: Person, dana: Person, mike: Person, subtests: pytest.Subtests
) -> None:
    User.objects.update(is_email_verified=True)
    ids = {"invitation": invite(trusted, "lee@example.com", Role.ADMIN).pk, "member": membership_of(mike)}
    browsers = {"member": Browser(mike), "admin": Browser(dana)}
    before = digest()
    for route, refused in REFUSED.items():
        for who in refused:
            with subtests.test(route=route, who=who):
                answer = browsers[who].force(route.format(**ids), **SOUND, member=str(ids["member"]))
                assert answer.status_code == 403
                assert "may not do this" in answer.content.decode()
                assert digest() == before
    for page in ("/workspace/invite", "/workspace/transfer", "/workspace/close"):
        assert browsers["member"].get(page).status_code == 403


def test_who_is_not_signed_in_is_led_there_and_a_forged_form_is_refused(trusted: Person, mike: Person) -> None:
    before, member = digest(), membership_of(mike)
    nobody, browser = Browser(), Browser(trusted)
    for route in REFUSED:
        path = route.format(invitation=member, member=member)
        assert nobody.force(path, **SOUND)["Location"].startswith("/accounts/login/?next=")
        # Without the token of the page.
        assert browser.client.post(path, SOUND).status_code == 403
    assert nobody.get(HOME)["Location"] == "/accounts/login/?next=/workspace/"
    assert digest() == before


def test_another_teams_people_and_invitations_are_as_missing_ones(
    trusted: Person, mike: Person, charlie: Person
) -> None:
    User.objects.filter(pk=charlie.user.pk).update(is_email_verified=True)
    theirs = Workspace.objects.open(name="Elsewhere", owner=charlie.user, now=clock.now())
    browser, sent = Browser(charlie.into(theirs)), invite(trusted, "kim@example.com")
    before = digest()
    for path in (f"/workspace/members/{membership_of(mike)}/", f"/workspace/members/{membership_of(mike)}/remove"):
        assert browser.get(path).status_code == 404
        assert browser.force(path, role="admin").status_code == 404
    for act in ("resend", "withdraw", "accept"):
        assert browser.force(f"/workspace/invitations/{sent.pk}/{act}").status_code == 404
    assert browser.force("/workspace/switch", workspace=str(trusted.workspace.pk)).status_code == 404
    answer = browser.force("/workspace/transfer", member=str(membership_of(mike)), password=PASSWORD)
    assert (answer.status_code, "Nobody else is in this workspace." in answer.content.decode()) == (200, True)
    assert digest() == before
    assert "The team" not in browser.text(HOME)


def test_a_form_is_for_the_workspace_in_which_it_was_shown(trusted: Person, mike: Person) -> None:
    other = Workspace.objects.open(name="Another", owner=trusted.user, now=clock.now())
    browser = Browser(trusted)
    forms = browser.forms(HOME)
    transfer = browser.forms("/workspace/transfer")["/workspace/transfer"]
    # In another window.
    browser.switch(other)
    before = digest()
    for action, fields in (
        ("/workspace/rename", forms["/workspace/rename"] | {"name": "Wrong"}),
        ("/workspace/invite", forms["/workspace/invite"] | {"email": "kim@example.com"}),
        ("/workspace/transfer", transfer | {"member": str(membership_of(mike)), "password": PASSWORD}),
    ):
        answer = browser.client.post(action, fields)
        assert (answer.status_code, "switched to another workspace" in answer.content.decode()) == (409, True)
    assert digest() == before
    browser.switch(trusted.workspace)
    assert browser.client.post("/workspace/rename", forms["/workspace/rename"] | {"name": "Right"}).status_code == 302
    assert name_of(trusted.workspace) == "Right"


def test_a_suspended_workspace_is_left_by_switching_and_not_written(trusted: Person, mike: Person) -> None:
    Workspace.objects.filter(pk=trusted.workspace.pk).update(suspended_at=datetime.now(UTC))
    browser = Browser(trusted)
    before = digest()
    for action, fields in (
        ("/workspace/rename", {"name": "Other"}),
        (f"/workspace/members/{membership_of(mike)}/remove", {}),
        ("/workspace/close", {"password": PASSWORD}),
    ):
        answer = browser.force(action, **fields)
        assert (answer.status_code, "suspended" in answer.content.decode()) == (403, True)
    assert digest() == before
    home = str(trusted.user.personal_workspace.pk)
    assert browser.force("/workspace/switch", workspace=home).status_code == 302
    assert browser.workspace == home


def test_a_closed_workspace_is_nowhere_and_its_people_are_at_home(tara: Person, mike: Person) -> None:
    browser = Browser(mike)
    close(tara)
    assert "This is your personal workspace." in browser.text(HOME)
    assert "The team" not in browser.text(HOME)
    assert browser.force("/workspace/switch", workspace=str(tara.workspace.pk)).status_code == 404


def test_the_pages_load_nothing_inline_and_nothing_from_elsewhere(trusted: Person, mike: Person) -> None:
    invite(trusted, "kim@example.com")
    member = membership_of(mike)
    for path in (HOME, "/workspace/new", "/workspace/transfer", "/workspace/close", f"/workspace/members/{member}/"):
        text = Browser(trusted).text(path)
        assert not any(word in text for word in ("style=", "<style", 'src="http', 'href="http', "onclick=")), path
        assert text.count("<h1") == 1
    assert person("kim@example.com").user.email in Browser(trusted).text(HOME)
