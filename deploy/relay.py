"""What a person at the terminal should see of a child's log: warnings, tracebacks and mails."""

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage

TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
# Where Python's or gunicorn's log line names its level; further on it is part of a message.
LEVEL_COLUMNS = 80
# Both begin with the date and the time of day, one of them in brackets.
UP_TO_THE_MINUTE = len("2026-11-21 10:00")
# Django's console mail backend begins with the headers and ends with a ruler.
MAIL_BEGINS = re.compile(r"(Content-Type|MIME-Version): ")
MAIL_ENDS = "-" * 79
# A mail that never ends was none.
LONGEST_MAIL = 400


@dataclass
class Relay:
    """Feed it the log line by line; it yields what to show."""

    mail: list[str] = field(default_factory=list)
    is_in_traceback: bool = False
    last: tuple[str, str] = ("", "")

    def feed(self, line: str) -> Iterator[str]:
        if self.mail or MAIL_BEGINS.match(line):
            if line == MAIL_ENDS:
                yield from readable(self.mail)
                self.mail = []
            elif len(self.mail) < LONGEST_MAIL:
                self.mail.append(line)
            else:
                self.mail = []
        elif self.is_in_traceback:
            yield line
            self.is_in_traceback = line.startswith((" ", "\t")) or not line
        elif line.startswith("Traceback (most recent call last)"):
            self.is_in_traceback = True
            self.last = ("", "")
            yield line
        elif level := TROUBLE.search(line[:LEVEL_COLUMNS]):
            # A delivery that is refused is repeated within seconds, and says nothing new.
            last, self.last = self.last, (line.lstrip("[")[:UP_TO_THE_MINUTE], line[level.start() :])
            if self.last != last:
                yield line


def readable(lines: list[str]) -> Iterator[str]:
    """The mail as its reader sees it: to whom, about what, and the text."""
    message = email.message_from_string("\n".join(lines), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    yield f"Mail to {message['To']}: {message['Subject']}"
    body = message.get_body(preferencelist=("plain", "html"))
    text = str(body.get_content()) if body is not None else ""
    for line in text.strip().splitlines():
        yield f"  {line}"
