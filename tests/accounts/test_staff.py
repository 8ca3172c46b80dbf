"""The admin's door."""

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.urls import reverse
from pytest_django import Settings as SettingsWrapper

from accounts import second_factor
from accounts.models import User
from tests.accounts.browsers import Browser, browser_of
from tests.accounts.second_factors import authenticator, code_of, recovery_codes
from tests.desk import employ
from tests.people import PASSWORD, Person


@pytest.fixture
def production(settings: SettingsWrapper) -> None:
    settings.STAFF_REQUIRES_MFA = True


def test_staff_come_in_by_everybodys_page(staff: Person) -> None:
    browser = Browser()
    door = browser.get("/admin/")["Location"]
    assert door == "/admin/login/?next=/admin/"
    path = browser.get(door)["Location"]
    assert path == "/accounts/login/?next=/admin/"
    assert browser.send(path, {"login": "staff@example.com", "password": PASSWORD})["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert browser.get("/admin/login/?next=/admin/accounts/user/")["Location"] == "/admin/accounts/user/"


@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com"])
def test_the_door_leads_nowhere_else(target: str, staff: Person) -> None:
    assert Browser().get(f"/admin/login/?next={target}")["Location"] == "/accounts/login/?next=/admin/"
    assert browser_of(staff.user).get(f"/admin/login/?next={target}")["Location"] == "/admin/"


def test_customers_are_told_that_it_is_not_for_them(bob: Person) -> None:
    browser = browser_of(bob.user)
    assert browser.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    answer = browser.get("/admin/login/?next=/admin/")
    assert (answer.status_code, "You may not do this" in answer.content.decode()) == (403, True)


def test_in_production_staff_without_a_second_factor_stay_outside(staff: Person, production: None) -> None:
    browser = browser_of(staff.user)
    assert browser.get("/admin/").status_code == 302
    answer = browser.get("/admin/login/?next=/admin/")
    assert (answer.status_code, "/accounts/2fa/" in answer.content.decode()) == (403, True)
    path = reverse("admin:accounts_user_change", args=[staff.user.pk])
    before = User.objects.values().get()
    assert browser.send(path, {"is_superuser": ""}, on="/account/").status_code == 302
    assert User.objects.values().get() == before

    secret = authenticator(staff.user)
    assert browser.get("/admin/").status_code == 200
    other = Browser()
    other.sign_in("staff@example.com")
    assert other.get("/admin/").status_code == 302
    other.send("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert other.get("/admin/").status_code == 200


def test_whoever_is_made_staff_on_the_server_can_set_one_up(db: None) -> None:
    user = User.objects.create_superuser("root@example.com", PASSWORD, fullname="Root")
    assert "Turn it on" in browser_of(user).says("/accounts/2fa/")


def test_signing_out_and_the_password_are_everybodys_pages_too(staff: Person) -> None:
    browser = browser_of(staff.user)
    assert browser.get("/admin/password_change/")["Location"] == "/accounts/password/change/"
    assert browser.get("/admin/logout/")["Location"] == "/accounts/logout/"
    assert browser.is_in
    assert browser.send("/admin/logout/", on="/account/")["Location"] == "/"
    assert not browser.is_in


def test_nobody_sets_the_password_of_another(staff: Person, bob: Person) -> None:
    browser = browser_of(staff.user)
    for path in (f"/admin/accounts/user/{bob.user.pk}/password/", f"/admin/auth/user/{bob.user.pk}/password/"):
        assert browser.get(path).status_code in (302, 404)
    assert bob.get("/auth/me").status_code == 200
    assert User.objects.get(pk=bob.user.pk).check_password(PASSWORD)


def test_a_factor_that_was_lost_is_taken_away_whole_and_told(bob: Person) -> None:
    authenticator(bob.user)
    recovery_codes(bob.user)
    row = Authenticator.objects.get(type="totp")
    desk = employ("Admin")
    assert row.data["secret"] not in desk.page_of(bob.user)
    assert desk.act("reset-second-factor", bob.user).status_code == 302
    assert not Authenticator.objects.exists()
    assert not second_factor.is_on(bob.user)
    from accounts import jobs

    jobs.send_notice(user_id=str(bob.user.pk), event="two_factor_off")
    assert mail.outbox[0].to == ["bob@example.com"]


@pytest.mark.parametrize(
    "model", ["account/emailaddress", "usersessions/usersession", "mfa/authenticator", "auth/group"]
)
def test_tables_that_hold_keys_or_a_second_truth_are_not_shown(model: str, staff: Person) -> None:
    assert browser_of(staff.user).get(f"/admin/{model}/").status_code == 404
