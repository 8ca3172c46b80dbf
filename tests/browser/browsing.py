"""A browser on the real service: Chromium, gunicorn, a worker, and the stand-in for Stripe with its pages.

Nothing here uses the ORM, which does not mix with Playwright in one thread: everything is seen as a visitor sees it.
"""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, sync_playwright

from tests.processes.money import Shop
from tests.processes.service import until

PASSWORD = "correct horse battery staple"
WIDE, NARROW = (1280, 800), (360, 740)
MAIL_END = b"-" * 79 + b"\n"
LINK = re.compile(r"https?://\S+")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's. It goes nowhere but to 127.0.0.1."""
    program = shutil.which("chromium")
    assert program is not None, "Chromium is missing: python -m deploy.packages"
    arguments = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Site:
    """The service and its Stripe; `mails` is the folder to which mails are delivered."""

    shop: Shop
    browser: Browser
    visitors: list["Visitor"] = field(default_factory=list)
    programs: list["Program"] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.shop.service.port}"

    @property
    def mails(self) -> Path:
        return mail_folder(self.shop.service.folder)

    def visit(self, **options: Any) -> "Visitor":
        """Somebody with a browser of their own; the options are those of a Playwright context, and `size`."""
        width, height = options.pop("size", WIDE)
        context = self.browser.new_context(viewport={"width": width, "height": height}, base_url=self.url, **options)
        visitor = Visitor(self, context)
        self.visitors.append(visitor)
        return visitor

    def mail_to(self, address: str, *, about: str = "") -> str:
        """The text of the latest mail to this address with these words in its subject, once it is there."""
        until(lambda: self._mails(address, about), f"a mail about {about or 'anything'!r} reaches {address}")
        return self._mails(address, about)[-1]

    def link_to(self, address: str, *, about: str = "") -> str:
        """The first link of that mail."""
        found = LINK.search(self.mail_to(address, about=about))
        assert found is not None
        return found[0]

    def _mails(self, address: str, about: str) -> list[str]:
        texts = []
        # Two of one second can be in one file, each with a line after it.
        sent = [text for file in sorted(self.mails.glob("*.log")) for text in file.read_bytes().split(MAIL_END)[:-1]]
        for text in sent:
            mail = message_from_bytes(text, policy=policy.default)
            body = mail.get_body(("plain",))
            if address in str(mail["To"]) and about.lower() in str(mail["Subject"]).lower() and body is not None:
                texts.append(body.get_content())
        return texts

    def leave(self) -> None:
        """Everybody closes their browser. What went wrong in one and was not looked at is raised."""
        wrong = [complaint for visitor in self.visitors for complaint in visitor.leave()]
        self.visitors.clear()
        for program in self.programs:
            program.http.close()
        self.programs.clear()
        assert not wrong, "\n".join(wrong)


@dataclass
class Visitor:
    """One person at one browser."""

    site: Site
    context: BrowserContext
    email: str = field(default_factory=lambda: f"{uuid.uuid4().hex[:12]}@example.com")
    page: Page = field(init=False)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._watch)

    def leave(self) -> list[str]:
        self.context.close()
        return self.complaints

    def sees(self) -> str:
        """The address, and the text on the page."""
        return f"{self.page.url}\n{self.page.locator('body').inner_text()}"

    def _hear(self, message: ConsoleMessage) -> None:
        # That an answer was a 402 or a 404 is told here too, and is what the test asserts.
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _watch(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.complaints.append(f"a request to {request.url}")

    # What everybody does.

    def open(self, path: str) -> Page:
        try:
            self.page.goto(path)
        except Error as error:
            # A page that looks for news may load itself anew at this very moment, and gets in first.
            if "interrupted by another navigation" not in error.message:
                raise
            self.page.goto(path)
        return self.page

    def press(self, name: str | re.Pattern[str]) -> None:
        """A button or a link of the page or its open menu by its name, the first that is visible."""
        is_exact = isinstance(name, str)
        within = self.page.locator("main, dialog[open], .menu-sheet")
        button = within.get_by_role("button", name=name, exact=is_exact)
        link = within.get_by_role("link", name=name, exact=is_exact)
        button.or_(link).filter(visible=True).first.click()

    def type(self, **fields: str) -> None:
        """Into the fields of these names."""
        for name, text in fields.items():
            self.page.locator(f"[name={name}]").filter(visible=True).first.fill(text)

    def reads(self, text: str | re.Pattern[str]) -> None:
        """Raises when the page does not come to say this."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def does_not_read(self, text: str) -> None:
        """At this instant."""
        assert self.page.get_by_text(text).filter(visible=True).count() == 0, text

    def sign_up(self, name: str) -> None:
        """Through the form, and the link in the mail; signed in at the end."""
        self.open("/accounts/signup/")
        self.type(fullname=name, email=self.email, password1=PASSWORD)
        self.press("Sign up")
        self.reads("Check your mail")
        self.open(self.site.link_to(self.email))
        self.press("Yes, it is mine")
        self.page.wait_for_url(lambda url: "confirm-email" not in url)

    def sign_in(self) -> None:
        self.open("/accounts/login/")
        self.type(login=self.email, password=PASSWORD)
        self.press("Sign in")
        self.page.wait_for_url(lambda url: "/accounts/" not in url)


def mail_folder(folder: Path) -> Path:
    return folder / "mails"


def poll(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Reload until it holds: for what a worker or a delivery brings."""

    def holds() -> bool:
        page.reload()
        return condition()

    until(holds, what)


@dataclass
class Program:
    """What somebody does through the API, where the way through the pages is not the point."""

    site: Site
    email: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"{self.site.url}/api/v1", timeout=30)
        self.site.programs.append(self)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.http.post(path, json=body or {}, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def sign_in(self) -> "Program":
        self._carry(self.post("/auth/login", {"email": self.email, "password": PASSWORD}))
        return self

    def register(self, name: str) -> "Program":
        """With the address confirmed."""
        body = {"fullname": name, "email": self.email, "password": PASSWORD}
        self._carry(self.post("/auth/register", body))
        key = self.site.link_to(self.email).rstrip("/").rpartition("/")[2]
        self.post("/auth/verify-email", {"key": unquote(key)})
        # Confirming an address ends what was signed in before.
        return self.sign_in()

    def buy(self, plan: str) -> None:
        session = self.post("/billing/create-checkout-session", {"plan": plan})
        self.site.shop.stand_in.pay(session["checkout_session_id"])
        until(lambda: self.get("/billing/subscription")["plan"] == plan, f"{plan} shows")

    def run(self, count: int) -> None:
        for _ in range(count):
            self.post("/sessions", {"title": "Counted"})

    def _carry(self, signed_in: dict[str, Any]) -> None:
        self.http.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
