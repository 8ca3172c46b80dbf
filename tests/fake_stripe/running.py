"""Starting the stand-in as a process of its own, and speaking to its control; for tests and launchers."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
API_KEY = "sk_test_StandInForStripe000000000"
START_SECONDS = 30


class Refused(Exception):
    """Control answered something other than 200."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status}: {error.get('message')}")
        self.status = status
        self.error = error


@dataclass(frozen=True)
class StandIn:
    """`url` is what `stripe.api_base` is set to."""

    port: int
    state: Path
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def control(self, method: str, path: str, /, **body: Any) -> dict[str, Any]:
        """Raises Refused."""
        headers = {"Content-Type": "application/json"}
        status, content = self.ask(method, f"/_control/{path}", json.dumps(body).encode(), headers)
        answer: dict[str, Any] = json.loads(content)
        if status != 200:
            raise Refused(status, answer["error"])
        return answer

    def ask(
        self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        # Thousands of renewals that a step of the clock brings take their time.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, content, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def pay(self, session: str, card: str = "4242424242424242", **more: Any) -> dict[str, Any]:
        """Pay a Checkout Session; answers the session. Raises Refused where the card is declined."""
        return self.control("POST", f"checkout/{session}/pay", card=card, **more)

    def advance(self, *, days: float = 0, hours: float = 0, seconds: int = 0) -> None:
        self.control("POST", "clock", advance=int(days * 86400 + hours * 3600) + seconds)

    def violations(self) -> list[str]:
        found: list[str] = self.control("GET", "violations")["violations"]
        return found


@contextmanager
def running(state: Path, *arguments: str, port: int | None = None) -> Iterator[StandIn]:
    """The process, from when it answers until the end of the block."""
    chosen = free_port() if port is None else port
    command = [sys.executable, "-m", "tests.fake_stripe", f"--port={chosen}", f"--state-dir={state}", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        # It prints one line when it listens.
        line = process.stdout.readline()
        if "listens" not in line:
            raise RuntimeError(f"The stand-in did not start: {line}{process.stdout.read()}")
        yield StandIn(chosen, state, process.pid)
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
