"""What a hot request costs, in statements, transaction marks included."""

from collections.abc import Callable

import pytest
from django.test.utils import CaptureQueriesContext

from tests.people import Person

type Statements = Callable[[], CaptureQueriesContext]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("body", "headers", "first", "further"),
    [
        ({"prompt": "Go"}, {}, 3, 2),
        ({}, {}, 3, 2),
        ({"prompt": "Go"}, {"Idempotency-Key": "k"}, 7, 6),
    ],
)
def test_opening_a_session(
    bob: Person, statements: Statements, body: dict[str, str], headers: dict[str, str], first: int, further: int
) -> None:
    with statements() as seen:
        assert bob.post("/sessions", body, **headers).status_code == 201
    # The first of a period opens its bucket.
    assert len(seen) == first, [query["sql"] for query in seen]
    if headers:
        headers = {"Idempotency-Key": "another"}
    with statements() as seen:
        assert bob.post("/sessions", body, **headers).status_code == 201
    assert len(seen) == further, [query["sql"] for query in seen]


def test_a_refusal_costs_one(bob: Person, statements: Statements) -> None:
    for _ in range(10):
        bob.post("/sessions")
    # The first of a minute is written down, after it was answered.
    for costs in (2, 1, 1):
        with statements() as seen:
            assert bob.post("/sessions").status_code == 402
        assert len(seen) == costs, [query["sql"] for query in seen]


def test_executing_without_a_session(bob: Person, statements: Statements) -> None:
    bob.post("/sessions")
    with statements() as seen:
        assert bob.post("/agent/execute", {"prompt": "Go"}).status_code == 202
    assert len(seen) == 2, [query["sql"] for query in seen]
