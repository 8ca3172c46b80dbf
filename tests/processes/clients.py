"""A person at a service's API, by HTTP."""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from accounts import tokens
from tests.people import Person
from tests.processes.bursts import CLIENTS
from tests.processes.service import Service


@dataclass
class Caller:
    """A person at the service's API, over as many connections as there are threads that call."""

    service: Service
    person: Person
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=60, limits=httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        )
    )

    def __post_init__(self) -> None:
        token = tokens.sign_in(self.person.user).access_token
        self.http.headers.update({"Authorization": f"Bearer {token}", "X-Workspace": str(self.person.workspace.pk)})

    def get(self, path: str) -> httpx.Response:
        return self.http.get(f"{self.service.url}{path}")

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.post(f"{self.service.url}{path}", json=body or {}, headers=headers)

    def try_post(self, path: str, body: Any = None, **headers: str) -> httpx.Response | None:
        """None where the connection was refused or cut: whether the work was done is not known then."""
        try:
            return self.post(path, body, **headers)
        except httpx.TransportError:
            return None

    def open_session(self, prompt: str = "Write a haiku") -> uuid.UUID:
        """The id of a session that was opened; fails when it was refused."""
        answer = self.post("/sessions", {"prompt": prompt})
        assert answer.status_code == 201, answer.text
        return uuid.UUID(answer.json()["id"])


def statuses(answers: Iterable[httpx.Response | None]) -> Counter[int]:
    """How many of each; 0 where no answer came."""
    return Counter(0 if answer is None else answer.status_code for answer in answers)
