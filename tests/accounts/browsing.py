"""A browser without JavaScript: it shows pages, and sends the forms that are on them."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client

from accounts.models import Workspace
from accounts.pages import WORKSPACE_KEY
from tests.people import Person


class Forms(HTMLParser):
    """The forms of a page by where they are sent to, each with its hidden fields and what is chosen in its lists."""

    def __init__(self, page: str, path: str) -> None:
        super().__init__()
        self.path, self.found = path, dict[str, dict[str, str]]()
        self._fields: dict[str, str] = {}
        self._list = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = self.found.setdefault(given.get("action") or self.path, {})
        elif tag == "button" and "formaction" in given:
            self.found[given["formaction"]] = self._fields
        elif tag == "button" and "name" in given:
            self._fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "input" and given.get("type") in ("hidden", "text"):
            self._fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._list = given["name"]
        elif tag == "option" and ("selected" in given or self._list not in self._fields):
            self._fields[self._list] = given.get("value", "")


class Browser:
    def __init__(self, person: Person | None = None) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"Accept": "text/html"})
        if person is not None:
            self.client.force_login(person.user)
            self.switch(person.workspace)

    def switch(self, workspace: Workspace) -> None:
        session = self.client.session
        session[WORKSPACE_KEY] = str(workspace.pk)
        session.save()

    @property
    def workspace(self) -> str:
        """The id of the one that it has switched to."""
        return str(self.client.session.get(WORKSPACE_KEY, ""))

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def text(self, path: str, *, status: int = 200) -> str:
        answer = self.get(path)
        assert answer.status_code == status, answer.content
        return str(answer.content.decode())

    def forms(self, path: str) -> dict[str, dict[str, str]]:
        return Forms(self.text(path), path).found

    def send(self, path: str, action: str = "", **fields: str) -> Any:
        """The form on the page of `path` that is sent to `action`, or to the page itself."""
        action = action or path
        return self.client.post(action, {**self.forms(path)[action], **fields})

    def force(self, action: str, **fields: str) -> Any:
        """A form that is on no page, with the token of this browser."""
        self.get("/pricing")
        token = self.client.cookies["csrftoken"].value
        return self.client.post(action, {"csrfmiddlewaretoken": token, **fields})
