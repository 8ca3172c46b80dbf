"""Starts a program that ends when the process that asked for it ends, even by kill -9.

Run as a script: `python tether.py --signal INT --parent PID [--uid N --gid N] -- PROGRAM ARGS`.
On Linux the kernel is asked to send the signal when the parent thread dies (prctl, PR_SET_PDEATHSIG),
so the parent must start it from a thread that lives as long as it does: the main one. Other systems
have no such call; there the next start finds and replaces what was left behind.

It is a script of its own because `preexec_fn` is not safe in a process that has threads, and because
the user that PostgreSQL runs as may have no right to read the Python interpreter.
"""

import argparse
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--signal", default="TERM")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()
    if arguments.uid is not None:
        become(arguments.uid, arguments.gid)
    # After the change of user, which would clear it.
    die_with_parent(signal.Signals[f"SIG{arguments.signal}"])
    if os.getppid() != arguments.parent:
        sys.exit("The process that started this one has already ended.")
    os.execv(arguments.program[0], arguments.program)  # noqa: S606 - replacing this process is the point


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(death_signal: signal.Signals) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


if __name__ == "__main__":
    main()
