"""What reaches the terminal of the demo, and the file that keeps its environment."""

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import environ
import pytest
from django.core.mail import EmailMultiAlternatives
from django.utils.module_loading import import_string

from config.settings import mailer
from deploy import demo_env
from deploy.files import LaunchError
from deploy.relay import Relay


def shown(text: str) -> list[str]:
    relay = Relay()
    return [line for given in text.splitlines() for line in relay.feed(given)]


@pytest.fixture
def sent(tmp_path: Path) -> Callable[..., str]:
    """What the demo's worker writes when it sends this text, by the backend that the demo's environment names."""
    backend = import_string(mailer(make(tmp_path / "demo.env")["EMAIL_URL"])["BACKEND"])

    def send(body: str, *to: str) -> str:
        stream = StringIO()
        message = EmailMultiAlternatives(subject="Choose a new password", body=body, to=to or ["bob@example.com"])
        message.attach_alternative("<p>Not for a terminal.</p>", "text/html")
        assert backend(alias="default", stream=stream).send_messages([message]) == 1
        return stream.getvalue()

    return send


LINK = "http://127.0.0.1:8000/accounts/password/reset/key/" + "abc" * 60


def test_a_mail_is_shown_as_its_reader_sees_it(sent: Callable[..., str]) -> None:
    first = sent(f"Open this page:\n\n{LINK}\n")
    second = sent("To: be read.", "ann@example.com", "bob@example.com")
    assert shown(f"ordinary\n{first}ordinary\n{second}{first}ordinary") == [
        *("Mail to bob@example.com: Choose a new password", "  Open this page:", "  ", f"  {LINK}"),
        *("Mail to ann@example.com, bob@example.com: Choose a new password", "  To: be read."),
        *("Mail to bob@example.com: Choose a new password", "  Open this page:", "  ", f"  {LINK}"),
    ]


def test_what_is_no_mail_hides_no_trouble_and_no_mail(sent: Callable[..., str]) -> None:
    mail = sent("Short.")
    rule = mail.splitlines()[0]
    trouble = "2026-11-21 10:00:00 WARNING billing a counter is off"
    seen = ["Mail to bob@example.com: Choose a new password", "  Short."]
    assert shown(f"{rule}\n{trouble}\n{rule}\n{mail}") == [trouble, *seen]
    # One that is longer than any mail is not kept back for ever.
    assert shown(f"{sent('x' + chr(10) * 500 + 'x')}{mail}{trouble}") == [*seen, trouble]


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


def test_a_warning_that_repeats_itself_is_shown_once_a_minute() -> None:
    again = [f"2026-11-21 10:{time} WARNING web refused" for time in ("00:01,1", "00:02,1", "01:00,0")]
    other = "2026-11-21 10:00:59,1 WARNING web accepted"
    trace = ["Traceback (most recent call last):", "ValueError: no"]
    assert shown("\n".join([*again, other, other])) == [again[0], again[2], other]
    assert shown("\n".join([again[0], *trace, again[1]])) == [again[0], *trace, again[1]]


OWN_KEY = "sk_test_0123456789abcdefABCDEF01"


def make(path: Path, password: str | None = None, **stripe: str) -> dict[str, str]:
    environment = stripe if password is None else stripe | {"DEMO_PASSWORD": password}
    return demo_env.make(
        path, port=8000, stripe_port=12111, database_url="postgres://a:b@127.0.0.1:5/c", environment=environment
    )


def test_keys_and_password_outlive_a_restart_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    first = make(path)
    assert make(path) == first
    assert len(first["SECRET_KEY"]) >= 50
    assert re.fullmatch(r"sk_test_[a-zA-Z0-9]{24,}", first["STRIPE_SECRET_KEY"])
    assert re.fullmatch(r"whsec_[a-zA-Z0-9]{24,}", first["STRIPE_WEBHOOK_SECRET"])
    another = make(tmp_path / "another.env")
    for name in ("SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "DEMO_PASSWORD"):
        assert another[name] != first[name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make(path, "chosen")["DEMO_PASSWORD"] == "chosen"
    assert make(path)["DEMO_PASSWORD"] == "chosen"
    assert make(path) == first | {"DEMO_PASSWORD": "chosen"}


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


@pytest.mark.parametrize("name", ["DEMO_PASSWORD", "STRIPE_AUTOMATIC_TAX"])
def test_a_value_of_several_lines_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LaunchError, match=f"{name} must be one line"):
        make(tmp_path / "demo.env", **{name: "a\nDEBUG=off"})
    assert not (tmp_path / "demo.env").exists()


def test_of_a_developer_s_account_all_is_kept_and_of_the_stand_in_nothing(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    at_the_stand_in = make(path)
    account = {
        "STRIPE_SECRET_KEY": OWN_KEY,
        "STRIPE_WEBHOOK_SECRET": "whsec_mine",
        "STRIPE_PRICE_ID_BASIC": "price_basic",
        "STRIPE_PRICE_ID_PRO_YEARLY": "price_pro_yearly",
        "STRIPE_PROMOTION_CODES": "on",
    }
    written = make(path, **account, STRIPE_PORT="12111")
    assert {name: value for name, value in written.items() if name.startswith("STRIPE_")} == account
    assert "CLOCK_OFFSET_FILE" not in written
    assert demo_env.read(path) == written
    assert written["SECRET_KEY"] == at_the_stand_in["SECRET_KEY"]

    back = make(path)
    assert OWN_KEY not in path.read_text()
    assert "whsec_mine" not in path.read_text()
    assert set(back) == set(at_the_stand_in)


def test_at_the_stand_in_only_the_options_of_the_environment_count(tmp_path: Path) -> None:
    given = {"STRIPE_SECRET_KEY": " ", "STRIPE_WEBHOOK_SECRET": "whsec_mine", "STRIPE_PRICE_ID_PRO": "price_pro"}
    written = make(tmp_path / "demo.env", **given, STRIPE_AUTOMATIC_TAX="on", STRIPE_API_HOST="https://elsewhere")
    assert "STRIPE_PRICE_ID_PRO" not in written
    assert written["STRIPE_WEBHOOK_SECRET"] != "whsec_mine"
    assert written["STRIPE_API_HOST"] == "http://127.0.0.1:12111"
    assert written["STRIPE_AUTOMATIC_TAX"] == "on"


@pytest.mark.parametrize("kind", ["sk", "rk"])
def test_a_live_key_is_refused_and_not_repeated(tmp_path: Path, kind: str) -> None:
    key = f"{kind}_live_0123456789abcdefABCDEF01"
    with pytest.raises(LaunchError, match="is a live key") as refusal:
        make(tmp_path / "demo.env", STRIPE_SECRET_KEY=key)
    assert key not in str(refusal.value)
    assert not (tmp_path / "demo.env").exists()
