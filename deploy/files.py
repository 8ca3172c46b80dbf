"""Small files that must be whole and private: written to a neighbour first, then renamed over."""

import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path

MINIMUM_FREE_BYTES = 500 * 1024 * 1024


class LaunchError(Exception):
    """One sentence for the person at the terminal; the launcher prints it and exits with 1."""


def write_private(path: Path, text: str) -> None:
    """Replaces `path` in one step, readable by its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def make_folder(path: Path) -> None:
    """Makes `path`, or raises LaunchError when it cannot be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LaunchError(f"The folder {path} cannot be made: {reason(error)}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise LaunchError(f"The folder {path} cannot be written to by this user.")


def require_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < MINIMUM_FREE_BYTES:
        raise LaunchError(
            f"The disk that holds {path} is full: {free // 1024**2} MB are free and"
            f" {MINIMUM_FREE_BYTES // 1024**2} MB are needed."
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise LaunchError(f"Port {port} cannot be used: {reason(error)}.") from error
    return True


def reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    return (error.strerror or str(error)).lower()
