"""Plan and usage on one page, in words, to whom they belong."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings as SettingsWrapper

from accounts import clock
from accounts.models import Workspace
from billing.models import LedgerEntry, Plan, Refusal, Subscription, TrialUse, UsagePeriod
from tests.billing import facts
from tests.billing.facts import at
from tests.billing.meter import change, consume, give, plan
from tests.people import Person
from tests.sessions_app.browsing import Browser

NOW = at(2026, 11, 20, 12)


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(NOW - clock.now())


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def seen_by(person: Person) -> str:
    return Browser(person).text("/billing/")


def states(page: str) -> list[str]:
    return re.findall(r'data-state="(\w+)"', page)


def test_used_of_limit_with_a_bar_and_the_days_to_the_reset(bob: Person, now: datetime) -> None:
    for _ in range(4):
        consume(bob.workspace, at(2026, 11, 18))
    page = seen_by(bob)
    shown = words(page)
    assert "4 of 10 runs" in shown
    assert '<progress class="meter" max="10" value="4" data-level="quiet" aria-labelledby="usage-title">' in page
    assert "Left 6 runs" in shown
    assert "The count begins anew in 11 days 1 December 2026, 00:00" in shown
    assert "1 November to 1 December 2026" in shown
    assert "Free plan" in shown
    assert states(page) == []


def test_the_forecast_in_words(bob: Person, now: datetime) -> None:
    assert "At this pace" not in seen_by(bob)
    consume(bob.workspace, at(2026, 11, 19))
    assert "At this pace your runs last to the end of the period." in words(seen_by(bob))
    for _ in range(7):
        consume(bob.workspace, at(2026, 11, 19))
    assert "At this pace your runs last until 25 November 2026 ." in words(seen_by(bob))
    for _ in range(2):
        consume(bob.workspace, at(2026, 11, 19))
    page = words(seen_by(bob))
    assert "No runs are left until 1 December 2026 ." in page
    assert "At this pace" not in page


def test_without_a_limit_there_is_no_bar(bob: Person, now: datetime) -> None:
    change(bob.workspace, **facts.comp(plan(Plan.ENTERPRISE), at(2026, 11, 5), at(2027)))
    consume(bob.workspace, NOW)
    page = seen_by(bob)
    assert "1 run, without a limit" in words(page)
    assert "Left Unlimited runs" in words(page)
    assert "<progress" not in page
    assert states(page) == ["comp"]


def test_credits_and_when_they_end(bob: Person, now: datetime) -> None:
    for quantity, end in ((3, at(2026, 12, 4, 9)), (2, at(2026, 12, 4, 18)), (5, None), (7, at(2026, 11, 20, 11))):
        give(bob.workspace, quantity, at(2026, 11, 1), expires_at=end)
    page = words(seen_by(bob))
    assert "Credits beside the plan 10 runs 5 runs until 4 December 2026 5 runs without an end" in page


def test_runs_per_day_are_drawn_and_written(bob: Person, now: datetime) -> None:
    for day, count in ((3, 1), (18, 2)):
        for _ in range(count):
            consume(bob.workspace, at(2026, 11, day, 23))
    page = seen_by(bob)
    assert page.count("<rect") == 30
    assert (
        'role="img" width="100%" height="174" aria-label="Runs per day from 1 November 2026 to 30 November 2026:'
        ' 3 runs in all, the most on 18 November 2026 with 2 runs."' in page
    )
    table = words(page.partition("Days on which runs were charged")[2].partition("</table>")[0])
    assert table == "Day Runs 3 November 2026 1 18 November 2026 2"
    assert "style=" not in page


def test_its_days_are_the_viewers(bob: Person, now: datetime) -> None:
    consume(bob.workspace, at(2026, 11, 18, 23))
    browser = Browser(bob)
    browser.client.cookies["zone"] = "Asia/Tokyo"
    page = browser.text("/billing/")
    assert "19 November 2026" in words(page.partition("Days on which runs were charged")[2].partition("</table>")[0])
    assert page.count("<rect") == 31
    assert "1 December 2026, 09:00" in page


def test_before_the_first_run_it_says_so(bob: Person, now: datetime) -> None:
    page = seen_by(bob)
    assert "No run was charged in this period yet." in page
    assert '<svg class="chart"' not in page


def test_what_the_state_asks_for_is_on_top(bob: Person, now: datetime) -> None:
    held = facts.paid(plan(Plan.PRO), at(2026, 11, 10), at(2026, 12, 10))
    change(bob.workspace, **held, cancel_at=at(2026, 12, 10))
    page = seen_by(bob)
    assert states(page) == ["cancelled"]
    assert Browser(bob).form("/billing/", "/billing/resume").fields.keys() > {"once", "for_workspace"}
    assert "/billing/cancel" not in page
    change(bob.workspace, cancel_at=None, stripe_status="past_due", oldest_unpaid_at=NOW, is_period_paid=False)
    page = seen_by(bob)
    assert states(page) == ["grace"]
    assert "until 27 November 2026, with at most 500 runs" in page
    assert "/billing/cancel" in page
    change(bob.workspace, stripe_status="active", is_period_paid=True)
    assert states(seen_by(bob)) == []


def test_what_was_refused_is_explained(bob: Person, charlie: Person, now: datetime) -> None:
    plan(Plan.FREE, runs_limit=0)
    assert bob.post("/sessions").status_code == 402
    Refusal.objects.create(
        workspace=bob.workspace,
        code="seats_exceeded",
        minute=at(2026, 11, 19, 9),
        last_at=at(2026, 11, 19, 9, 40),
        count=12,
        plan=Plan.objects.get(slug=Plan.PRO),
    )
    page = words(seen_by(bob))
    assert "No runs of the Free plan were left." in page
    assert "The Pro plan has room for no further member." in page
    assert "At least 12 times, the last on 19 November 2026, 09:40" in page
    assert "Refused lately" not in seen_by(charlie)


@pytest.mark.parametrize(
    "code", ["quota_exceeded", "concurrency_exceeded", "feature_not_in_plan", "storage_exceeded", "seats_exceeded", "x"]
)
def test_every_code_of_a_refusal_has_its_words(bob: Person, now: datetime, code: str) -> None:
    free = Plan.objects.free()
    Refusal.objects.create(workspace=bob.workspace, code=code, minute=NOW, last_at=NOW, count=1, plan=free)
    refused = words(seen_by(bob)).partition("Refused lately")[2].partition("On 20 November")[0].strip()
    assert refused.startswith(("No runs", "As many runs", "Something", "The storage", "The Free plan"))
    assert "Free plan" in refused
    assert ("did not allow it" in refused) is (code == "x")


def test_members_see_plan_and_usage_and_neither_money_nor_buttons(
    tara: Person, dana: Person, mike: Person, now: datetime
) -> None:
    consume(tara.workspace, NOW)
    pages = {name: seen_by(one) for name, one in (("owner", tara), ("admin", dana), ("member", mike))}
    for page in pages.values():
        assert "1 of 10 runs" in words(page)
    for name, sees_money, may_bill in (("owner", True, True), ("admin", True, False), ("member", False, False)):
        page = pages[name]
        assert ("/billing/ledger" in page, "Invoices</h2>" in page) == (sees_money, sees_money)
        assert ("/billing/change" in page, "/billing/trial" in page) == (may_bill, may_bill)
        assert ("The owner of this workspace chooses its plan." in page) is not may_bill
    assert "Invoices and the ledger are shown to the owner and the admins" in pages["member"]
    Workspace.objects.filter(pk=tara.workspace.pk).update(may_admins_bill=True)
    assert "/billing/change" in seen_by(dana)
    assert "/billing/change" not in seen_by(mike)


def test_advice_for_a_member_leads_to_the_owner(tara: Person, mike: Person, now: datetime) -> None:
    change(tara.workspace, **facts.paid(plan(Plan.PRO), at(2026, 11, 10), at(2026, 12, 10)), cancel_at=at(2026, 12, 10))
    page = seen_by(mike)
    assert states(page) == ["cancelled"]
    assert "The owner of this workspace can see to it." in page
    assert "/billing/resume" not in page


def test_a_suspended_workspace_is_shown(bob: Person, now: datetime) -> None:
    Workspace.objects.filter(pk=bob.workspace.pk).update(suspended_at=NOW)
    assert "This workspace is suspended" in seen_by(bob)


def test_who_is_not_signed_in_is_led_to_it_and_back(db: None) -> None:
    answer = Client().get("/settings/subscription?from=mail")
    assert (answer.status_code, answer["Location"]) == (302, "/billing/?from=mail")
    answer = Client().get(answer["Location"])
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/?next=/billing/%3Ffrom%3Dmail")


def test_nothing_is_said_because_the_address_says_it(bob: Person, now: datetime) -> None:
    browser = Browser(bob)
    plain, asked = (
        re.sub(r'value="[^"]*"', "", browser.text(path))
        for path in ("/billing/", "/billing/?session_id=cs_1&canceled=1&success=1&message=Hello")
    )
    assert (
        asked.replace("/billing/?session_id=cs_1&amp;canceled=1&amp;success=1&amp;message=Hello", "/billing/") == plain
    )


def test_however_much_there_is_few_statements_show_it(
    tara: Person, now: datetime, statements: Callable[[], CaptureQueriesContext]
) -> None:
    """The most that can be asked of it: debts at Stripe, credits, refusals, many workspaces, a long ledger."""
    workspace = tara.workspace
    change(
        workspace,
        **facts.paid(
            plan(Plan.PRO), at(2026, 11, 10), at(2026, 12, 10), first_paid_at=None, stripe_status="incomplete"
        ),
        stripe_subscription_id="sub_1",
        stripe_customer_id="cus_1",
    )
    give(workspace, 3, NOW)
    for number in range(20):
        Workspace.objects.open(name=f"Team {number}", owner=tara.user, now=at(2026, 11))
        Refusal.objects.create(
            workspace=workspace, code=f"code_{number}", minute=NOW, last_at=NOW, count=1, plan=Plan.objects.free()
        )
    consume(workspace, at(2026, 11, 1))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_ledgerentry (workspace_id, kind, quantity, run_id, period_id, balance, created_at)
            SELECT workspace_id, kind, -1, gen_random_uuid(), period_id, NULL,
                timestamptz '2026-11-01 00:00+00' + n * interval '15 seconds'
            FROM billing_ledgerentry, generate_series(1, 100000) n WHERE kind = 'consume'
            """
        )
        cursor.execute("ANALYZE billing_ledgerentry")
    browser = Browser(tara)
    with statements() as seen:
        page = browser.text("/billing/")
    assert "100,001 runs in all" in page
    assert states(page) == ["incomplete"]
    assert "/billing/trial" in page
    assert len(seen) <= 8, [query["sql"] for query in seen]


