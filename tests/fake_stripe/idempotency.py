"""The same key gives the same answer for a day: successes, declined cards and stored 5xx alike."""

from dataclasses import dataclass

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.forms import Form
from tests.fake_stripe.objects import Object
from tests.fake_stripe.rendering import canonical
from tests.fake_stripe.store import Store

KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Answer:
    status: int
    body: Object
    request_id: str


def recall(store: Store, key: str, *, path: str, form: Form, now: int) -> Answer | None:
    """Raises where the key was used for something else."""
    kept = store.find("_idempotency", _id(key))
    if kept is None:
        return None
    if kept["created"] + KEPT_SECONDS <= now:
        store.remove(kept)
        return None
    if (kept["path"], kept["form"]) != (path, canonical(form)):
        raise StripeError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first used with."
            f" Try using a key other than '{key}' if you meant to execute a different request.",
            type="idempotency_error",
            is_remembered=False,
        )
    return Answer(kept["status"], kept["body"], kept["request_id"])


def remember(store: Store, key: str, answer: Answer, *, path: str, form: Form, now: int) -> None:
    store.add(
        {
            "object": "_idempotency",
            "id": _id(key),
            "path": path,
            "form": canonical(form),
            "created": now,
            "status": answer.status,
            "body": answer.body,
            "request_id": answer.request_id,
        }
    )


def _id(key: str) -> str:
    return f"_idempotency_{key}"
