"""What staff do all day: the tasks of docs/staff.md, each at the desk, by who may and by who may not.

After each the trail tells of it, and the customer sees what became of it.
"""

import re
from datetime import UTC, datetime, timedelta

from tests.browser.browsing import poll
from tests.browser.clerks import Customer, Office

SUPPORT, BILLING, ADMIN = "Support", "Billing", "Admin"


def day(office: Office, days: int) -> str:
    """As a date field has it; of the service's clock, which other tests may have moved."""
    now = datetime.fromtimestamp(office.site.shop.stand_in.control("GET", "clock")["now"], UTC)
    return f"{now + timedelta(days=days):%Y-%m-%d}"


def page_of(office: Office, customer: Customer, role: str = SUPPORT) -> str:
    clerk = office.clerk(role)
    clerk.find(customer.email)
    return clerk.page.url.removeprefix(office.site.url)


def workspace_of(address: str) -> str:
    return address.split("/")[-3]


def test_support_gives_25_runs_until_friday_for_last_nights_outage(office: Office) -> None:
    kim = office.customer("Kim Customer")
    support = office.clerk(SUPPORT)
    support.find(kim.email)
    support.act(
        "Give credits", runs="25", until=day(office, 4), reason="Last night's outage, ticket 311", says="25 runs given"
    )
    assert re.search("give credits.*Last night's outage, ticket 311", support.trail(), re.DOTALL)
    assert kim.left() == 35
    kim.reads("/billing/", "Credits beside the plan")
    kim.visitor.reads(re.compile("^25 runs until"))
    # Beyond what support may give.
    support.press("Give credits")
    support.fill(runs="5000", reason="A large favour")
    support.press("Give credits")
    support.reads(re.compile("Your role gives or takes at most 100 runs"))
    assert kim.left() == 35


def test_support_finds_out_why_that_one_was_refused(office: Office) -> None:
    kim = office.customer("Refused Customer")
    kim.program.run(10)
    assert kim.program.http.post("/sessions", json={"title": "One too many"}).status_code == 402
    support = office.clerk(SUPPORT)
    support.find(kim.email)
    refused = support.page.locator("section[aria-labelledby=refusals]")
    told = refused.inner_text()
    assert ("quota_exceeded" in told, "10 of 10 used" in told, kim.email in told) == (True, True, True)
    # What held at that minute, step by step.
    refused.locator("tbody a").first.click()
    past = support.page.locator("#past")
    assert re.search("AI-Manus FREE.*Always there", past.inner_text(), re.DOTALL)
    kim.reads("/billing/", re.compile("refused|not started", re.IGNORECASE))


def test_support_looks_at_the_pages_as_they_do_and_changes_nothing(office: Office) -> None:
    kim = office.customer("Looked At")
    kim.program.run(3)
    support = office.clerk(SUPPORT)
    support.find_person(kim.email)
    support.act("Look at it as they do", reason="They see no sessions", says=re.compile("You see the pages of"))
    support.open("/billing/")
    support.reads(re.compile("3 of 10|7 .*left", re.IGNORECASE))
    support.page.goto("/")
    support.page.locator("[name=prompt]").fill("In their name")
    support.page.get_by_role("button", name="Start").click()
    support.reads("Not while you look as somebody else")
    support.page.get_by_role("button", name="Back to the desk").first.click()
    support.page.wait_for_url(re.compile("/admin/accounts/user/"))
    assert re.search("sign in as.*They see no sessions", support.trail(), re.DOTALL)
    assert kim.left() == 7
    # Never as staff.
    boss = office.clerk(ADMIN)
    support.find_person(boss.email)
    assert support.page.get_by_role("link", name="Look at it as they do").count() == 0


def test_support_lets_in_who_guessed_too_often_and_signs_out_who_lost_a_laptop(office: Office) -> None:
    kim = office.customer("Forgetful Customer")
    for _ in range(6):
        kim.program.http.post("/auth/login", json={"email": kim.email, "password": "not this one"})
    login = {"email": kim.email, "password": "correct horse battery staple"}
    assert kim.program.http.post("/auth/login", json=login).status_code == 429
    support = office.clerk(SUPPORT)
    support.find_person(kim.email)
    support.act("Unlock", reason="Spoke to them on the phone", says="They can try again at once.")
    assert kim.program.http.post("/auth/login", json=login).status_code == 200
    kim.reads("/account/", kim.email)
    support.act("Sign out everywhere", reason="A stolen laptop", says="Signed out everywhere.")
    assert kim.program.http.get("/auth/me").status_code == 401
    kim.visitor.open("/account/")
    assert "/accounts/login/" in kim.visitor.page.url
    # What concerns who somebody is, support does not decide.
    person = support.page.url.split("/")[-3]
    assert support.is_refused(f"/admin/acts/reset-second-factor/{person}/")
    assert support.is_refused(f"/admin/acts/deactivate/{person}/")


