"""What a person at the terminal should see of a child's log: warnings, tracebacks and mails."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
# Where Python's or gunicorn's log line names its level; further on it is part of a message.
LEVEL_COLUMNS = 80
# Both begin with the date and the time of day, one of them in brackets.
UP_TO_THE_MINUTE = len("2026-11-21 10:00")
# As accounts.mail writes it: between two rules the headers, an empty line and the text.
MAIL_RULE = "-" * 72
MAIL_BEGINS = "To: "
# A mail that never ends was none.
LONGEST_MAIL = 400


@dataclass
class Relay:
    """Feed it the log line by line; it yields what to show."""

    mail: list[str] = field(default_factory=list)
    is_in_traceback: bool = False
    last: tuple[str, str] = ("", "")

    def feed(self, line: str) -> Iterator[str]:
        if self.mail == [MAIL_RULE] and not line.startswith(MAIL_BEGINS):
            # The rule was another's.
            self.mail = []
        if self.mail and line == MAIL_RULE:
            yield from readable(self.mail[1:])
            self.mail = []
        elif self.mail or line == MAIL_RULE:
            self.mail = [*self.mail, line] if len(self.mail) < LONGEST_MAIL else []
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
    """To whom, about what, and the text."""
    empty = lines.index("") if "" in lines else len(lines)
    headers = dict(line.partition(": ")[::2] for line in lines[:empty])
    yield f"Mail to {headers['To']}: {headers.get('Subject', '')}"
    for line in lines[empty + 1 :]:
        yield f"  {line}"
