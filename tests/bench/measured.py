"""`python -m tests.bench.measured COMMAND ...` is manage.py, and says in a last line what memory it took at most."""

import json
import re
import sys
from pathlib import Path

from django.core.management import execute_from_command_line


def megabytes() -> float:
    """Of this program alone: what getrusage says has the parent's in it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    try:
        execute_from_command_line(["manage.py", *sys.argv[1:]])
    finally:
        sys.stderr.flush()
        print(f"\n{json.dumps({'megabytes': megabytes()})}", flush=True)
