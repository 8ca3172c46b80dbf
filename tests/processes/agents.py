"""Agents for the tests' workers, named by AGENT."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sessions_app.agents import Emission, Task
from sessions_app.models import Event

POLL_SECONDS = 0.02
MOST_SECONDS = 120


class GatedAgent:
    """Reports a step, waits for a file named for the prompt's first word, and reports another.

    The files are in the folder that AGENT_GATES names; one named `all` lets everybody through.
    """

    def run(self, task: Task) -> Iterator[Emission]:
        yield Emission(Event.Type.STEP, {"number": 1, "of": 2, "title": "Wait"})
        folder = Path(os.environ["AGENT_GATES"])
        deadline = time.monotonic() + MOST_SECONDS
        while not any((folder / name).exists() for name in ("all", task.prompt.split()[0])):
            if time.monotonic() > deadline:
                raise TimeoutError("Nobody opened the gate.")
            threading.Event().wait(POLL_SECONDS)
        yield Emission(Event.Type.STEP, {"number": 2, "of": 2, "title": "Go on"})
