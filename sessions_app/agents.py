"""The port behind which agents stand, and the simple one that is built in."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from sessions_app.models import Event, FailureKind


@dataclass(frozen=True)
class Task:
    """What an agent is asked to do."""

    session_id: str
    run_id: str
    prompt: str


@dataclass(frozen=True)
class Emission:
    """One event of a run. A `message` that `asks` as the last one leaves the session waiting for the user."""

    type: Event.Type
    data: dict[str, Any] = field(default_factory=dict)
    asks: bool = False


class AgentFailure(Exception):
    """The run ends here; the kind says whose doing it was, and with that whether it is charged."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Agent(Protocol):
    """Carries out one task. The worker closes the iterator when the user stopped the run.

    Raises AgentFailure; any other exception counts as the platform's failure.
    """

    def run(self, task: Task) -> Iterator[Emission]: ...


def agent() -> Agent:
    """The one that AGENT names."""
    made: Agent = import_string(settings.AGENT)()
    return made


class BuiltInAgent:
    """Needs no model: reads the prompt, says what it would do, and does it at a pace that a person can follow."""

    def run(self, task: Task) -> Iterator[Emission]:
        words = task.prompt.split()
        subject = " ".join(words[:12]) + ("…" if len(words) > 12 else "")
        steps = ["Read the request", "Plan the work", "Write the answer"]
        yield Emission(Event.Type.MESSAGE, {"role": "assistant", "text": f"I will work on this: {subject}"})
        for number, title in enumerate(steps, start=1):
            self._pace()
            yield Emission(Event.Type.STEP, {"number": number, "of": len(steps), "title": title})
        self._pace()
        text = (
            f"Done. Your request has {len(words)} words. I am the built-in agent and work without a model, "
            "so this answer shows the path of a run, not the thought of one."
        )
        yield Emission(Event.Type.MESSAGE, {"role": "assistant", "text": text})

    def _pace(self) -> None:
        threading.Event().wait(settings.AGENT_STEP_SECONDS)
