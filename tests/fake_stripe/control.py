"""What tests and the demo may ask of the stand-in itself, under /_control/; README.md describes it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.fake_stripe import webhooks
from tests.fake_stripe.api import Api
from tests.fake_stripe.billing import cards, checkout, disputes, due, invoices, methods
from tests.fake_stripe.billing.customers import new_customer
from tests.fake_stripe.billing.subscriptions import Terms, start
from tests.fake_stripe.errors import StripeError, invalid
from tests.fake_stripe.faults import Fault
from tests.fake_stripe.objects import Object, new_id
from tests.fake_stripe.pages import paying
from tests.fake_stripe.rendering import render
from tests.fake_stripe.webhooks import Sender
from tests.fake_stripe.world import World

MODES = ("deliver", "hold", "drop", "duplicate")
ORDERS = ("fifo", "reversed", "shuffled")
ENDS = ("canceled", "unpaid", "past_due")
MOST_AT_ONCE = 64
LONGEST_STEP = 10 * 366 * 24 * 3600
PAYING = {"authentication", "name"}


class Control:
    """Answers when the effects at the stand-in are done; deliveries follow."""

    def __init__(self, world: World, api: Api, sender: Sender) -> None:
        self.world = world
        self.api = api
        self.sender = sender
        #: By method and path: what answers, and the members of the body that it knows.
        self.routes: dict[tuple[str, str], tuple[Callable[..., Object], set[str]]] = {
            ("POST", r"/checkout/([^/]+)/pay"): (
                self.pay_checkout,
                {"card", "promotion_code", "email", "is_delayed", *PAYING},
            ),
            ("POST", r"/checkout/([^/]+)/settle"): (self.settle_checkout, {"outcome"}),
            ("POST", r"/invoices/([^/]+)/pay"): (self.pay_invoice, {"card", *PAYING}),
            ("POST", r"/invoices/([^/]+)/fail_finalization"): (self.fail_finalization, set()),
            ("POST", r"/refunds/([^/]+)/fail"): (self.fail_refund, set()),
            ("POST", r"/payment_methods/([^/]+)/update_automatically"): (
                self.update_payment_method,
                {"exp_month", "exp_year", "last4"},
            ),
            ("GET", r"/clock"): (self.clock, set()),
            ("POST", r"/clock"): (self.advance, {"advance"}),
            ("GET", r"/webhooks"): (self.deliveries, set()),
            ("POST", r"/webhooks"): (self.set_mode, {"mode"}),
            ("POST", r"/webhooks/release"): (self.release, {"order", "seed", "copies", "at_once"}),
            ("POST", r"/webhooks/settle"): (self.settle, {"seconds"}),
            ("GET", r"/faults"): (lambda _body: {"faults": self.api.faults.left()}, set()),
            ("POST", r"/faults"): (self.add_fault, {"path", "status", "timeout", "times", "after"}),
            ("DELETE", r"/faults"): (self.clear_faults, set()),
            ("POST", r"/disputes"): (self.dispute, {"charge", "outcome"}),
            ("POST", r"/subscribers"): (self.subscribe, {"customers", "price", "card", "over"}),
            ("POST", r"/dunning"): (self.set_dunning, {"end", "retry_days"}),
            ("GET", r"/requests"): (lambda _body: {"requests": self.api.requests()}, set()),
            ("DELETE", r"/requests"): (self.forget_requests, set()),
            ("GET", r"/violations"): (lambda _body: {"violations": list(self.world.checker.violations)}, set()),
            ("DELETE", r"/violations"): (self.forget_violations, set()),
            ("GET", r"/objects"): (self.objects, set()),
            ("POST", r"/reset"): (self.reset, {"keep_clock", "objects"}),
        }

    def answer(self, method: str, path: str, content: bytes) -> tuple[int, Object]:
        for (allowed, pattern), (act, members) in self.routes.items():
            match = re.fullmatch(pattern, path)
            if match and method == allowed:
                try:
                    body = json.loads(content or b"{}")
                    if not isinstance(body, dict):
                        raise invalid("The body must be a JSON object.")
                    for name in body.keys() - members:
                        known = ", ".join(f"`{each}`" for each in sorted(members)) or "none"
                        raise invalid(f"`{name}` is not a member of this call, which knows {known}.", param=name)
                    return 200, act(body, *match.groups())
                except StripeError as error:
                    return error.status, error.body
                except KeyError as error:
                    return 400, invalid(f"`{error.args[0]}` is missing.", param=str(error.args[0])).body
                except (TypeError, ValueError, re.error) as error:
                    return 400, invalid(f"{type(error).__name__}: {error}").body
        return 404, invalid(f"No such control: {method} {path}").body

    @contextmanager
    def _effects(self) -> Iterator[None]:
        """After what fell due by now, and in one transaction."""
        with self.world.lock:
            due.catch_up(self.world)
            with self.world.store.transaction():
                yield

    def pay_checkout(self, body: Object, id: str) -> Object:
        """As the page does. `authentication` is `pass` or `fail` where the card asks for it."""
        card = cards.by_number_or_name(str(body["card"]))
        with self._effects():
            session = self.world.store.get("checkout.session", id)
            if body.get("promotion_code"):
                checkout.add_promotion_code(self.world, session, body["promotion_code"])
            checkout.complete(
                self.world,
                session,
                card,
                is_authenticated=_is_authenticated(body),
                name=body.get("name", "Test Buyer"),
                email=body.get("email"),
                is_delayed=body.get("is_delayed") is True,
            )
            return render(self.world.store, session)

    def settle_checkout(self, body: Object, id: str) -> Object:
        """What came of a payment with `is_delayed`."""
        outcome = _one_of(body, "outcome", ("succeeded", "failed"))
        with self._effects():
            session = self.world.store.get("checkout.session", id)
            checkout.settle(self.world, session, has_come=outcome == "succeeded")
            return render(self.world.store, session)

    def fail_finalization(self, body: Object, id: str) -> Object:
        with self._effects():
            invoice = self.world.store.get("invoice", id)
            invoices.fail_finalization(self.world, invoice)
            return render(self.world.store, invoice)

    def fail_refund(self, body: Object, id: str) -> Object:
        with self._effects():
            refund = self.world.store.get("refund", id)
            disputes.fail_refund(self.world, refund)
            return render(self.world.store, refund)

    def update_payment_method(self, body: Object, id: str) -> Object:
        """With a later year where nothing is said."""
        with self._effects():
            method = self.world.store.get("payment_method", id)
            methods.update_automatically(self.world, method, {"exp_year": method["card"]["exp_year"] + 4} | body)
            return render(self.world.store, method)

    def pay_invoice(self, body: Object, id: str) -> Object:
        """As the invoice's page does: with a new card, or by authenticating the present one."""
        card = cards.by_number_or_name(str(body["card"])) if "card" in body else None
        with self._effects():
            invoice = self.world.store.get("invoice", id)
            paying.pay_invoice(
                self.world,
                invoice,
                card,
                is_authenticated=_is_authenticated(body),
                name=body.get("name", "Test Buyer"),
            )
            return render(self.world.store, invoice)

    def clock(self, body: Object) -> Object:
        return {"now": self.world.now, "offset": self.world.clock.offset}

    def advance(self, body: Object) -> Object:
        seconds = int(body["advance"])
        if not 0 <= seconds <= LONGEST_STEP:
            raise invalid("`advance` is a number of seconds, at most ten years; time does not go back.")
        with self.world.due:
            due.advance(self.world, seconds)
            # What is to be sent again may be due now.
            self.world.due.notify_all()
        return self.clock({})

    def deliveries(self, body: Object) -> Object:
        with self.world.lock:
            shown = []
            for one in self.world.store.all("_delivery"):
                event = self.world.store.find("event", one["event"])
                kept = {name: one[name] for name in ("event", "endpoint", "attempts", "due", "state", "answers")}
                shown.append(kept | {"type": event["type"] if event else None})
            return {"mode": self.world.options["webhook_mode"], "deliveries": shown}

    def set_mode(self, body: Object) -> Object:
        mode = _one_of(body, "mode", MODES)
        with self.world.lock, self.world.store.transaction():
            self.world.options["webhook_mode"] = mode
        return {"mode": mode}

    def release(self, body: Object) -> Object:
        order = _one_of(body, "order", ORDERS, "fifo")
        at_once = int(body.get("at_once", 1))
        if not 1 <= at_once <= MOST_AT_ONCE:
            raise invalid(f"`at_once` is a number from 1 to {MOST_AT_ONCE}.", param="at_once")
        with self.world.lock, self.world.store.transaction():
            sent = webhooks.release(
                self.world, order=order, seed=int(body.get("seed", 0)), copies=int(body.get("copies", 1))
            )
        self.sender.hasten(at_once)
        return {"released": sent}

    def settle(self, body: Object) -> Object:
        """Wait until every delivery that is due has been answered."""
        return {"settled": self.sender.settle(float(body.get("seconds", 10)))}

    def add_fault(self, body: Object) -> Object:
        if ("status" in body) == ("timeout" in body):
            raise invalid("A fault has either a `status` or a `timeout` in seconds.")
        fault = Fault(
            path=str(body["path"]),
            times=int(body.get("times", 1)),
            status=int(body["status"]) if "status" in body else None,
            seconds=float(body["timeout"]) if "timeout" in body else None,
            is_after=bool(body.get("after", False)),
        )
        re.compile(fault.path)
        self.api.faults.add(fault)
        return {"faults": self.api.faults.left()}

    def clear_faults(self, body: Object) -> Object:
        self.api.faults.clear()
        return {"faults": []}

    def dispute(self, body: Object) -> Object:
        outcome = _one_of(body, "outcome", disputes.OUTCOMES, "needs_response")
        with self._effects():
            charge = self.world.store.named("charge", body["charge"], "charge")
            return render(self.world.store, disputes.decide(self.world, charge, outcome))

    def subscribe(self, body: Object) -> Object:
        """Many at once and without events, as if they had been there for long; begun `over` the last seconds."""
        card = cards.by_number_or_name(str(body["card"]))
        over = int(body.get("over", 0))
        made = []
        for number, wanted in enumerate(body["customers"]):
            begun = self.world.now - over + over * number // len(body["customers"])
            with self.world.lock, self.world.clock.at(begun), self.world.silence(), self.world.store.transaction():
                customer = new_customer(self.world, email=wanted["email"], name=wanted.get("name"))
                customer["metadata"] = {name: str(value) for name, value in wanted.get("metadata", {}).items()}
                method = methods.make(self.world, card)
                methods.attach(self.world, method, customer)
                customer["invoice_settings"]["default_payment_method"] = method["id"]
                item = {"id": new_id("si", 14), "price": body["price"], "quantity": 1, "metadata": {}}
                terms = Terms(customer["id"], [item], payment_behavior="error_if_incomplete")
                made.append({"customer": customer["id"], "subscription": start(self.world, terms)["id"]})
        return {"subscribers": made}

    def set_dunning(self, body: Object) -> Object:
        """When a renewal is tried again, and what becomes of the subscription when all attempts have failed."""
        with self.world.lock, self.world.store.transaction():
            options = self.world.options
            options["dunning_end"] = _one_of(body, "end", ENDS, options["dunning_end"])
            if "retry_days" in body:
                options["retry_days"] = [int(day) for day in body["retry_days"]]
            return {"end": options["dunning_end"], "retry_days": options["retry_days"]}

    def forget_requests(self, body: Object) -> Object:
        self.api.forget_requests()
        return {"requests": []}

    def forget_violations(self, body: Object) -> Object:
        self.world.checker.violations.clear()
        return {"violations": []}

    def objects(self, body: Object) -> Object:
        """All that is kept, in the order in which it was made."""
        with self.world.lock:
            return {"objects": list(self.world.store.everything())}

    def reset(self, body: Object) -> Object:
        """Everything as at the first start, or with the `objects` that were kept once; the clock as well, unless
        `keep_clock` says otherwise."""
        objects = list(body.get("objects", []))
        with self.world.due:
            self.world.store.reset()
            with self.world.store.transaction():
                for obj in objects:
                    self.world.store.add(obj)
            if not body.get("keep_clock"):
                self.world.clock.reset()
            self.world.checker.violations.clear()
            self.api.faults.clear()
            self.api.forget_requests()
            self.world.prepare()
        return self.clock({})


def _is_authenticated(body: Object) -> bool:
    return _one_of(body, "authentication", ("pass", "fail"), "pass") == "pass"


def _one_of(body: Object, name: str, allowed: tuple[str, ...], default: Any = None) -> str:
    value = body.get(name, default)
    if value not in allowed:
        raise invalid(f"`{name}` must be one of {', '.join(allowed)}.", param=name)
    return str(value)
