"""Refusals, in Stripe's envelope."""

from typing import Any

from tests.fake_stripe.objects import Object


class StripeError(Exception):
    """An answer other than 2xx. With `keeps_effects` what was done before it stays, as after a declined charge."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps_effects: bool = False,
        is_remembered: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps_effects = keeps_effects
        self.is_remembered = is_remembered  # under the request's idempotency key
        named = {"code": code, "message": message, "param": param, "type": type, **rest}
        self.fields = {name: value for name, value in named.items() if value is not None}

    @property
    def body(self) -> Object:
        return {"error": self.fields}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(400, message, param=param, code=code)


def missing(kind: str, id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """`kind` in Stripe's words: customer, price, checkout.session."""
    return StripeError(status, f"No such {kind}: '{id}'", code="resource_missing", param=param)


def unknown_parameter(name: str) -> StripeError:
    message = f"Received unknown parameter: {name}"
    return StripeError(400, message, code="parameter_unknown", param=name, is_remembered=False)


def required(name: str) -> StripeError:
    message = f"Missing required param: {name}."
    return StripeError(400, message, code="parameter_missing", param=name, is_remembered=False)


def card_error(message: str, *, code: str, decline_code: str | None = None, **rest: Any) -> StripeError:
    return StripeError(402, message, type="card_error", code=code, decline_code=decline_code, **rest)
