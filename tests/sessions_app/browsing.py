"""A browser without JavaScript: it shows pages, and sends the forms that are on them as they are."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client

from accounts.pages import WORKSPACE_KEY
from tests.people import Person


class Form:
    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}


class Forms(HTMLParser):
    """The forms of a page, each with the fields that a browser would send."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._area: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
        elif tag == "input" and self.found and given.get("type") == "hidden":
            self.found[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "textarea" and "disabled" not in given:
            self._area = given["name"]
            self.found[-1].fields[self._area] = ""

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.found[-1].fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None


class Browser:
    """Signed in as somebody, in the workspace that they are in."""

    def __init__(self, person: Person) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"Accept": "text/html,*/*;q=0.8"})
        self.client.force_login(person.user)
        session = self.client.session
        session[WORKSPACE_KEY] = str(person.workspace.pk)
        session.save()

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def text(self, path: str) -> str:
        """Of the page that is there."""
        page = self.get(path)
        assert page.status_code == 200, page.content
        return str(page.content.decode())

    def form(self, path: str, action: str) -> Form:
        """The form on a page that is sent to `action`."""
        (found,) = (form for form in Forms(self.text(path)).found if form.action == action)
        return found

    def send(self, form: Form, **fields: str) -> Any:
        return self.client.post(form.action, {**form.fields, **fields})
