"""What the first page weighs on the wire: the page as it is sent, and its files as production has them."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.files import File
from django.test import Client
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]  # has no types

from tests.people import Person

BUDGET = 50_000

LOADED = re.compile(r'(?:src|href)="/static/([^"]+)"')


def weights(client: Client, path: str, folder: Path) -> dict[str, int]:
    answer = client.get(path, headers={"Accept": "text/html", "Accept-Encoding": "gzip, br"})
    assert answer.status_code == 200
    files = set(LOADED.findall(answer.content.decode()))
    assert {"site.css", "site.js", "htmx-2.min.js"} <= {Path(name).name for name in files}
    return {path: len(answer.content), **collected(files, folder)}


def collected(names: set[str], folder: Path) -> dict[str, int]:
    """The bytes of each file as `collectstatic` leaves it: under a name of its content, and compressed."""
    storage = CompressedManifestStaticFilesStorage(location=folder, base_url="/static/")
    for name in names:
        found = finders.find(name)
        assert isinstance(found, str), name
        with Path(found).open("rb") as file:
            storage.save(name, File(file))
    assert all(processed for _name, _stored, processed in storage.post_process({n: (storage, n) for n in names}))
    stored = {name: storage.stored_name(name) for name in names}
    assert all(re.search(r"\.[0-9a-f]{12}\.\w+$", hashed) for hashed in stored.values()), stored
    return {name: (folder / f"{hashed}.gz").stat().st_size for name, hashed in stored.items()}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/pricing"])
def test_the_first_page_of_a_visitor_is_light(path: str, tmp_path: Path) -> None:
    found = weights(Client(), path, tmp_path)
    assert sum(found.values()) < BUDGET, found


def test_the_first_page_of_a_customer_is_light(bob: Person, tmp_path: Path) -> None:
    client = Client()
    client.force_login(bob.user)
    for number in range(10):
        started = bob.post("/sessions", {"prompt": f"A question of some length, number {number} of the day"})
        assert started.status_code == 201
    found = weights(client, "/", tmp_path)
    assert sum(found.values()) < BUDGET, found