def test_support_has_stripe_asked_again_for_who_paid(office: Office) -> None:
    kim = office.customer("Paying Customer")
    kim.program.buy("basic")
    support = office.clerk(SUPPORT)
    support.find(kim.email)
    support.act(
        "Ask Stripe again", reason="They say that they paid", says=re.compile("All is as at Stripe|Stripe held")
    )
    assert "They say that they paid" in support.trail()
    assert kim.plan() == "basic"


def test_billing_comps_a_plan_and_extends_a_trial(office: Office) -> None:
    kim = office.customer("Partner Customer")
    billing = office.clerk(BILLING)
    kim.program.post("/billing/activate-trial")
    billing.find(kim.email)
    billing.act("Extend the trial", until=day(office, 40), reason="They were ill", says=re.compile("The trial goes on"))
    billing.act(
        "Comp a plan", plan="pro", until=day(office, 60), reason="A partner", says=re.compile("PRO given until")
    )
    assert (kim.plan(), kim.left()) == ("pro", 5000)
    assert re.search("comp.*A partner.*extend trial.*They were ill", billing.trail(), re.DOTALL)
    kim.reads("/billing/", re.compile("Pro"))
    workspace = workspace_of(billing.page.url)
    support = office.clerk(SUPPORT)
    support.find(kim.email)
    assert support.page.get_by_role("link", name="Comp a plan").count() == 0
    assert support.is_refused(f"/admin/acts/comp/{workspace}/")
    assert support.is_refused(f"/admin/acts/extend-trial/{workspace}/")


def test_billing_comps_a_payer_and_has_the_payments_end(office: Office) -> None:
    kim = office.customer("Honoured Customer")
    kim.program.buy("basic")
    billing = office.clerk(BILLING)
    billing.find(kim.email)
    billing.press("Comp a plan")
    billing.reads(re.compile("Stripe goes on charging 19.00 USD a month"))
    billing.fill(plan="pro", until=day(office, 90), payments="cancel", reason="Wrote our guide")
    billing.press("Comp a plan")
    billing.reads(re.compile("Nothing is charged after the present period"))
    assert kim.plan() == "pro"
    kim.reads("/billing/", re.compile("Pro"))


def test_billing_overrides_the_limit_of_many_at_once_after_a_dry_run(office: Office) -> None:
    kims = [office.customer(f"Launch {number}") for number in range(3)]
    billing = office.clerk(BILLING)
    billing.open("/admin/accounts/workspace/?q=Launch")
    for kim in kims:
        row = billing.page.locator("#result_list tbody tr").filter(has_text=kim.email)
        row.locator("input.action-select").check()
    billing.page.locator("select[name=action]").first.select_option("override-runs")
    billing.page.get_by_role("button", name=re.compile("Run|Go")).first.click()
    billing.reads("3 workspaces chosen")
    billing.fill(runs="40", until=day(office, 3), reason="A launch at the weekend")
    billing.press("Show what it would do")
    billing.reads(re.compile("has 40 runs a period until"))
    assert [kim.left() for kim in kims] == [10, 10, 10]
    billing.press("Do it to 3")
    billing.page.wait_for_url(re.compile("/batch/"))
    poll(billing.page, lambda: "3 of 3" in billing.page.locator("#content").inner_text(), "the batch is done")
    assert [kim.left() for kim in kims] == [40, 40, 40]
    billing.find(kims[0].email)
    assert re.search("override runs.*A launch at the weekend", billing.trail(), re.DOTALL)
    assert office.clerk(SUPPORT).is_refused("/admin/acts/override-runs/many/")