# The trial.


def start_trial(person: Person) -> tuple[Browser, str]:
    """Press the button on the page; what the page then says."""
    browser = Browser(person)
    answer = browser.send(browser.form("/billing/", "/billing/trial"))
    assert (answer.status_code, answer["Location"]) == (302, "/billing/")
    return browser, words(browser.text("/billing/"))


def test_the_trial_begins_by_its_button(bob: Person, now: datetime) -> None:
    browser, page = start_trial(bob)
    assert "Your trial has begun: 50 runs until 4 December 2026." in page
    assert "Trial plan" in page
    assert bob.subscription.trial_start is not None
    assert states(browser.text("/billing/")) == ["trial"]


def test_the_same_form_twice_is_one_trial(bob: Person, now: datetime) -> None:
    browser = Browser(bob)
    form = browser.form("/billing/", "/billing/trial")
    assert [browser.send(form).status_code for _ in range(2)] == [302, 302]
    page = words(browser.text("/billing/"))
    assert "The trial was used before" not in page
    assert bob.subscription.changes.filter(cause="trial").count() == 1


def test_a_trial_that_is_gone_says_so_and_changes_nothing(bob: Person, now: datetime) -> None:
    browser = Browser(bob)
    form = browser.form("/billing/", "/billing/trial")
    TrialUse.objects.create(kind=TrialUse.USER, subject=str(bob.user.pk), at=NOW)
    assert browser.send(form)["Location"] == "/billing/"
    page = browser.text("/billing/")
    assert "The trial was used before" in page
    assert "/billing/trial" not in page
    assert bob.subscription.trial_start is None


