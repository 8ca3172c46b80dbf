"""Acts of staff on a person's account, and looking at pages as they do."""

import time
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import mail

from accounts.models import Role, User, Workspace
from billing import acts, roles
from billing.models import AuditEntry, Subscription
from tests.desk import Desk, employ, where
from tests.people import PASSWORD, Person, join, person


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


@pytest.fixture
def chief(db: None) -> Desk:
    return employ(roles.ADMIN)


def trail(of: User) -> list[str]:
    return list(AuditEntry.objects.filter(target=f"user:{of.pk}").order_by("id").values_list("action", flat=True))


def is_signed_in(somebody: Person) -> bool:
    return bool(somebody.get("/auth/me").status_code == 200)


def test_everything_somebody_is_signed_in_with_ends(support: Desk, bob: Person) -> None:
    browser = Desk(bob).client
    assert browser.get("/account/").status_code == 200
    assert support.act("end-sessions", bob.user).status_code == 302
    assert (is_signed_in(bob), browser.get("/account/").status_code) == (False, 302)
    assert trail(bob.user) == ["end-sessions"]


@pytest.mark.django_db(transaction=True)
def test_a_new_password_is_forced(support: Desk, bob: Person, work: Callable[[], None]) -> None:
    assert support.act("force-reset", bob.user).status_code == 302
    answer = bob.post("/auth/login", {"email": bob.user.email, "password": PASSWORD})
    assert (is_signed_in(bob), answer.status_code) == (False, 401)
    work()
    (message,) = mail.outbox
    assert (message.to, "/accounts/password/reset/key/" in str(message.body)) == ([bob.user.email], True)


def test_who_guessed_too_often_is_let_in_again(support: Desk, bob: Person) -> None:
    def sign_in(password: str) -> int:
        return int(bob.post("/auth/login", {"email": bob.user.email, "password": password}).status_code)

    assert [sign_in("wrong password") for _ in range(6)] == [401] * 5 + [429]
    assert sign_in(PASSWORD) == 429
    assert support.act("unlock", bob.user).status_code == 302
    assert sign_in(PASSWORD) == 200


def test_a_lost_second_factor_is_taken_away_by_an_admin_alone(support: Desk, chief: Desk, bob: Person) -> None:
    TOTP.activate(bob.user, generate_totp_secret())
    assert support.act("reset-second-factor", bob.user).status_code == 403
    assert Authenticator.objects.filter(user=bob.user).exists()
    assert chief.act("reset-second-factor", bob.user).status_code == 302
    assert not Authenticator.objects.filter(user=bob.user).exists()
    assert chief.act("reset-second-factor", bob.user).status_code == 409
    assert trail(bob.user) == ["reset-second-factor"]


def test_an_address_is_verified_and_changed_on_staffs_word(chief: Desk, bob: Person, charlie: Person) -> None:
    assert chief.act("verify-email", bob.user).status_code == 302
    bob.user.refresh_from_db()
    assert bob.user.is_email_verified
    taken = chief.act("change-email", bob.user, email="Charlie@Example.com")
    assert (taken.status_code, "Another account" in taken.content.decode()) == (409, True)
    assert chief.act("change-email", bob.user, email="bob@new.example").status_code == 302
    bob.user.refresh_from_db()
    assert (bob.user.email, bob.user.is_email_verified) == ("bob@new.example", False)
    assert trail(bob.user) == ["verify-email", "change-email"]


def test_a_team_is_handed_over_to_a_member(chief: Desk, team: Workspace, tara: Person, mike: Person) -> None:
    stranger = chief.act("transfer", tara.user, workspace=str(team.pk), email="nobody@example.com")
    assert (stranger.status_code, team.owner) == (409, tara.user)
    assert chief.act("transfer", tara.user, workspace=str(team.pk), email=mike.user.email).status_code == 302
    assert team.owner == mike.user
    assert team.membership_set.get(user=tara.user).role == Role.ADMIN
    entry = AuditEntry.objects.get(action="transfer")
    assert (entry.before, entry.after) == ({"owner": tara.user.email}, {"owner": mike.user.email})


def test_nobody_is_switched_off_on_whom_a_team_or_a_payment_depends(
    chief: Desk, tara: Person, mike: Person, bob: Person
) -> None:
    answer = chief.act("deactivate", tara.user)
    assert (answer.status_code, "The team" in answer.content.decode()) == (409, True)
    rows = Subscription.objects.filter(workspace=bob.workspace)
    rows.update(stripe_status="active")
    answer = chief.act("deactivate", bob.user)
    assert (answer.status_code, "Stripe goes on charging for Bob" in answer.content.decode()) == (409, True)
    assert User.objects.filter(pk__in=[tara.user.pk, bob.user.pk], is_active=True).count() == 2
    rows.update(stripe_status="canceled")
    assert chief.act("deactivate", bob.user).status_code == 302
    assert not is_signed_in(bob)
    assert chief.act("activate", bob.user).status_code == 302
    # What was signed in before stays signed out.
    assert not is_signed_in(bob)
    bob.user.refresh_from_db()
    bob.sign_in()
    assert is_signed_in(bob)


