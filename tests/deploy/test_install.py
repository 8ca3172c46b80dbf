"""What somebody meets who types `make demo` on a machine that is not ready for it."""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy import packages

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL = ROOT / "deploy" / "install.py"


def old_python() -> str | None:
    """An interpreter that is too old, where the machine has one."""
    names = [f"python3.{minor}" for minor in (6, 7, 8, 9, 10, 11)]
    candidates = [shutil.which(name) for name in names]
    candidates += [str(path) for path in Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python3")]
    candidates += [str(path) for path in Path.home().glob(".pyenv/versions/3.1[01].*/bin/python3")]
    asks_version = [
        "-c",
        "import sys; sys.exit(sys.version_info >= (3, 12))",
    ]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, *asks_version], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def test_an_old_python_is_told_so_in_one_sentence() -> None:
    # Without an old interpreter this very one plays it.
    pretend = (
        "import sys; sys.version_info = (3, 11, 7); import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    old = old_python()
    command = [old, str(INSTALL)] if old else [sys.executable, "-c", pretend, str(INSTALL)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1
    assert "needs Python 3.12 or newer" in finished.stderr


def test_the_installer_parses_on_a_very_old_python() -> None:
    ast.parse(INSTALL.read_text(), feature_version=(3, 6))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose name has a space and whose pins are a single package."""
    root = tmp_path / "a checkout"
    (root / "deploy").mkdir(parents=True)
    shutil.copy(INSTALL, root / "deploy")
    (root / "requirements-dev.txt").write_text("")
    (root / "requirements-stripe-spec.txt").write_text("")
    return root


def install(checkout: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "deploy/install.py"],
        cwd=checkout,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def wheel(folder: Path) -> str:
    """Makes a package of one empty module there, and returns its hash."""
    path = folder / "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probe.py", "")
        archive.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        archive.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("probe-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_what_the_pins_describe_is_installed_and_a_failed_start_is_begun_anew(checkout: Path) -> None:
    right_hash = wheel(checkout)
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(checkout.as_uri())}
    stamp = checkout / ".venv" / "installed"
    imports_probe = [str(checkout / ".venv" / "bin" / "python"), "-c", "import probe"]
    (checkout / "requirements.txt").write_text("probe==1.0 --hash=sha256:" + "0" * 64)
    refused = install(checkout, **offline)
    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not stamp.exists()
    assert subprocess.run(imports_probe, capture_output=True, check=False).returncode == 1

    (checkout / "requirements.txt").write_text(f"probe==1.0 --hash=sha256:{right_hash}\n")
    assert install(checkout, **offline).returncode == 0
    assert subprocess.run(imports_probe, capture_output=True, check=False).returncode == 0
    first = stamp.stat().st_mtime_ns
    again = install(checkout, **offline)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert stamp.stat().st_mtime_ns == first


def test_a_missing_program_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    with pytest.raises(SystemExit) as stopped:
        packages.main()
    assert "sudo apt-get install" in str(stopped.value)
    assert "redis-server wrk" in str(stopped.value)