def test_where_it_wants_a_verified_address_it_leads_to_that(
    bob: Person, now: datetime, settings: SettingsWrapper
) -> None:
    browser = Browser(bob)
    form = browser.form("/billing/", "/billing/trial")
    settings.TRIAL_REQUIRES_VERIFIED_EMAIL = True
    page = browser.text("/billing/")
    assert "The trial begins with a verified e-mail address" in page
    assert 'action="/billing/trial"' not in page
    assert browser.send(form)["Location"] == "/billing/"
    assert '<a href="/account/">Verify your address</a>' in browser.text("/billing/")
    assert bob.subscription.trial_start is None
    bob.user.is_email_verified = True
    bob.user.save(update_fields=["is_email_verified"])
    assert browser.send(form).status_code == 302
    assert bob.subscription.trial_start is not None


@pytest.mark.parametrize("path", ["trial", "change", "cancel", "resume", "portal"])
def test_an_act_is_the_owners_and_wants_the_pages_token(
    tara: Person, dana: Person, mike: Person, now: datetime, path: str
) -> None:
    browser = Browser(tara)
    form = browser.form("/billing/", "/billing/trial")
    before = Subscription.objects.values().get(workspace=tara.workspace)
    form.action = f"/billing/{path}"
    for other in (dana, mike):
        foreign = Browser(other)
        foreign.text("/billing/")
        token = {"csrfmiddlewaretoken": foreign.client.cookies["csrftoken"].value}
        answer = foreign.send(form, **token)
        assert answer.status_code == 403
        assert "Your role in this workspace does not allow this." in answer.content.decode()
    assert browser.send(form, csrfmiddlewaretoken="forged").status_code == 403
    elsewhere = browser.send(form, for_workspace=str(tara.user.personal_workspace.pk))
    assert elsewhere.status_code == 409
    assert Subscription.objects.values().get(workspace=tara.workspace) == before
    if path == "trial":
        assert browser.send(form).status_code == 302
        assert tara.subscription.trial_start is not None


@pytest.mark.parametrize("path", ["trial", "resume", "portal"])
def test_looking_at_an_act_does_nothing(bob: Person, now: datetime, path: str) -> None:
    assert Browser(bob).get(f"/billing/{path}").status_code == 405
    assert bob.subscription.trial_start is None


def test_a_period_that_was_carried_over_counts_what_was_carried(bob: Person, now: datetime) -> None:
    change(bob.workspace, **facts.paid(plan(Plan.PRO), at(2026, 11, 10), at(2026, 12, 10)))
    consume(bob.workspace, NOW)
    UsagePeriod.objects.filter(workspace=bob.workspace).update(used=731)
    page = words(seen_by(bob))
    assert "731 of 5,000 runs" in page
    assert "1 run in all" in seen_by(bob)
    assert LedgerEntry.objects.filter(workspace=bob.workspace).count() == 1