def test_staff_are_appointed_and_dismissed_by_another_admin(chief: Desk, bob: Person) -> None:
    assert chief.act("appoint", bob.user, role="Support").status_code == 302
    bob.user.refresh_from_db()
    assert (bob.user.is_staff, roles.role_of(bob.user), is_signed_in(bob)) == (True, roles.SUPPORT, False)
    assert chief.act("appoint", chief.user, role="").status_code == 403
    assert chief.act("appoint", bob.user, role="Emperor").status_code == 400
    assert chief.act("appoint", bob.user, role="").status_code == 302
    bob.user.refresh_from_db()
    assert (bob.user.is_staff, roles.role_of(bob.user)) == (False, "")
    assert trail(bob.user) == ["appoint", "appoint"]


@pytest.mark.parametrize("name", acts.PERSON)
@pytest.mark.parametrize("role", [roles.SUPPORT, roles.BILLING])
def test_what_a_role_may_not_do_to_a_person_is_neither_shown_nor_possible(role: str, name: str, bob: Person) -> None:
    desk, act = employ(role), acts.PERSON[name]
    if act.may(desk.user):
        assert desk.get(where(name, bob.user)).status_code == 200
        return
    assert where(name, bob.user) not in desk.page_of(bob.user)
    assert (desk.get(where(name, bob.user)).status_code, desk.act(name, bob.user).status_code) == (403, 403)
    assert trail(bob.user) == []


class TestLookingAsTheyDo:
    def test_pages_are_seen_and_nothing_is_changed(self, support: Desk, bob: Person) -> None:
        answer = support.act("sign-in-as", bob.user, reason="They see no invoices")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        browser = support.client
        page = browser.get("/billing/").content.decode()
        assert ("bob@example.com" in page, "You see the pages of" in page) == (True, True)
        for path in ("/sessions/", "/workspace/new", "/billing/portal", "/account/", "/accounts/password/change/"):
            assert browser.post(path, {"title": "x", "prompt": "y"}).status_code == 403, path
        for path in (
            "/accounts/password/change/",
            "/accounts/2fa/",
            "/accounts/email/",
            "/billing/change",
            "/api/v1/docs",
        ):
            assert browser.get(path).status_code == 403, path
        assert browser.get("/admin/").status_code in (302, 403)
        assert not bob.workspace.session_set.exists()
        ended = browser.post("/impersonation/end")
        assert ended.headers["Location"] == f"/admin/accounts/user/{bob.user.pk}/change/"
        assert trail(bob.user) == ["sign in as", "sign in as: ended"]
        assert "They see no invoices" in support.page_of(bob.user)
        assert "You see the pages of" not in browser.get("/").content.decode()

    def test_after_half_an_hour_it_is_over(self, support: Desk, bob: Person) -> None:
        support.act("sign-in-as", bob.user)
        session = support.client.session
        session["impersonation_until"] = time.time() - 1
        session.save()
        assert support.client.get("/billing/").headers["Location"] == "/admin/"
        assert support.client.get("/billing/").headers["Location"].startswith("/accounts/login/")

    def test_who_loses_the_role_meanwhile_loses_this_too(self, support: Desk, bob: Person) -> None:
        support.act("sign-in-as", bob.user)
        roles.appoint(support.user, "")
        assert support.client.get("/billing/").headers["Location"] == "/admin/"

    def test_never_into_staff_oneself_or_who_cannot_sign_in(self, support: Desk, chief: Desk, bob: Person) -> None:
        User.objects.filter(pk=bob.user.pk).update(is_active=False)
        for target in (chief.user, support.user, bob.user):
            assert support.act("sign-in-as", target).status_code == 403
        assert chief.act("sign-in-as", support.user).status_code == 403
        assert support.client.get("/admin/").status_code == 200
        assert not AuditEntry.objects.exists()

    def test_hijacks_own_addresses_are_not_there(self, support: Desk, bob: Person) -> None:
        assert support.client.post("/hijack/acquire/", {"user_pk": str(bob.user.pk)}).status_code == 404

    def test_it_is_begun_by_a_post_alone(self, support: Desk, bob: Person) -> None:
        assert support.client.get(where("sign-in-as", bob.user)).status_code == 200
        assert support.client.get("/admin/").status_code == 200

    def test_neither_the_last_sign_in_nor_the_devices_say_that_they_were_here(self, support: Desk, bob: Person) -> None:
        support.act("sign-in-as", bob.user)
        bob.user.refresh_from_db()
        assert bob.user.last_login is None
        assert "A browser" not in employ(roles.BILLING).page_of(bob.user)


def test_a_person_in_many_workspaces_is_shown_with_all_of_them(support: Desk, team: Workspace, bob: Person) -> None:
    join(team, bob.user, Role.MEMBER)
    text = support.page_of(bob.user)
    assert ("The team" in text, "Bob" in text) == (True, True)
    assert person("else@example.com").user.email not in text
