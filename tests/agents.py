"""Agents for tests, chosen by the AGENT setting: what they do is in the prompt."""

from collections.abc import Iterator

from sessions_app.agents import AgentFailure, Emission, Task
from sessions_app.models import Event, FailureKind


class ScriptedAgent:
    """Prompts: `fail <kind>` ends so, `crash` trips, `ask` asks the user, anything else is answered."""

    def run(self, task: Task) -> Iterator[Emission]:
        word, _, rest = task.prompt.partition(" ")
        yield Emission(Event.Type.STEP, {"number": 1, "of": 1, "title": "Read the script"})
        match word:
            case "fail":
                raise AgentFailure(FailureKind(rest), f"It ended by {rest}.")
            case "crash":
                raise ZeroDivisionError
            case "ask":
                yield Emission(Event.Type.MESSAGE, {"role": "assistant", "text": "Which one?"}, asks=True)
            case _:
                yield Emission(Event.Type.MESSAGE, {"role": "assistant", "text": f"Answer to: {task.prompt}"})
