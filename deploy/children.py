"""One child process of a launcher: its log, its end, and that it does not outlive the launcher."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.postgres import tethered

KILL_SECONDS = 10


@dataclass
class Child:
    """Writes to `log`, which is begun anew at each start; the one before is kept beside it."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str]
    folder: Path
    # What the system sends it when the launcher is killed.
    death_signal: str = "TERM"
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)
    bytes_read: int = field(default=0, init=False, repr=False)

    def start(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                tethered(self.command, self.death_signal),
                cwd=self.folder,
                env=self.environment | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C in the terminal reaches the launcher alone, which ends
                # its children in order.
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll() if self.process is not None else None

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and what it started."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def new_lines(self) -> list[str]:
        """The whole lines written since the last call."""
        with self.log.open("rb") as file:
            file.seek(self.bytes_read)
            content = file.read()
        whole, newline, _ = content.rpartition(b"\n")
        self.bytes_read += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines() if newline else []

    def last_lines(self, count: int = 12) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-count:])


def stop_all(children: list[Child]) -> None:
    """Asks all at once, then ends by force what has not ended in time."""
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + KILL_SECONDS
    for child in children:
        if child.process is not None:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            child.kill()
