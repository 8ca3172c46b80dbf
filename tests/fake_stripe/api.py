"""One request of the API, from its headers and parameters to its answer."""

import base64
import binascii
import re
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.fake_stripe import API_VERSION, forms, idempotency, resources, routes
from tests.fake_stripe.billing import due
from tests.fake_stripe.errors import StripeError, unknown_parameter
from tests.fake_stripe.faults import Fault, Faults
from tests.fake_stripe.forms import Form, Params
from tests.fake_stripe.idempotency import Answer
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.rendering import render
from tests.fake_stripe.world import ACCOUNT, World

MOST_LOGGED = 10_000
assert resources  # Importing them fills the table of routes.

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
        self._keys_in_use: set[str] = set()
        self._keys_lock = threading.Lock()
        due.watch(world)

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
            with self._holding(key):
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
            try:
                given = base64.b64decode(given).decode(errors="replace").partition(":")[0]
            except binascii.Error:
                given = ""
        expected = self.world.settings.api_key
        if given != expected and not (expected is None and KEY.fullmatch(given)):
            message = f"Invalid API Key provided: {given[:11]}***" if given else "You did not provide an API key."
            raise StripeError(401, message)
        # All keys are of the one account, so that one memory of idempotency keys is that account's.
        account = request.headers.get("stripe-account", ACCOUNT)
        if account != ACCOUNT:
            message = f"The provided key does not have access to account '{account}' (or that account does not exist)."
            raise StripeError(403, message, code="account_invalid")

    @contextmanager
    def _holding(self, key: str | None) -> Iterator[None]:
        """While a request is under way, or waits for its turn, another with its key is refused and not queued."""
        if key is None:
            yield
            return
        with self._keys_lock:
            if key in self._keys_in_use:
                raise StripeError(
                    409,
                    "There is currently another in-progress request using this Idempotent Key (that probably means you"
                    f" submitted twice, and the other request is still going through): {key}.",
                    type="idempotency_error",
                    code="idempotency_key_in_use",
                )
            self._keys_in_use.add(key)
        try:
            yield
        finally:
            with self._keys_lock:
                self._keys_in_use.discard(key)

    def _execute(self, request: Request, form: Form, key: str | None, fault: Fault | None) -> Answer:
        """Under the lock. The effects and the memory of their key are one transaction: a kill leaves both or none."""
        world = self.world
        version = request.headers.get("stripe-version")
        if version not in (None, API_VERSION):
            world.checker.violations.append(f"{request.method} {request.path}: asked in version {version}")
        unknown = world.checker.check_request(request.method, request.path, form)
        with world.lock:
            due.catch_up(world)
            if key:
                with world.store.transaction():
                    known = idempotency.recall(world.store, key, path=request.path, form=form, now=world.now)
                if known is not None:
                    return known
            world.request = {"id": request.id, "idempotency_key": key}
            # Who only reads needs no transaction, and pays for none.
            effects = nullcontext() if request.method == "GET" else world.store.transaction()
            try:
                with effects:
                    answer, is_remembered = self._carry_out(request, form, unknown, fault)
                    if key and is_remembered:
                        self._remember(key, answer, request, form)
            except StripeError as error:
                answer = Answer(error.status, error.body, request.id)
                if key and error.is_remembered:
                    with world.store.transaction():
                        self._remember(key, answer, request, form)
            finally:
                world.request = None
        return answer

    def _carry_out(self, request: Request, form: Form, unknown: str | None, fault: Fault | None) -> tuple[Answer, bool]:
        """The answer, and whether its key is remembered. Raises what undoes everything."""
        if unknown is not None:
            raise unknown_parameter(unknown)
        handler = routes.find(request.method, request.path)
        if handler is None:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            raise StripeError(404, message, is_remembered=False)
        if fault is not None and fault.status is not None and not fault.is_after:
            raise fault.error()
        params = Params(form)
        expand = params.strings("expand")
        try:
            shown = handler(self.world, params)
            params.refuse_the_unread()
            body = render(self.world.store, shown, expand)
            if fault is not None and fault.status is not None:
                raise fault.error()
        except StripeError as error:
            if not error.keeps_effects:
                raise
            return Answer(error.status, error.body, request.id), error.is_remembered
        return Answer(200, body, request.id), True

    def _remember(self, key: str, answer: Answer, request: Request, form: Form) -> None:
        idempotency.remember(self.world.store, key, answer, path=request.path, form=form, now=self.world.now)

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
