"""Every page worth looking at, and the people who see it: for the accessibility tests and for the pictures."""

import re
from dataclasses import dataclass
from typing import Any

from tests.browser.browsing import PASSWORD, Program, Site, Visitor
from tests.browser.clerks import Clerk
from tests.processes.service import until

PROMPT = "Compare three tools for planning team shifts, with prices, in a table."


@dataclass(frozen=True)
class View:
    """A page as somebody sees it. `opens` is a button that is pressed first, for what shows in the dialog."""

    name: str
    who: str
    path: str
    opens: str = ""


VIEWS = (
    View("pricing", "nobody", "/pricing"),
    View("pricing-by-the-year", "nobody", "/pricing?interval=year"),
    View("sign-in", "nobody", "/accounts/login/"),
    View("sign-up", "nobody", "/accounts/signup/"),
    View("password-reset", "nobody", "/accounts/password/reset/"),
    View("link-not-valid", "nobody", "/accounts/confirm-email/nothing/"),
    View("home-empty", "new", "/"),
    View("plan-free", "new", "/billing/"),
    View("pricing-signed-in", "new", "/pricing"),
    View("upgrade", "new", "/billing/change?plan=pro"),
    View("upgrade-dialog", "new", "/billing/", "Upgrade"),
    View("workspace-personal", "new", "/workspace/"),
    View("workspace-new", "new", "/workspace/new"),
    View("account", "new", "/account/"),
    View("account-name", "new", "/accounts/name/"),
    View("account-email", "new", "/accounts/email/"),
    View("account-password", "new", "/accounts/password/change/"),
    View("account-two-factor", "new", "/accounts/2fa/"),
    View("account-two-factor-on", "new", "/accounts/2fa/totp/activate/"),
    View("account-devices", "new", "/accounts/sessions/"),
    View("sign-out", "new", "/accounts/logout/"),
    View("unverified", "unverified", "/account/"),
    View("home-at-the-limit", "spent", "/"),
    View("plan-at-the-limit", "spent", "/billing/"),
    View("home", "pro", "/"),
    View("session", "pro", "{session}"),
    View("session-delete-dialog", "pro", "{session}", "Delete"),
    View("plan-pro", "pro", "/billing/"),
    View("downgrade", "pro", "/billing/change?plan=basic"),
    View("cancel", "pro", "/billing/cancel"),
    View("cancel-dialog", "pro", "/billing/", "Cancel the plan"),
    View("ledger", "pro", "/billing/ledger"),
    View("invoices", "pro", "/billing/invoices"),
    View("plan-past-due", "late", "/billing/"),
    View("team", "owner", "/workspace/"),
    View("team-member", "owner", "{member}"),
    View("team-transfer", "owner", "/workspace/transfer"),
    View("team-close", "owner", "/workspace/close"),
    View("team-as-member", "member", "/workspace/"),
    View("plan-as-member", "member", "/billing/"),
    View("not-allowed", "member", "/billing/ledger"),
    View("team-leave", "member", "/workspace/leave"),
    View("invitation", "nobody", "{invitation}"),
    View("desk", "staff", "/admin/"),
    View("desk-workspaces", "staff", "/admin/accounts/workspace/"),
    View("desk-workspace", "staff", "{pro}"),
    View("desk-workspace-past-due", "staff", "{late}"),
    View("desk-people", "staff", "/admin/accounts/user/"),
    View("desk-person", "staff", "{person}"),
    View("desk-act", "staff", "{act}"),
    View("desk-act-many", "staff", "{many}"),
    View("desk-batches", "staff", "/admin/billing/batch/"),
    View("desk-subscriptions", "staff", "/admin/billing/subscription/"),
    View("desk-dunning", "staff", "/admin/dunning/"),
    View("desk-plans", "staff", "/admin/billing/plan/"),
    View("desk-plan", "staff", "{plan}"),
    View("desk-periods", "staff", "/admin/billing/usageperiod/"),
    View("desk-credits", "staff", "/admin/billing/creditgrant/"),
    View("desk-ledger", "staff", "/admin/billing/ledgerentry/"),
    View("desk-refusals", "staff", "/admin/billing/refusal/"),
    View("desk-deliveries", "staff", "/admin/billing/stripeevent/"),
    View("desk-delivery", "staff", "{delivery}"),
    View("desk-operations", "staff", "/admin/billing/stripeoperation/"),
    View("desk-reconciliation", "staff", "/admin/billing/reconciliationreport/"),
    View("desk-audit", "staff", "/admin/billing/auditentry/"),
    View("desk-audit-entry", "staff", "{entry}"),
)


