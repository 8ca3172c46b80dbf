"""The viewer's language: pages and mails speak it, the API is English, and no sentence is left untranslated."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.template import Context, Template
from django.urls import reverse
from django.utils import translation

from accounts import clock, jobs
from accounts.models import User
from deploy import translations
from tests.accounts.browsers import Browser, browser_of
from tests.billing.facts import at
from tests.billing.meter import consume
from tests.people import Person

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.fixture
def now(travel: Callable[[timedelta], datetime]) -> datetime:
    return travel(at(2026, 11, 20, 12) - clock.now())


@pytest.fixture
def german(bob: Person) -> Browser:
    """Bob's browser, with German as its language."""
    browser = browser_of(bob.user)
    browser.cookies["django_language"] = "de"
    return browser


def words(html: str) -> str:
    """As they are read: without tags, each gap one space."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def spend_all_runs(person: Person) -> None:
    for _ in range(10):
        consume(person.workspace, at(2026, 11, 18))


# Pages


@pytest.mark.parametrize(
    ("header", "language", "heading"),
    [
        ("", "en", "Plans and prices"),
        ("en-GB,en;q=0.8,de;q=0.5", "en", "Plans and prices"),
        ("fr", "en", "Plans and prices"),
        ("de", "de", "Tarife und Preise"),
        ("de-CH,de;q=0.9,en;q=0.5", "de", "Tarife und Preise"),
        ("fr,de;q=0.5", "de", "Tarife und Preise"),
    ],
)
def test_a_page_speaks_what_the_browser_asks_for(header: str, language: str, heading: str, db: None) -> None:
    answer = Browser(**{"Accept-Language": header}).get("/pricing")
    page = answer.content.decode()
    assert (f'<html lang="{language}">' in page, f">{heading}</h1>" in page) == (True, True)
    assert answer["Content-Language"] == language
    assert {"Accept-Language", "Cookie"} <= {name.strip() for name in answer["Vary"].split(",")}


@pytest.mark.parametrize(
    ("asked", "chosen", "heading"), [("en", "de", "Tarife und Preise"), ("de", "en", "Plans and prices")]
)
def test_the_switch_at_the_foot_outweighs_what_the_browser_asks_for(
    asked: str, chosen: str, heading: str, db: None
) -> None:
    browser = Browser(**{"Accept-Language": asked})
    answer = browser.send(reverse("set_language"), {"language": chosen, "next": "/pricing"}, on="/pricing")
    assert answer["Location"] == "/pricing"
    answer = browser.get("/pricing")
    assert (answer["Content-Language"], f">{heading}</h1>" in answer.content.decode()) == (chosen, True)


def test_languages_are_named_in_themselves(db: None) -> None:
    for language in ("en", "de"):
        page = Browser(**{"Accept-Language": language}).says("/pricing")
        assert (">English</button>" in page, ">Deutsch</button>" in page) == (True, True)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "$49.00 $49 1,234 1 December 2026 1 December 2026, 17:40 1 December"),
        ("de", "49,00 $ 49 $ 1.234 1. Dezember 2026 1. Dezember 2026, 17:40 1. Dezember"),
    ],
)
def test_money_numbers_and_dates_have_the_form_of_the_language(language: str, said: str) -> None:
    template = Template(
        "{% load billing %}{% autoescape off %}"
        "{{ 4900|money:'usd' }} {{ 4900|price:'usd' }} {{ 1234 }} {{ at|day }} {{ at|moment }} {{ at|short_day }}"
        "{% endautoescape %}"
    )
    with translation.override(language):
        shown = template.render(Context({"at": at(2026, 12, 1, 17) + timedelta(minutes=40)}))
    assert words(shown) == said


def test_a_page_says_days_runs_and_prices_in_german(bob: Person, german: Browser, now: datetime) -> None:
    consume(bob.workspace, at(2026, 11, 18))
    page = words(german.says("/billing/"))
    assert "1 von 10 Läufen" in page
    assert "Übrig 9 Läufe" in page
    assert "in 11 Tagen 1. Dezember 2026, 00:00" in page
    assert "49 $ pro Monat" in words(german.says("/pricing"))


@pytest.mark.parametrize(
    ("zone", "reset"),
    [
        ("Europe/Berlin", "1. Dezember 2026, 01:00"),
        ("America/New_York", "30. November 2026, 19:00"),
        ("UTC", "1. Dezember 2026, 00:00"),
        # Neither a zone nor a path.
        ("Mars/Olympus", "1. Dezember 2026, 00:00"),
        ("../../../etc/localtime", "1. Dezember 2026, 00:00"),
    ],
)
def test_times_are_those_of_the_viewers_zone(zone: str, reset: str, german: Browser, now: datetime) -> None:
    german.cookies["zone"] = zone
    assert reset in words(german.says("/billing/"))


def test_why_no_run_is_left_is_said_in_german(bob: Person, german: Browser, now: datetime) -> None:
    spend_all_runs(bob)
    german.cookies["zone"] = "America/New_York"
    assert (
        "Sie haben alle 10 Läufe des Tarifs Free für November verbraucht. Am 30. November 2026 beginnt die Zählung neu;"
        " ein höherer Tarif gibt Ihnen sofort mehr." in words(german.says("/sessions/"))
    )


def test_a_refusal_of_the_domain_is_said_in_german(german: Browser) -> None:
    german.send("/billing/trial", {"once": "first"}, on="/billing/")
    assert "Ihre Testphase hat begonnen: 50 Läufe bis zum" in words(german.says("/billing/"))
    german.send("/billing/trial", {"once": "second"}, on="/billing/")
    assert "Die Testphase wurde schon genutzt; jede Person hat eine." in words(german.says("/billing/"))


# The API


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/sessions", {"prompt": "Hello"}, 402, "You have used all 10 runs of the Free plan for November. They reset"),
        ("/billing/cancel", {}, 503, "Plans cannot be bought here yet: billing is not set up. Everything else works."),
        ("/auth/register", {"email": "x", "password": "", "fullname": "X"}, 400, "Enter a valid email address."),
    ],
)
def test_the_api_is_english_whatever_is_asked_for(
    path: str, body: dict[str, Any], status: int, sentence: str, bob: Person, german: Browser, now: datetime
) -> None:
    spend_all_runs(bob)
    plain = bob.post(path, body)
    assert (plain.status_code, sentence in plain.content.decode()) == (status, True)
    # On a thread that has just spoken German, too.
    assert german.get("/billing/")["Content-Language"] == "de"
    asked = bob.post(path, body, **GERMAN)
    assert (asked.status_code, asked.content) == (status, plain.content)
    assert "Content-Language" not in asked


# Mails


@pytest.mark.parametrize(
    ("language", "subject", "greeting"),
    [
        ("", "Confirm your e-mail address for AI-Manus", "Hello Bob,"),
        ("en", "Confirm your e-mail address for AI-Manus", "Hello Bob,"),
        ("de", "Bestätigen Sie Ihre E-Mail-Adresse für AI-Manus", "Guten Tag Bob,"),
    ],
)
def test_a_mail_speaks_the_language_that_the_person_chose(
    language: str, subject: str, greeting: str, bob: Person
) -> None:
    User.objects.filter(pk=bob.user.pk).update(language=language)
    jobs.send_verification(user_id=str(bob.user.pk))
    assert (mail.outbox[0].subject, str(mail.outbox[0].body).splitlines()[0]) == (subject, greeting)
    assert translation.get_language() == "en"


# The catalogues


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one, whose three sentences are all translated."""
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    for source in translations.SOURCES:
        (tmp_path / source).mkdir()
    (tmp_path / "locale/de/LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "accounts/words.py").write_text(
        "from django.utils.translation import gettext as _\n"
        "from django.utils.translation import ngettext\n"
        'hello = _("Hello %(name)s")\n'
        'runs = ngettext("%(count)s run", "%(count)s runs", 2)\n'
    )
    (tmp_path / "templates/page.html").write_text('{% translate "Open" context "of a bill" %}')
    translations.update("de")
    po = tmp_path / "locale/de/LC_MESSAGES/django.po"
    translate(po, "Hello %(name)s", "Hallo %(name)s")
    translate(po, "Open", "Offen")
    text = po.read_text()
    text = text.replace('msgstr[0] ""', 'msgstr[0] "%(count)s Lauf"').replace(
        'msgstr[1] ""', 'msgstr[1] "%(count)s Läufe"'
    )
    po.write_text(text)
    translations.update("de")
    return tmp_path


