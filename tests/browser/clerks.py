"""Staff at the desk, each in their role, in a browser of their own."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page

from tests.browser.browsing import PASSWORD, Program, Site, Visitor


@dataclass
class Clerk:
    """Somebody of a role. What they may not do answers 403 in their own browser, whatever the page offers."""

    visitor: Visitor
    role: str

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def email(self) -> str:
        return self.visitor.email

    def open(self, path: str) -> None:
        self.page.goto(path)

    def find(self, text: str) -> None:
        """The page of the customer who is meant."""
        self.page.goto(f"/admin/accounts/workspace/?q={quote(text)}")
        self.page.locator("#result_list tbody a").first.click()
        self.page.wait_for_url(re.compile("/workspace/[0-9a-f-]+/change/"))

    def find_person(self, email: str) -> None:
        self.page.goto(f"/admin/accounts/user/?q={quote(email)}")
        self.page.locator("#result_list tbody a").first.click()
        self.page.wait_for_url(re.compile("/user/[0-9a-f-]+/change/"))

    def press(self, name: str | re.Pattern[str]) -> None:
        is_exact = isinstance(name, str)
        within = self.page.locator("#content")
        button = within.get_by_role("button", name=name, exact=is_exact)
        link = within.get_by_role("link", name=name, exact=is_exact)
        button.or_(link).filter(visible=True).first.click()

    def act(self, name: str, *, reason: str, says: str | re.Pattern[str], **fields: Any) -> None:
        """On the page that is open: choose the act, fill its form in, do it, and read what came of it."""
        self.press(name)
        self.prove_who_they_are()
        self.fill(reason=reason, **fields)
        self.press(name)
        self.reads(says)

    def fill(self, **fields: Any) -> None:
        for field_name, value in fields.items():
            place = self.page.locator(f"#content [name={field_name}]")
            kind = place.first.evaluate("one => one.tagName + ' ' + one.type")
            if kind.startswith("SELECT"):
                place.select_option(value)
            elif kind.endswith("radio"):
                self.page.locator(f"#content [name={field_name}][value={value}]").check()
            elif kind.endswith("checkbox"):
                place.first.set_checked(value)
            else:
                place.first.fill(str(value))

    def prove_who_they_are(self) -> None:
        """Where the page asks for the password once more, before something grave."""
        self.page.wait_for_load_state()
        if "/accounts/reauthenticate/" in self.page.url:
            self.page.locator("[name=password]").fill(PASSWORD)
            self.page.get_by_role("button", name="Go on").click()
            self.page.wait_for_url(lambda url: "/accounts/" not in url)

    def reads(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def trail(self) -> str:
        """What the page that is open says of what staff did here."""
        return self.page.locator("section[aria-labelledby=trail]").inner_text()

    def is_refused(self, path: str) -> bool:
        """By the address, and by a form that is sent there all the same."""
        request, address = self.visitor.context.request, f"{self.visitor.site.url}{path}"
        token = next(one["value"] for one in self.visitor.context.cookies() if one["name"] == "csrftoken")
        got = request.get(address)
        sent = request.post(
            address,
            form={"csrfmiddlewaretoken": token, "reason": "All the same", "once": "a-token"},
            headers={"Referer": self.visitor.site.url, "X-CSRFToken": token},
        )
        # A page that only takes forms has nothing to show to anybody.
        return got.status in (403, 405) and sent.status == 403


@dataclass
class Office:
    """The site with its staff; each role is employed once a test."""

    site: Site
    clerks: dict[str, Clerk] = field(default_factory=dict)

    def clerk(self, role: str) -> Clerk:
        if role not in self.clerks:
            visitor = self.site.visit(size=(1440, 900))
            Program(self.site, visitor.email).register(f"{role} Staff")
            self.site.shop.service.manage("appoint_staff", visitor.email, "--role", role.lower())
            visitor.sign_in()
            self.clerks[role] = Clerk(visitor, role)
        return self.clerks[role]

    def customer(self, name: str) -> "Customer":
        visitor = self.site.visit()
        program = Program(self.site, visitor.email).register(name)
        return Customer(visitor, program)


@dataclass
class Customer:
    visitor: Visitor
    program: Program

    @property
    def email(self) -> str:
        return self.visitor.email

    def plan(self) -> str:
        return str(self.program.get("/billing/subscription")["plan"])

    def left(self) -> int:
        return int(self.program.get("/billing/subscription")["runs_remaining"])

    def reads(self, path: str, text: str | re.Pattern[str]) -> None:
        """In their own browser, signed in."""
        self.visitor.page.goto(path)
        if "/accounts/login/" in self.visitor.page.url:
            self.visitor.sign_in()
            self.visitor.page.goto(path)
        self.visitor.reads(text)
