"""One request of the API, from its headers and parameters to its answer."""

import base64
import re
import threading
import traceback
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.fake_stripe import API_VERSION, forms, idempotency, routes
from tests.fake_stripe.billing import due
from tests.fake_stripe.errors import StripeError, unknown_parameter
from tests.fake_stripe.faults import Fault, Faults
from tests.fake_stripe.forms import Form, Params
from tests.fake_stripe.idempotency import Answer
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import render
from tests.fake_stripe.world import World

MOST_LOGGED = 10_000
KEY = re.compile(r"(sk|rk)_test_[a-zA-Z0-9]{24,}")


@dataclass
class Request:
    method: str
    path: str
    encoded: str
    headers: dict[str, str]  # by lower-case names
    id: str = field(default_factory=lambda: new_id("req", 14))


@dataclass(frozen=True)
class Reply:
    """`silence` is how many seconds to wait before the connection is closed without an answer."""

    status: int
    body: Object
    headers: dict[str, str]
    silence: float | None = None


class Api:
    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults
        self.log: deque[Object] = deque(maxlen=MOST_LOGGED)
        self._log_lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        fault = self.faults.take(request.method, request.path)
        headers = {"Request-Id": request.id, "Stripe-Version": API_VERSION}
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key:
            headers |= {"Idempotency-Key": key, "Original-Request": request.id}
        form: Form = {}
        try:
            form = forms.decode(request.encoded)
            if fault is not None and fault.seconds is not None and not fault.is_after:
                self._note(request, form, 0)
                return Reply(0, {}, {}, silence=fault.seconds)
            self._authenticate(request)
            answer = self._execute(request, form, key, fault)
            status, body = answer.status, answer.body
            if answer.request_id != request.id:
                headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.request_id}
        except StripeError as error:
            status, body = error.status, error.body
        except Exception:  # A defect of the stand-in must be seen as one, not as Stripe's answer.
            self.world.checker.violations.append(f"{request.method} {request.path}: {traceback.format_exc()}")
            status, body = 500, StripeError(500, "The stand-in failed.", type="api_error").body
        if status in (409, 429) or status >= 500:
            headers["Stripe-Should-Retry"] = "true"
        self.world.checker.check_answer(request.method, request.path, status, body)
        self._note(request, form, status)
        if fault is not None and fault.seconds is not None:
            return Reply(0, {}, {}, silence=fault.seconds)
        return Reply(status, body, headers)

    def requests(self) -> list[Object]:
        with self._log_lock:
            return list(self.log)

    def forget_requests(self) -> None:
        with self._log_lock:
            self.log.clear()

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            given = base64.b64decode(given).decode(errors="replace").partition(":")[0]
        expected = self.world.settings.api_key
        if given == expected or (expected is None and KEY.fullmatch(given)):
            return
        message = f"Invalid API Key provided: {given[:11]}***" if given else "You did not provide an API key."
        raise StripeError(401, message, is_remembered=False)

    def _execute(self, request: Request, form: Form, key: str | None, fault: Fault | None) -> Answer:
        """Under the lock and in one transaction with the memory of the key."""
        world = self.world
        version = request.headers.get("stripe-version")
        if version not in (None, API_VERSION):
            world.checker.violations.append(f"{request.method} {request.path}: asked in version {version}")
        unknown = world.checker.check_request(request.method, request.path, form)
        with world.lock:
            due.catch_up(world)
            with world.store.transaction():
                if key:
                    known = idempotency.recall(world.store, key, path=request.path, form=form, now=world.now)
                    if known is not None:
                        return known
            world.request = {"id": request.id, "idempotency_key": key}
            try:
                answer = self._carry_out(request, form, unknown, fault)
                error = None
            except StripeError as raised:
                answer, error = Answer(raised.status, raised.body, request.id), raised
            finally:
                world.request = None
            if key and (error is None or error.is_remembered):
                with world.store.transaction():
                    idempotency.remember(world.store, key, answer, path=request.path, form=form, now=world.now)
            world.due.notify_all()
        return answer

    def _carry_out(self, request: Request, form: Form, unknown: str | None, fault: Fault | None) -> Answer:
        if unknown is not None:
            raise unknown_parameter(unknown)
        found = routes.find(request.method, request.path)
        if found is None:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            raise StripeError(404, message, is_remembered=False)
        if fault is not None and fault.status is not None and not fault.is_after:
            raise fault.error()
        handler, _ = found
        params = Params(form)
        expand = params.strings("expand")
        with self.world.store.transaction():
            shown = handler(self.world, params)
            params.refuse_the_unread()
            body = render(self.world.store, shown, expand)
            if fault is not None and fault.status is not None:
                raise fault.error()
        return Answer(200, body, request.id)

    def _note(self, request: Request, form: Form, status: int) -> None:
        kept = ("idempotency-key", "stripe-version", "stripe-account")
        with self._log_lock:
            self.log.append(
                {
                    "id": request.id,
                    "method": request.method,
                    "path": request.path,
                    "params": _without_cards(form),
                    "headers": {name: value for name, value in request.headers.items() if name in kept},
                    "status": status,
                }
            )


def _without_cards(value: Any, name: str = "") -> Any:
    """Card numbers are for nobody's log, be they only test cards."""
    if isinstance(value, dict):
        return {inner: _without_cards(child, inner) for inner, child in value.items()}
    if isinstance(value, list):
        return [_without_cards(item, name) for item in value]
    return "…" if name in ("number", "cvc") else value
