"""The catalogues under locale/: brought up to date by `make messages`, proven current by `make check`.

A catalogue is current when it has every sentence of the sources and no other, each of them
translated, and when its compiled form says the same. English is what the sources are written in.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("accounts", "billing", "config", "sessions_app", "templates")
LANGUAGES = ("de",)
MOST_SHOWN = 20


def main() -> None:
    if sys.argv[1:] == ["--update"]:
        for language in LANGUAGES:
            update(language)
        return
    wrong = [sentence for language in LANGUAGES for sentence in check(language)]
    if wrong:
        shown = wrong[:MOST_SHOWN]
        if len(wrong) > len(shown):
            shown.append(f"... and {len(wrong) - len(shown)} more.")
        sys.exit("\n".join([*shown, "`make messages` brings the catalogues up to date; the translation is yours."]))


def update(language: str) -> None:
    """New sentences come without a translation, and those that are gone go; then the compiled form is written."""
    po, mo = paths(language)
    with tempfile.TemporaryDirectory() as folder:
        lines = extracted(language, Path(folder)).read_text(encoding="utf-8").splitlines(keepends=True)
    # Without the instant, a run that finds nothing new writes nothing new.
    po.write_text("".join(line for line in lines if "POT-Creation-Date" not in line), encoding="utf-8")
    catalogue = read(po)
    mo.write_bytes(compiled(catalogue))
    missing = sum(1 for message in said(catalogue) if not is_translated(message))
    print(f"{po.relative_to(ROOT)}: {len(list(said(catalogue)))} sentences, {missing} to translate.")


def check(language: str) -> list[str]:
    """What is wrong, a sentence each."""
    po, mo = paths(language)
    catalogue = read(po)
    name = po.relative_to(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        wanted = set(texts(read(extracted(language, Path(folder)))))
    here = texts(catalogue)
    wrong = [f"{name} lacks {text!r}." for text in sorted(wanted - here.keys())]
    wrong += [f"{name} has {text!r}, which is said nowhere." for text in sorted(here.keys() - wanted)]
    for message in said(catalogue):
        if not is_translated(message):
            wrong.append(f"{name}: {message.id!r} is not translated.")
        elif placeholders(message.id) != placeholders(message.string):
            wrong.append(f"{name}: {message.id!r} is translated with other placeholders.")
        wrong += [f"{name}: {message.id!r}: {error}" for error in message.check(catalogue)]
    if mo.read_bytes() != compiled(catalogue):
        wrong.append(f"{mo.relative_to(ROOT)} is not what {name} compiles to.")
    return wrong


def extracted(language: str, folder: Path) -> Path:
    """The catalogue as the sources want it, written in a copy of them."""
    for source in (*SOURCES, "locale"):
        shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__", "migrations"))
    command = [sys.executable, "-m", "django", "makemessages", f"--locale={language}"]
    command += ["--no-location", "--no-obsolete", "--no-wrap", "--verbosity=0"]
    # It reads the sources alone: settings that the environment names have no part in it.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        sys.exit(f"makemessages failed:\n{finished.stdout}{finished.stderr}")
    return folder / paths(language)[0].relative_to(ROOT)


def paths(language: str) -> tuple[Path, Path]:
    folder = ROOT / "locale" / language / "LC_MESSAGES"
    return folder / "django.po", folder / "django.mo"


def read(po: Path) -> Catalog:
    with po.open("rb") as file:
        return read_po(file)


def compiled(catalogue: Catalog) -> bytes:
    # The instant that Babel would put there makes no two compilations equal.
    catalogue.creation_date = datetime.fromtimestamp(0, UTC)
    file = BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def said(catalogue: Catalog) -> list[Message]:
    """Without its header."""
    return [message for message in catalogue if message.id]


def texts(catalogue: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    """What is said, with its plural and its context, and how it is translated."""
    return {(*forms(message.id), message.context or ""): forms(message.string) for message in said(catalogue)}


def forms(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text or "",) if isinstance(text, str | None) else tuple(text)


def placeholders(text: str | tuple[str, ...] | list[str] | None) -> set[str]:
    return {found for form in forms(text) for found in re.findall(r"%\(\w+\)", form)}


def is_translated(message: Message) -> bool:
    return not message.fuzzy and all(forms(message.string))


if __name__ == "__main__":
    main()
