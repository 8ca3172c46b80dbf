"""A browser: it keeps cookies, and sends a form only with the token of a page that it has seen."""

import re
from time import time
from typing import Any

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.usersessions.models import UserSession
from django.test import Client

from accounts.models import User
from tests.people import PASSWORD

LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"


class Browser(Client):
    def __init__(self, **headers: Any) -> None:
        super().__init__(enforce_csrf_checks=True, headers={"User-Agent": LINUX, **headers})

    def send(self, path: str, fields: dict[str, Any] | None = None, *, on: str = "", **more: Any) -> Any:
        """Open the page (the one named by `on`, where the form leads elsewhere) and send its form."""
        page = self.get(on or path)
        assert page.status_code == 200, (page.status_code, page.headers.get("Location"))
        token = self.cookies["csrftoken"].value
        return self.post(path, {**(fields or {}), "csrfmiddlewaretoken": token}, **more)

    def sign_in(self, email: str, password: str = PASSWORD, **fields: str) -> Any:
        return self.send("/accounts/login/", {"login": email, "password": password, **fields})

    def says(self, path: str = "/account/") -> str:
        """The text of a page that must be there."""
        page = self.get(path)
        assert page.status_code == 200, (page.status_code, page.headers.get("Location"))
        return str(page.content.decode())

    @property
    def is_in(self) -> bool:
        return self.get("/account/").status_code == 200


def browser_of(user: User) -> Browser:
    """One in which the person is signed in, and has just given the password again; without hashing it each time."""
    browser = Browser()
    browser.force_login(user)
    session = browser.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time(), "reauthenticated": True}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    UserSession.objects.create(user=user, session_key=session.session_key, ip="127.0.0.1", user_agent=LINUX)
    return browser


def reauthenticate(browser: Browser, password: str = PASSWORD) -> Any:
    return browser.send("/accounts/reauthenticate/", {"password": password})


def unmasked(page: str) -> str:
    """Without what differs from one loading to the next: the mask of the form's token."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