def test_billing_refunds_half_an_invoice_and_only_an_admin_much(office: Office) -> None:
    kim = office.customer("Unhappy Customer")
    kim.program.buy("pro")
    billing = office.clerk(BILLING)
    billing.find(kim.email)
    billing.act("Refund an invoice", amount="24.50", reason="Half a month lost", says="24.50 USD given back.")
    assert re.search("refund.*Half a month lost", billing.trail(), re.DOTALL)
    assert kim.plan() == "pro"
    workspace = workspace_of(billing.page.url)
    assert office.clerk(SUPPORT).is_refused(f"/admin/acts/refund/{workspace}/")


def test_billing_cancels_in_a_customers_name_and_takes_it_back(office: Office) -> None:
    kim = office.customer("Undecided Customer")
    kim.program.buy("basic")
    billing = office.clerk(BILLING)
    billing.find(kim.email)
    billing.act("Cancel at the period's end", reason="Asked by letter", says=re.compile("It ends on"))
    assert kim.program.get("/billing/subscription")["cancel_at_period_end"] is True
    billing.act("Take back what is scheduled", reason="Asked by telephone", says="The plan goes on as it is.")
    assert kim.program.get("/billing/subscription")["cancel_at_period_end"] is False
    assert re.search("resume.*Asked by telephone.*cancel.*Asked by letter", billing.trail(), re.DOTALL)


def test_billing_suspends_and_restores(office: Office) -> None:
    kim = office.customer("Suspicious Customer")
    billing = office.clerk(BILLING)
    billing.find(kim.email)
    billing.act("Suspend", reason="Mines coins", says="The workspace is suspended.")
    assert kim.program.http.post("/sessions", json={"title": "One"}).status_code == 403
    kim.reads("/billing/", re.compile("This workspace is suspended"))
    billing.act("Restore", reason="A misunderstanding", says="The workspace works again.")
    kim.program.run(1)
    workspace = workspace_of(billing.page.url)
    assert office.clerk(SUPPORT).is_refused(f"/admin/acts/suspend/{workspace}/")


def test_admin_appoints_and_changes_who_somebody_is(office: Office) -> None:
    kim, boss = office.customer("Renamed Customer"), office.clerk(ADMIN)
    boss.find_person(kim.email)
    new = f"new-{kim.email}"
    boss.act("Change the address", email=new, reason="Proved who they are by video", says=f"{new} is their address.")
    assert office.site.mail_to(kim.email, about="address")
    boss.act("Deactivate", reason="Asked to be forgotten", says=f"{new} is deactivated.")
    login = {"email": new, "password": "correct horse battery staple"}
    assert kim.program.http.post("/auth/login", json=login).status_code == 401
    boss.act("Activate", reason="Changed their mind", says=f"{new} can sign in again.")
    boss.act("Give a staff role", role="Support", reason="Begins on Monday", says=f"{new} has the role Support.")
    assert re.search("appoint.*activate.*deactivate.*change-email", boss.trail(), re.DOTALL)
    person = boss.page.url.split("/")[-3]
    assert office.clerk(BILLING).is_refused(f"/admin/acts/appoint/{person}/")


def test_the_trail_is_searched_and_exported_with_formulas_defused(office: Office) -> None:
    kim, support = office.customer("Exported Customer"), office.clerk(SUPPORT)
    support.find(kim.email)
    support.act("Give credits", runs="5", reason="=cmd|' /C calc'!A0", says="5 runs given")
    support.open(f"/admin/billing/auditentry/?q={kim.email}")
    assert support.page.locator("#result_list tbody tr").count() == 1
    with support.page.expect_download() as download:
        support.page.get_by_role("link", name="Export as CSV").click()
    text = download.value.path().read_text()
    assert "'=cmd|" in text
    assert ",=cmd" not in text


def test_a_member_of_staff_finds_a_customer_by_an_invoice(office: Office) -> None:
    kim, support = office.customer("Invoiced Customer"), office.clerk(SUPPORT)
    kim.program.buy("basic")
    (invoice,) = kim.program.get("/billing/invoices")["results"]
    support.find(invoice["id"])
    support.reads(kim.email)
    assert kim.email in support.page.locator("section[aria-labelledby=people]").inner_text()


def test_customers_have_no_desk(office: Office) -> None:
    kim = office.customer("Curious Customer")
    kim.reads("/account/", kim.email)
    answer = kim.visitor.page.goto("/admin/")
    assert answer is not None
    assert answer.status == 403
