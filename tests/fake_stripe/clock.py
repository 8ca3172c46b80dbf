"""The stand-in's clock: the system's plus an offset, kept in a file that the application reads as its own."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Clock:
    """Unix seconds. The offset only ever grows, until `reset`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._instant: int | None = None
        try:
            self._offset = float(path.read_text(encoding="ascii") or 0)
        except FileNotFoundError:
            self._offset = 0.0

    def now(self) -> int:
        return int(time.time() + self._offset) if self._instant is None else self._instant

    @contextmanager
    def at(self, instant: int) -> Iterator[None]:
        """The present while something that fell due then is carried out."""
        before, self._instant = self._instant, instant
        try:
            yield
        finally:
            self._instant = before

    @property
    def offset(self) -> float:
        return self._offset

    def advance(self, seconds: float) -> None:
        self._write(self._offset + seconds)

    def reset(self) -> None:
        self._write(0.0)

    def _write(self, offset: float) -> None:
        self._offset = offset
        unfinished = self.path.with_name(self.path.name + ".new")
        unfinished.write_text(f"{offset:.3f}", encoding="ascii")
        os.replace(unfinished, self.path)  # noqa: PTH105 - the atomic rename by its own name
