"""A proxy between the application and the stand-in that spoils the one request that it is told to."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.fake_stripe.running import StandIn

PASSED_ON = {"authorization", "content-type", "idempotency-key", "stripe-version", "stripe-account"}
PASSED_BACK = {"content-type", "request-id", "stripe-should-retry", "idempotent-replayed"}


class Fault(StrEnum):
    FAILS = "fails with 500"
    FAILS_AFTER = "has its effect and fails with 500"
    LIMITED = "is refused with 429"
    UNHEARD = "never arrives"
    UNANSWERED = "has its effect and no answer"
    SILENT = "is answered later than anybody waits"
    SLOW = "is answered late"

    @property
    def has_effect(self) -> bool:
        """Where it makes something at Stripe, that is made."""
        return self in (Fault.FAILS_AFTER, Fault.UNANSWERED, Fault.SILENT, Fault.SLOW)


class Meddler(ThreadingHTTPServer):
    """`seen` are the requests since `spoil` was last called: `POST /v1/customers`."""

    daemon_threads = True
    late_seconds = 0.05
    silent_seconds = 1.0

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stand_in = stand_in
        self.seen: list[str] = []
        self._number, self._method = 0, ""
        self._fault: Fault | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spoil(self, number: int, fault: Fault | None, *, method: str = "") -> None:
        """The request of that number, counted from now on, of those of the method if it is named; 0 is every one."""
        with self._lock:
            self.seen, self._number, self._fault, self._method = [], number, fault, method

    def let_be(self) -> None:
        with self._lock:
            self._fault = None

    def take(self, request: str) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            if not request.startswith(self._method):
                return None
            count = sum(seen.startswith(self._method) for seen in self.seen)
            return self._fault if self._number in (0, count) else None


class Handler(BaseHTTPRequestHandler):
    server: Meddler
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def log_message(self, format: str, *arguments: object) -> None:
        """`Meddler.seen` is the log."""

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {self.path.partition('?')[0]}"
        fault = self.server.take(request)
        if fault is Fault.UNHEARD:
            self._hang_up()
            return
        if fault in (Fault.FAILS, Fault.FAILS_AFTER, Fault.LIMITED):
            # The stand-in says it itself, because what it keeps under an idempotency key follows from it.
            self.server.stand_in.control(
                "POST",
                "faults",
                path=f"^{re.escape(request)}$",
                status=429 if fault is Fault.LIMITED else 500,
                after=fault is Fault.FAILS_AFTER,
            )
        if fault is Fault.SLOW:
            time.sleep(self.server.late_seconds)
        status, headers, body = self._ask(content)
        if fault is Fault.SILENT:
            time.sleep(self.server.silent_seconds)
        if fault in (Fault.UNANSWERED, Fault.SILENT):
            self._hang_up()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ask(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.stand_in.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
        try:
            connection.request(self.command, self.path, content, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() in PASSED_BACK}
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def meddling(stand_in: StandIn) -> Iterator[Meddler]:
    with Meddler(stand_in) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
