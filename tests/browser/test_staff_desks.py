"""The tasks of docs/staff.md that have a desk of their own: plans and prices, deliveries, reconciliation, dunning."""

import re
from datetime import UTC, datetime, timedelta

import psycopg

from tests.browser.browsing import poll
from tests.browser.clerks import Office
from tests.browser.gallery import fall_behind
from tests.processes.service import until

SUPPORT, BILLING = "Support", "Billing"


def plan_page(office: Office, role: str, name: str) -> str:
    clerk = office.clerk(role)
    clerk.open("/admin/billing/plan/")
    clerk.page.locator("#content").get_by_role("link", name=re.compile(name)).first.click()
    clerk.page.wait_for_url(re.compile("/plan/[0-9a-f-]+/change/"))
    return clerk.page.url.removeprefix(office.site.url).removesuffix("change/")


def test_billing_raises_pro_to_6000_from_the_next_period(office: Office) -> None:
    old, new = office.customer("Has Pro Already"), office.customer("Buys Pro Later")
    old.program.buy("pro")
    old.program.run(1)
    billing = office.clerk(BILLING)
    page = plan_page(office, BILLING, "PRO")
    billing.press("Change the runs")
    billing.prove_who_they_are()
    billing.fill(runs_limit="6000", when="next", reason="A better offer than others have")
    billing.press("Show what it would do")
    billing.reads(re.compile("5,000 runs → 6,000 runs a period"))
    assert (old.left(), old.plan()) == (4999, "pro")
    billing.press("Change the runs")
    billing.reads(re.compile("A better offer than others have"))
    assert old.left() == 4999
    new.program.buy("pro")
    assert new.left() == 6000
    new.reads("/billing/", "of 6,000 runs")
    assert office.clerk(SUPPORT).is_refused(f"{page}limit/")
    # Back, for the tests after this one.
    billing.open(f"{page}limit/")
    billing.prove_who_they_are()
    billing.fill(runs_limit="5000", when="now", reason="The end of this test")
    billing.press("Show what it would do")
    billing.press("Change the runs")
    billing.reads(re.compile("The end of this test"))


def test_billing_sells_basic_at_another_price_to_whoever_buys_from_now_on(office: Office) -> None:
    old = office.customer("Pays The Old Price")
    old.program.buy("basic")
    billing = office.clerk(BILLING)
    page = plan_page(office, BILLING, "BASIC")

    def set_price(amount: str, reason: str) -> None:
        billing.open(f"{page}price/")
        billing.prove_who_they_are()
        billing.fill(interval="month", currency="USD", amount=amount, reason=reason)
        billing.press("Show what it would do")
        billing.reads(re.compile("Nothing has been done yet"))
        billing.press("Set the price")
        billing.reads(reason)

    set_price("21.00", "Costs have risen")
    visitor = office.site.visit()
    visitor.open("/pricing")
    visitor.reads("$21")
    (paid,) = old.program.get("/billing/invoices")["results"]
    assert paid["total"] == 1900
    stripe = office.site.shop.client.v1
    (customer,) = stripe.customers.list({"email": old.email}).data
    (held,) = stripe.subscriptions.list({"customer": customer.id}).data
    assert held["items"].data[0].price.unit_amount == 1900
    new = office.customer("Pays The New Price")
    new.program.buy("basic")
    assert new.program.get("/billing/invoices")["results"][0]["total"] == 2100
    assert office.clerk(SUPPORT).is_refused(f"{page}price/")
    set_price("19.00", "The end of this test too")


def test_billing_replays_the_dead_events_of_tuesday(office: Office) -> None:
    kim = office.customer("Left Out Customer")
    kim.program.buy("basic")
    stripe = office.site.shop.client.v1
    (customer,) = stripe.customers.list({"email": kim.email}).data
    tuesday = datetime.now(UTC) - timedelta(days=(datetime.now(UTC).weekday() - 1) % 7 or 7)
    with psycopg.connect(office.site.shop.service.database_url, autocommit=True) as connection:
        # As if for a day nobody could have looked at the customer.
        gone = connection.execute(
            "UPDATE billing_stripeevent SET state = 'dead', done_at = NULL, received_at = %s, attempts = 12,"
            " error = 'stripe_unavailable' WHERE customer = %s",
            [tuesday.replace(hour=12), customer.id],
        ).rowcount
    assert gone > 0
    billing = office.clerk(BILLING)
    billing.open(f"/admin/billing/stripeevent/?state__exact=dead&day={tuesday:%Y-%m-%d}")
    assert billing.page.locator("#result_list tbody tr").count() >= gone
    billing.page.get_by_role("link", name=re.compile("Replay what is given up")).click()
    billing.reads(re.compile("events? given up"))
    billing.reads("Left Out Customer")
    billing.fill(reason="Stripe was away on Tuesday")
    billing.press(re.compile("^Replay "))
    until(lambda: count_of(office, "dead") == 0, "no event is dead any more")
    billing.open("/admin/billing/auditentry/")
    billing.reads("Stripe was away on Tuesday")
    assert kim.plan() == "basic"
    support = office.clerk(SUPPORT)
    support.open("/admin/billing/stripeevent/")
    assert support.page.get_by_role("link", name=re.compile("Replay")).count() == 0
    assert support.is_refused("/admin/billing/stripeevent/replay/")


