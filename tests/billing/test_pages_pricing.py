"""The prices, to whoever looks: plans side by side, one thing to do about each."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings as SettingsWrapper

from accounts.models import Workspace
from billing.models import Plan, Price, Subscription, TrialUse
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, plan
from tests.people import Person, put_on
from tests.sessions_app.browsing import Browser

pytestmark = pytest.mark.django_db


def column(page: str, slug: str) -> str:
    found = re.search(rf'<section class="card plan" aria-labelledby="plan-{slug}".*?</section>', page, re.DOTALL)
    assert found is not None
    return found[0]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def row(page: str, label: str) -> list[str]:
    found = re.search(rf'<th scope="row">{label}</th>(.*?)</tr>', page, re.DOTALL)
    assert found is not None
    return [words(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found[1], re.DOTALL)]


def public(path: str = "/pricing") -> str:
    answer = Client().get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_visitor_sees_the_plans_and_is_led_to_sign_up_for_one() -> None:
    page = public()
    assert re.findall(r'id="plan-(\w+)"', page) == ["free", "basic", "pro", "enterprise"]
    pro = column(page, "pro")
    assert "$49 a month" in words(pro)
    assert "5,000 runs a month" in words(pro)
    assert 'href="/accounts/signup/?next=%2Fbilling%2Fchange%3Fplan%3Dpro%26interval%3Dmonth"' in pro
    assert "hx-get" not in page
    assert 'href="/accounts/signup/"' in column(page, "free")
    assert "Your plan" not in page


def test_the_trial_is_an_offer_and_no_column() -> None:
    page = words(public())
    assert "Try Pro for 14 days without a card" in page
    assert "The trial gives you 50 runs" in page
    plan(Plan.TRIAL, is_public=False)
    assert "without a card" not in public()


def test_by_the_year_is_a_link_and_says_what_it_saves() -> None:
    assert re.search(r'<a href="\?interval=month" aria-current="true">By the month</a>', public())
    page = public("/pricing?interval=year")
    assert re.search(r'<a href="\?interval=year" aria-current="true">By the year</a>', page)
    assert "$490 a year $40.83 a month, $98 less than twelve months" in words(column(page, "pro"))
    assert "interval%3Dyear" in column(page, "pro")
    assert "$49 a month" in words(public("/pricing?interval=decade"))


def test_a_plan_without_a_price_is_by_agreement_with_whom_to_write_to(settings: SettingsWrapper) -> None:
    settings.SUPPORT_EMAIL = "hello@example.com"
    enterprise = column(public(), "enterprise")
    assert "A price by agreement" in enterprise
    assert 'href="mailto:hello@example.com?subject=AI-Manus%20ENTERPRISE"' in enterprise
    settings.SUPPORT_EMAIL = ""
    enterprise = column(public(), "enterprise")
    assert "mailto:" not in enterprise
    assert "By agreement with those who run this service" in enterprise


def test_a_plan_that_is_sold_by_the_month_only_says_so() -> None:
    Price.objects.filter(plan__slug="basic", interval="year").update(is_active=False)
    basic = column(public("/pricing?interval=year"), "basic")
    assert "Sold by the month only" in basic
    assert "href" not in basic


def test_features_and_limits_stand_side_by_side() -> None:
    page = public()
    assert row(page, "Runs a month") == ["10", "1,000", "5,000", "Unlimited"]
    assert row(page, "Price by the year") == ["$0", "$190", "$490", "By agreement"]
    assert [cell.split()[-2:] for cell in row(page, "API keys")] == [*[["Not", "included"]] * 2, *[["Included"]] * 2]
    assert "Members" not in page
    plan(Plan.FREE, members_limit=2, storage_limit=5 * 1024**3)
    assert row(public(), "Members") == ["2", "Unlimited", "Unlimited", "Unlimited"]
    assert row(public(), "Storage")[0] == "5.0 GB"


def test_what_staff_write_is_escaped() -> None:
    plan(Plan.PRO, name="<script>alert(1)</script>")
    assert "<script>alert" not in public()
    assert "&lt;script&gt;alert" in public()


def test_on_free_the_larger_plans_can_be_chosen_in_the_dialog(bob: Person) -> None:
    page = Browser(bob).text("/pricing")
    assert "Your plan" in words(column(page, "free"))
    pro = column(page, "pro")
    url = "/billing/change?plan=pro&amp;interval=month"
    assert f'href="{url}" hx-get="{url}" hx-target="#dialog"' in pro
    assert "Upgrade to Pro" in pro
    assert page.count("Your plan") == 2  # the badge, and in the place of a button


def test_a_subscriber_sees_up_down_the_other_interval_and_free(bob: Person) -> None:
    change(bob.workspace, **facts.paid(plan(Plan.BASIC), at(2026, 11, 1), at(2036, 12, 1)))
    page = Browser(bob).text("/pricing")
    assert "Upgrade to Pro" in column(page, "pro")
    assert "Your plan" in column(page, "basic")
    assert 'href="/billing/cancel"' in column(page, "free")
    assert "without a card" not in page
    assert "Pay by the year" in column(Browser(bob).text("/pricing?interval=year"), "basic")
    change(bob.workspace, paid_plan=plan(Plan.PRO))
    assert "Change to Basic" in column(Browser(bob).text("/pricing"), "basic")


def test_what_is_arranged_already_cannot_be_chosen_again(bob: Person) -> None:
    held = facts.paid(plan(Plan.PRO), at(2026, 11, 1), at(2036, 12, 1))
    pending = {"pending_plan": plan(Plan.BASIC), "pending_interval": "month", "pending_at": at(2036, 12, 1)}
    change(bob.workspace, **held, **pending)
    assert "Your plan from 1 December 2036 on" in column(Browser(bob).text("/pricing"), "basic")
    none: dict[str, object] = {"pending_plan": None, "pending_interval": "", "pending_at": None}
    change(bob.workspace, **none, cancel_at=at(2036, 12, 1))
    free = column(Browser(bob).text("/pricing"), "free")
    assert "Your plan from 1 December 2036 on" in free
    assert "/billing/cancel" not in free


def test_who_pays_by_the_year_sees_the_year_first(bob: Person) -> None:
    held = facts.paid(plan(Plan.PRO), at(2026, 11, 1), at(2036, 11, 1), paid_interval="year")
    change(bob.workspace, **held)
    assert "$490 a year" in words(column(Browser(bob).text("/pricing"), "pro"))


def test_a_workspace_sees_the_currency_that_it_pays_in(bob: Person) -> None:
    price = Price.objects.create(plan=plan(Plan.BASIC), unit_amount=1800, currency="eur")
    held = facts.paid(plan(Plan.BASIC), at(2026, 11, 1), at(2036, 12, 1))
    change(bob.workspace, **held, paid_price=price)
    page = Browser(bob).text("/pricing")
    assert "€18 a month" in words(column(page, "basic"))
    assert "$" not in words(column(page, "pro"))
    assert "$19" in public()


@pytest.mark.parametrize("who", ["mike", "dana", "tara"])
def test_only_who_may_choose_is_offered_something(who: str, request: pytest.FixtureRequest) -> None:
    page = Browser(request.getfixturevalue(who)).text("/pricing")
    may = who == "tara"
    assert ("/billing/change" in page, "/billing/trial" in page) == (may, may)
    assert ("The owner of this workspace chooses its plan." in page) is not may
    assert "Your plan" in column(page, "free")


def test_the_trial_is_offered_to_who_can_still_have_it(bob: Person, alice: Person) -> None:
    assert Browser(bob).form("/pricing", "/billing/trial").fields.keys() > {"once", "for_workspace"}
    assert "/billing/trial" not in Browser(alice).text("/pricing")
    TrialUse.objects.create(kind=TrialUse.USER, subject=str(bob.user.pk), at=at(2026, 1))
    assert "/billing/trial" not in Browser(bob).text("/pricing")


def test_without_a_payment_service_plans_are_seen_and_it_says_so(settings: SettingsWrapper) -> None:
    said = "Plans cannot be bought here yet"
    assert said in public()
    settings.STRIPE_SECRET_KEY = "sk_test_" + "a" * 24
    assert said not in public()


def test_it_costs_few_statements(bob: Person, statements: Callable[[], CaptureQueriesContext]) -> None:
    for number in range(30):
        Workspace.objects.open(name=f"Team {number}", owner=bob.user, now=at(2026, 11))
    for number in range(41, 60):
        made = Plan.objects.create(slug=f"p{number}", name=f"Plan {number}", rank=number, runs_limit=number)
        Price.objects.create(plan=made, unit_amount=number)
    browser = Browser(bob)
    with statements() as seen:
        assert "Plan 59" in browser.text("/pricing")
    assert len(seen) <= 8, [query["sql"] for query in seen]


def test_a_comp_is_the_present_plan(bob: Person) -> None:
    put_on(bob.workspace, Plan.PRO)
    page = Browser(bob).text("/pricing")
    assert "Your plan" in column(page, "pro")
    assert "What you have when your present plan ends" in column(page, "free")
    assert Subscription.objects.get(workspace=bob.workspace).stripe_status == ""