def translate(po: Path, english: str, german: str) -> None:
    before, _, after = po.read_text().partition(f'msgid "{english}"\nmsgstr "')
    assert after, english
    po.write_text(f'{before}msgid "{english}"\nmsgstr "{german}"{after[after.index(chr(10)) :]}')


PO, MO = "locale/de/LC_MESSAGES/django.po", "locale/de/LC_MESSAGES/django.mo"


def test_a_complete_catalogue_is_current_and_bringing_it_up_to_date_changes_nothing(project: Path) -> None:
    assert translations.check("de") == []
    before = (project / PO).read_bytes(), (project / MO).read_bytes()
    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC)):
        translations.update("de")
        assert translations.check("de") == []
    assert ((project / PO).read_bytes(), (project / MO).read_bytes()) == before


def test_a_new_sentence_is_missed(project: Path) -> None:
    (project / "templates/other.html").write_text('{% translate "Pay" %}')
    assert translations.check("de") == [f"{PO} lacks ('Pay', '')."]
    translations.update("de")
    assert translations.check("de") == [f"{PO}: 'Pay' is not translated."]


def test_a_sentence_that_is_said_nowhere_is_found(project: Path) -> None:
    (project / "templates/page.html").unlink()
    assert translations.check("de") == [f"{PO} has ('Open', 'of a bill'), which is said nowhere."]
    translations.update("de")
    assert translations.check("de") == []


@pytest.mark.parametrize(
    ("german", "wrong"),
    [("", "is not translated"), ("Hallo", "other placeholders"), ("Hallo %(name)d", "incompatible format")],
)
def test_a_sentence_without_a_translation_to_rely_on_is_found(german: str, wrong: str, project: Path) -> None:
    translate(project / PO, "Hello %(name)s", german)
    translations.update("de")
    (found,) = translations.check("de")
    assert found.startswith(f"{PO}: 'Hello %(name)s'")
    assert wrong in found


def test_a_translation_that_is_only_guessed_is_found(project: Path) -> None:
    po = project / PO
    po.write_text(po.read_text().replace('#, python-format\nmsgid "Hello', '#, fuzzy, python-format\nmsgid "Hello'))
    translations.update("de")
    assert f"{PO}: 'Hello %(name)s' is not translated." in translations.check("de")


def test_a_translation_that_is_not_compiled_is_found(project: Path) -> None:
    translate(project / PO, "Open", "Unbezahlt")
    assert translations.check("de") == [f"{MO} is not what {PO} compiles to."]