@dataclass
class Gallery:
    """The people, signed in; `states` are their cookies, so that any browser can be theirs."""

    site: Site
    states: dict[str, str | None]
    paths: dict[str, str]

    def visit(self, who: str, **options: Any) -> Visitor:
        visitor = self.site.visit(**options)
        if cookie := self.states[who]:
            visitor.context.add_cookies([{"name": "sessionid", "value": cookie, "url": self.site.url}])
        return visitor

    def show(self, visitor: Visitor, view: View) -> None:
        visitor.open(view.path.format(**self.paths))
        if view.opens:
            visitor.press(view.opens)
            visitor.page.locator("dialog[open] h2").wait_for()


def furnish(site: Site) -> Gallery:
    """Made through the API and the pages, as everybody is."""
    states: dict[str, str | None] = {"nobody": None}
    paths = {}

    def settle(who: str, program: Program) -> Visitor:
        visitor = site.visit()
        visitor.email = program.email
        visitor.sign_in()
        states[who] = cookie_of(visitor)
        return visitor

    def newcomer(name: str) -> Program:
        return Program(site, f"{name.lower().replace(' ', '.')}.{len(site.programs)}@example.com").register(name)

    # First, because time goes on for everybody.
    late = newcomer("Lars Late")
    late.buy("basic")
    fall_behind(site, late)
    settle("late", late)

    unverified = Program(site, f"ulla.{id(site)}@example.com")
    unverified.post("/auth/register", {"fullname": "Ulla New", "email": unverified.email, "password": PASSWORD})
    settle("unverified", unverified)
    settle("new", newcomer("Nora Newman"))

    spent = newcomer("Sam Spender")
    spent.run(10)
    spent.http.post("/sessions", json={"title": "One too many"})
    settle("spent", spent)

    pro = newcomer("Petra Pro")
    pro.buy("pro")
    pro.run(23)
    visitor = settle("pro", pro)
    visitor.open("/")
    visitor.type(prompt=PROMPT)
    visitor.press("Start")
    visitor.page.wait_for_url(re.compile("/sessions/"))
    visitor.reads("What should the agent do next?")
    paths["session"] = visitor.page.url.removeprefix(site.url)

    owner, member = newcomer("Olga Owner"), newcomer("Mike Member")
    olga = settle("owner", owner)
    olga.open("/workspace/new")
    olga.type(name="The lab")
    olga.press("Make the workspace")
    for address in (member.email, f"guest.{len(site.programs)}@example.com"):
        olga.type(email=address)
        olga.press("Send the invitation")
        olga.reads(address)
        paths["invitation"] = site.link_to(address, about="invites you").removeprefix(site.url)
        if address == member.email:
            mike = settle("member", member)
            mike.open(paths["invitation"])
            mike.press("Join the workspace")
            mike.page.wait_for_url(re.compile("/workspace/$"))
            olga.open("/workspace/")
    paths["member"] = str(olga.page.get_by_role("link", name=re.compile("^Change Mike")).get_attribute("href"))
    paths |= open_desk(site, settle("staff", newcomer("Stefan Staff")), pro=pro.email, late=late.email)
    return Gallery(site, states, paths)


def open_desk(site: Site, staff: Visitor, **customers: str) -> dict[str, str]:
    """Somebody of the admin role, and where they find what is shown of the desk."""
    site.shop.service.manage("appoint_staff", staff.email, "--role", "admin")
    clerk = Clerk(staff, "Admin")
    paths = {}
    for name, email in customers.items():
        clerk.find(email)
        paths[name] = clerk.page.url.removeprefix(site.url)
    workspace = paths["pro"].split("/")[-3]
    paths["act"] = f"/admin/acts/give-credits/{workspace}/"
    paths["many"] = f"/admin/acts/override-runs/many/?workspaces={workspace}"
    clerk.find_person(customers["pro"])
    paths["person"] = clerk.page.url.removeprefix(site.url)
    for name, path in (
        ("plan", "/admin/billing/plan/"),
        ("delivery", "/admin/billing/stripeevent/"),
        ("entry", "/admin/billing/auditentry/"),
    ):
        clerk.open(path)
        link = clerk.page.locator(f"#content a[href^='{path}'][href*='/change/']").first
        paths[name] = str(link.get_attribute("href")).partition("?")[0]
    return paths


def fall_behind(site: Site, program: Program) -> None:
    """The card that is on file fails when the next month is charged."""
    stripe = site.shop.client.v1
    (customer,) = stripe.customers.list({"email": program.email}).data
    (subscription,) = stripe.subscriptions.list({"customer": customer.id}).data
    method = stripe.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    stripe.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    site.shop.travel(days=32)
    until(lambda: program.get("/billing/subscription")["status"] == "past_due", "the failed payment shows")


def cookie_of(visitor: Visitor) -> str:
    (found,) = [cookie for cookie in visitor.context.cookies() if cookie.get("name") == "sessionid"]
    return str(found["value"])
