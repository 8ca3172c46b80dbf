"""The Debian programs that checks, tests and benchmarks run: installed as root, otherwise asked for."""

import os
import shutil
import subprocess
import sys

# The program, and the Debian package that brings it.
PROGRAMS = {"chromium": "chromium", "redis-server": "redis-server", "wrk": "wrk", "xgettext": "gettext"}


def main() -> None:
    packages = missing()
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Missing: {', '.join(packages)}. Install with: sudo {' '.join(command)}")
    print(f"Installing {', '.join(packages)} ...", flush=True)
    # The lists of a fresh machine are empty or old, and then the package is not found.
    output = ""
    for step in (command, ["apt-get", "update"], command):
        finished = apt(step)
        output += finished.stdout
        if step is command and finished.returncode == 0:
            break
    packages = missing()
    if packages:
        sys.exit(f"{output}\nNot installed: {', '.join(packages)}. The command was: {' '.join(command)}")


def missing() -> list[str]:
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})


def apt(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        # Tests start servers of their own; the package must not start one beside them.
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    main()
