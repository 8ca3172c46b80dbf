"""What the first page weighs on the wire: the page, and every file that it loads."""

import gzip
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.people import Person

# Of the page itself as it is sent, and of its files as whitenoise compresses them.
BUDGET = 50_000

LOADED = re.compile(r'(?:src|href)="/static/([^"]+)"')


def weights(client: Client, path: str) -> dict[str, int]:
    answer = client.get(path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    found = {path: len(answer.content)}
    for name in LOADED.findall(answer.content.decode()):
        file = finders.find(name)
        assert isinstance(file, str), name
        found[name] = len(gzip.compress(Path(file).read_bytes(), 9))
    return found


def names(found: dict[str, int]) -> set[str]:
    return {Path(name).name for name in found}


@pytest.mark.django_db
def test_the_first_page_of_a_visitor_is_light() -> None:
    for path in ("/", "/pricing"):
        found = weights(Client(), path)
        assert {"site.css", "site.js", "htmx-2.min.js"} <= names(found)
        assert sum(found.values()) < BUDGET, found


def test_the_first_page_of_a_customer_is_light(bob: Person) -> None:
    client = Client()
    client.force_login(bob.user)
    for number in range(10):
        assert bob.post("/sessions", {"prompt": f"A question of some length, number {number}, of the day"}).status_code
    found = weights(client, "/")
    assert {"site.css", "site.js", "htmx-2.min.js"} <= names(found)
    assert sum(found.values()) < BUDGET, found
