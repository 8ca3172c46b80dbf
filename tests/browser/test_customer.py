"""A customer's way through the product, in a real browser, against the real service and the stand-in's pages."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Program, Site, Visitor, poll

DECLINED, GOOD = "4000 0000 0000 0002", "4242 4242 4242 4242"


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_from_signing_up_to_a_plan_that_is_changed_cancelled_and_taken_back(site: Site, has_scripts: bool) -> None:
    ann = site.visit(java_script_enabled=has_scripts)
    ann.sign_up("Ann Arbor")

    # The first session, and the trial.
    ann.open("/")
    ann.reads("This costs one run. 10 runs are left")
    ann.type(prompt="Write a haiku about rain")
    ann.press("Start")
    ann.page.wait_for_url(re.compile("/sessions/"))
    if has_scripts:
        ann.reads("What should the agent do next?")
    else:
        poll(ann.page, lambda: ann.page.get_by_text("What should the agent do next?").count() == 1, "the run ends")
    ann.reads("Write a haiku about rain")
    ann.open("/billing/")
    ann.press("Start the trial")
    ann.reads("Your trial has begun: 50 runs until")

    # To the limit, and told of it before anything is typed.
    Program(site, ann.email).sign_in().run(50)
    ann.open("/")
    ann.reads(re.compile("You have used all 50 runs"))
    assert (
        ann.page.locator("#prompt").is_disabled() or ann.page.get_by_role("link", name="See larger plans").is_visible()
    )
    assert ann.page.get_by_role("link", name="No runs left").is_visible()

    # Upgrade: a card that is declined, then a good one.
    ann.open("/billing/")
    ann.press("Upgrade")
    ann.press("Pro")
    ann.reads("$49.00")
    ann.press("Continue to payment")
    ann.page.wait_for_url(re.compile("/c/pay/"))
    pay(ann, DECLINED)
    ann.reads(re.compile("declined"))
    pay(ann, GOOD)
    ann.page.wait_for_url(re.compile("/billing/$"))
    expect(ann.page.get_by_role("heading", name="Pro plan")).to_be_visible()
    ann.reads("of 5,000 runs")
    ann.reads("Visa ending in 4242")

    # Down, in the portal, and back.
    ann.press("Card and invoices")
    ann.page.wait_for_url(re.compile("/p/session/"))
    ann.page.get_by_role("radio", name=re.compile("BASIC.*month", re.DOTALL)).first.check()
    ann.press("Change plan")
    ann.press("Confirm the change")
    ann.press(re.compile("Back"))
    ann.page.wait_for_url(re.compile(re.escape(site.url)))
    ann.open("/billing/")
    ann.reads(re.compile("Basic"))
    ann.page.locator("[data-state] form[action='/billing/resume'] button").click()
    ann.page.wait_for_url(re.compile("/billing/$"))
    assert ann.page.locator("[data-state]").count() == 0

    # Cancelled with a reason, and taken back.
    ann.press("Cancel the plan")
    ann.page.locator("[name=reason]").first.check()
    ann.page.get_by_role("button", name="Cancel the plan").filter(visible=True).last.click()
    ann.page.wait_for_url(re.compile("/billing/$"))
    until_day = ann.page.locator("[data-state]").first.inner_text()
    assert re.search(r"\d{4}", until_day), until_day
    ann.page.locator("[data-state] form[action='/billing/resume'] button").click()
    ann.page.wait_for_url(re.compile("/billing/$"))
    assert ann.page.locator("[data-state]").count() == 0
    expect(ann.page.get_by_role("heading", name="Pro plan")).to_be_visible()

    # Out, and in again.
    ann.page.locator("details.menu > summary").click()
    ann.press("Sign out")
    ann.open("/billing/")
    ann.page.wait_for_url(re.compile("/accounts/login/"))
    ann.type(login=ann.email, password="not this one")
    ann.press("Sign in")
    assert "/accounts/login/" in ann.page.url
    ann.type(login=ann.email, password="correct horse battery staple")
    ann.press("Sign in")
    ann.page.wait_for_url(re.compile("/billing/$"))


def test_a_member_is_invited_and_sees_what_a_member_cannot_do(site: Site) -> None:
    olga, mike = site.visit(), site.visit()
    olga.sign_up("Olga Owner")
    olga.open("/workspace/")
    olga.press("Make a team workspace")
    olga.type(name="The lab")
    olga.press("Make the workspace")
    olga.reads("You own this workspace.")
    olga.type(email=mike.email)
    olga.press("Send the invitation")
    olga.reads(mike.email)

    mike.open(site.link_to(mike.email, about="invites you"))
    mike.reads("Olga Owner")
    mike.press("Sign up")
    mike.type(fullname="Mike Member", email=mike.email, password1="correct horse battery staple")
    mike.press("Sign up")
    mike.open(site.link_to(mike.email, about="confirm"))
    mike.press("Yes, it is mine")
    mike.press("Join the workspace")
    mike.open("/workspace/")
    mike.reads("You are a member of this workspace.")
    mike.does_not_read(olga.email)
    mike.open("/billing/")
    mike.reads("The owner of this workspace chooses its plan.")
    assert mike.page.get_by_role("link", name="Upgrade").count() == 0
    for path in ("/billing/change", "/billing/ledger", "/workspace/close", "/workspace/transfer"):
        answer = mike.page.goto(path)
        assert answer is not None
        assert answer.status == 403, path
        mike.reads("You may not do this")
    mike.open("/")
    mike.type(prompt="Count the lab's mice")
    mike.press("Start")
    mike.page.wait_for_url(re.compile("/sessions/"))

    # She sees what he did, and ends it; he is out at once.
    olga.open("/")
    olga.reads("started by Mike Member")
    olga.open("/workspace/")
    olga.press(re.compile("^Change Mike Member"))
    olga.press("Remove from the workspace")
    olga.page.locator("main form button").last.click()
    olga.page.wait_for_url(re.compile("/workspace/$"))
    olga.does_not_read("Mike Member (you)")
    mike.open("/workspace/")
    mike.reads("This is your personal workspace.")


def test_two_browsers_on_one_workspace_see_each_other_s_runs(site: Site, visit: Callable[..., Visitor]) -> None:
    first = visit()
    program = Program(site, first.email).register("Ann Arbor")
    second = visit()
    second.email = first.email
    first.sign_in()
    second.sign_in()
    program.run(9)
    for one in (first, second):
        one.open("/")
        one.reads("This costs one run. 1 run is left")
        one.type(prompt="The last one")
    first.press("Start")
    first.page.wait_for_url(re.compile("/sessions/"))
    # What the other typed is still there, beside why nothing came of it.
    second.press("Start")
    second.reads(re.compile("You have used all 10 runs"))
    assert second.page.locator("#prompt").input_value() == "The last one"
    assert program.get("/billing/subscription")["monthly_agent_runs"] == 10
    second.open("/sessions/")
    assert second.page.get_by_role("link", name="The last one").count() == 1


def pay(visitor: Visitor, card: str) -> None:
    visitor.type(number=card, expiry="12 / 34", cvc="123", name="Ann Arbor")
    visitor.press(re.compile("^Pay "))
