"""What reaches the terminal of the demo, and the file that keeps its environment."""

import os
import shlex
import stat
import subprocess
from pathlib import Path

import environ
import pytest

from deploy import demo_env
from deploy.files import LaunchError
from deploy.relay import Relay

MAIL = (
    """\
Content-Type: text/plain; charset="utf-8"
MIME-Version: 1.0
Content-Transfer-Encoding: 7bit
Subject: Choose a new password
From: AI-Manus <no-reply@example.com>
To: bob@example.com
Date: Fri, 21 Nov 2026 10:00:00 -0000
Message-ID: <1@example.com>

Open this page:

http://127.0.0.1:8000/accounts/password/reset/key/abc/

"""
    + "-" * 79
)


def shown(text: str) -> list[str]:
    relay = Relay()
    return [line for given in text.splitlines() for line in relay.feed(given)]


def test_a_mail_is_shown_as_its_reader_sees_it() -> None:
    assert shown(MAIL + "\nordinary") == [
        "Mail to bob@example.com: Choose a new password",
        "  Open this page:",
        "  ",
        "  http://127.0.0.1:8000/accounts/password/reset/key/abc/",
    ]


def test_warnings_and_tracebacks_are_shown_and_the_rest_is_not() -> None:
    trouble = [
        "2026-11-21 10:00:00 WARNING billing a counter is off",
        "Traceback (most recent call last):",
        '  File "jobs.py", line 1, in run',
        "ValueError: no",
        "[2026-11-21 10:00:00 +0000] [7] [ERROR] Exception in worker process",
    ]
    quiet = ["2026-11-21 10:00:00 INFO billing " + "x" * 80 + " ERROR", "plain words"]
    assert shown("\n".join([quiet[0], *trouble, quiet[1]])) == trouble


def make(path: Path, password: str | None = None) -> dict[str, str]:
    return demo_env.make(path, port=8000, database_url="postgres://a:b@127.0.0.1:5/c", password=password)


def test_keys_and_password_outlive_a_restart_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    first = make(path)
    assert make(path) == first
    assert len(first["SECRET_KEY"]) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make(path, "chosen")["DEMO_PASSWORD"] == "chosen"
    assert make(path)["DEMO_PASSWORD"] == "chosen"
    assert make(path)["SECRET_KEY"] == first["SECRET_KEY"]


def test_django_environ_and_a_shell_read_the_file_as_it_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a $HOME `of` \"mine\" # and 'yours'"
    folder.mkdir()
    values = make(folder / "demo.env", "pass word\\$1")
    assert demo_env.read(folder / "demo.env") == values
    for name in values:
        monkeypatch.delenv(name, raising=False)
    environ.Env.read_env(folder / "demo.env")
    assert {name: os.environ[name] for name in values} == values
    for name in values:
        monkeypatch.delenv(name)
    script = f'set -a; . {shlex.quote(str(folder / "demo.env"))}; printf %s "$CLOCK_OFFSET_FILE$DEMO_PASSWORD"'
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == values["CLOCK_OFFSET_FILE"] + values["DEMO_PASSWORD"]


def test_a_password_of_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="one line"):
        make(tmp_path / "demo.env", "a\nDEBUG=off")
    assert not (tmp_path / "demo.env").exists()