def test_billing_reminds_of_a_payment_that_failed_and_extends_the_grace(office: Office) -> None:
    kim = office.customer("Late Customer")
    kim.program.buy("basic")
    fall_behind(office.site, kim.program)
    kim.program.sign_in()
    billing = office.clerk(BILLING)
    billing.open("/admin/dunning/")
    row = billing.page.locator("#content tbody tr").filter(has_text=kim.email)
    row.get_by_text(re.compile("^Act")).click()
    row.get_by_role("link", name=re.compile("pay", re.IGNORECASE)).first.click()
    billing.prove_who_they_are()
    billing.fill(reason="They asked for it")
    billing.page.locator("#content form button").first.click()
    billing.page.wait_for_url(lambda url: "/acts/" not in url)
    assert "http" in office.site.mail_to(kim.email, about="pay")
    billing.find(kim.email)
    now = datetime.fromtimestamp(office.site.shop.stand_in.control("GET", "clock")["now"], UTC)
    day = f"{now + timedelta(days=12):%Y-%m-%d}"
    billing.act("Extend the grace", until=day, reason="Pays on Friday", says=re.compile("The plan is kept until"))
    assert re.search("extend grace.*Pays on Friday", billing.trail(), re.DOTALL)
    assert kim.plan() == "basic"
    workspace = billing.page.url.split("/")[-3]
    assert office.clerk(SUPPORT).is_refused(f"/admin/acts/extend-grace/{workspace}/")


def test_billing_sees_what_stripe_holds_otherwise_and_mends_it(office: Office) -> None:
    kim = office.customer("Drifted Customer")
    kim.program.buy("basic")
    shop = office.site.shop
    (customer,) = shop.client.v1.customers.list({"email": kim.email}).data
    (held,) = shop.client.v1.subscriptions.list({"customer": customer.id}).data
    # What the purchase had to tell is told first; then no delivery tells of what happens next.
    shop.stand_in.control("POST", "webhooks/settle", seconds=30)
    until(lambda: count_of(office, "waiting") == 0, "every event of the purchase is done")
    shop.stand_in.control("POST", "webhooks", mode="drop")
    try:
        shop.client.v1.subscriptions.update(held.id, {"cancel_at_period_end": True})
    finally:
        shop.stand_in.control("POST", "webhooks", mode="deliver")
    assert kim.program.get("/billing/subscription")["cancel_at_period_end"] is False
    billing = office.clerk(BILLING)
    billing.open("/admin/reconciliation/")
    billing.press("Compare, and change nothing")
    poll(billing.page, lambda: kim.email in billing.page.locator("#content").inner_text(), "the drift shows")
    assert kim.program.get("/billing/subscription")["cancel_at_period_end"] is False
    billing.open(f"/admin/reconciliation/{workspace_of(office, kim.email)}/")
    billing.fill(reason="Found at the desk")
    billing.press("Mend it")
    billing.reads(re.compile("mended|is as at Stripe|Nothing differs", re.IGNORECASE))
    assert kim.program.get("/billing/subscription")["cancel_at_period_end"] is True
    kim.reads("/billing/", re.compile("Basic"))
    billing.find(kim.email)
    assert "reconcile" in billing.trail()
    support = office.clerk(SUPPORT)
    support.open("/admin/reconciliation/")
    assert support.page.get_by_role("button", name=re.compile("Compare")).count() == 0
    assert support.is_refused("/admin/reconciliation/run/")


def workspace_of(office: Office, email: str) -> str:
    clerk = office.clerk(BILLING)
    clerk.find(email)
    return clerk.page.url.split("/")[-3]


def count_of(office: Office, state: str) -> int:
    """Events in the inbox."""
    with psycopg.connect(office.site.shop.service.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM billing_stripeevent WHERE state = %s", [state]).fetchone()
    assert row is not None
    return int(row[0])
