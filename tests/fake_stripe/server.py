"""HTTP: the API under /v1, control under /_control, and everything else a page."""

import json
import socket
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.fake_stripe import pages
from tests.fake_stripe.api import Api, Request
from tests.fake_stripe.control import Control
from tests.fake_stripe.faults import Faults
from tests.fake_stripe.objects import Object
from tests.fake_stripe.webhooks import Sender
from tests.fake_stripe.world import World

MOST_BYTES = 1024 * 1024
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Server(ThreadingHTTPServer):
    """A thread for each connection; the handlers themselves run one at a time, under the world's lock."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], world: World) -> None:
        super().__init__(address, Handler)
        self.world = world
        self.api = Api(world, Faults())
        self.sender = Sender(world)
        self.control = Control(world, self.api, self.sender)
        self.sender.start()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    # Small answers in two packets would wait for each other.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: object) -> None:
        """The request log is under /_control/requests."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self.close_connection = True
            self._send_json(413, {"error": {"message": "The request is too large.", "type": "invalid_request_error"}})
            return
        content = self.rfile.read(length)
        try:
            self._dispatch(content)
        except OSError:
            self.close_connection = True  # Whoever asked has gone.
        except Exception:  # A defect of the stand-in must be seen as one.
            self.server.world.checker.violations.append(f"{self.command} {self.path}: {traceback.format_exc()}")
            self._send_json(500, {"error": {"message": "The stand-in failed.", "type": "api_error"}})

    def _dispatch(self, content: bytes) -> None:
        address = urlsplit(self.path)
        # A page elsewhere must not speak to a stand-in on somebody's own machine.
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in LOOPBACK:
            self._send_json(421, {"error": {"message": "Ask for it by 127.0.0.1.", "type": "invalid_request_error"}})
        elif address.path.startswith("/v1/"):
            self._answer_api(address.path, address.query, content)
        elif address.path.startswith("/_control/"):
            self._answer_control(address.path.removeprefix("/_control"), content)
        else:
            page = pages.answer(self.server.world, self.command, address.path, address.query, content.decode())
            self._send(page.status, page.content, page.headers)

    def _answer_api(self, path: str, query: str, content: bytes) -> None:
        encoded = "&".join(part for part in (query, content.decode()) if part)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.api.answer(Request(self.command, path, encoded, headers))
        if reply.silence is not None:
            time.sleep(reply.silence)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send_json(reply.status, reply.body, reply.headers)

    def _answer_control(self, path: str, content: bytes) -> None:
        if self.command == "POST" and self.headers.get_content_type() != "application/json":
            # A form on a foreign page cannot send this type without being asked first.
            self._send_json(415, {"error": {"message": "Send application/json.", "type": "invalid_request_error"}})
            return
        status, body = self.server.control.answer(self.command, path, content)
        self._send_json(status, body)

    def _send_json(self, status: int, body: Object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self._send(status, content, {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)
