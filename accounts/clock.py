"""The domain's clock: the system's, plus the offset that time travel writes in the demo and in tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

_seen: tuple[str, int, timedelta] = ("", 0, timedelta())


def now() -> datetime:
    """The present domain instant, aware, in UTC.

    Views, jobs and commands call it once and hand the instant down. Tokens, cookies, rate
    limits and idempotency keys stay on the wall clock and never ask here.
    """
    return datetime.now(UTC) + offset()


def offset() -> timedelta:
    """What CLOCK_OFFSET_FILE holds, in seconds; zero when the setting or the file is missing."""
    global _seen
    path = settings.CLOCK_OFFSET_FILE
    if not path:
        return timedelta()
    try:
        modified = Path(path).stat().st_mtime_ns
    except FileNotFoundError:
        return timedelta()
    if _seen[:2] != (path, modified):
        _seen = (path, modified, timedelta(seconds=float(Path(path).read_text(encoding="ascii") or 0)))
    return _seen[2]
