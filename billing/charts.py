"""Days as bars: the geometry of an inline SVG that is as wide as its place and keeps the size of its text."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from billing import words

# From top to bottom, in pixels; across, everything is in percent.
TOP, BASE, HEIGHT = 18, 150, 174
MOST_LABELS = 6


@dataclass(frozen=True)
class Bar:
    words: str
    x: str
    width: str
    y: str
    height: str


@dataclass(frozen=True)
class Line:
    """A line across, and what it stands for."""

    runs: int
    text: str
    y: str
    text_y: str


@dataclass(frozen=True)
class Label:
    text: str
    x: str
    anchor: str
    # Left out where there is little room.
    is_spare: bool


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    lines: list[Line]
    labels: list[Label]
    sentence: str

    @property
    def height(self) -> str:
        return str(HEIGHT)

    @property
    def base(self) -> str:
        return str(BASE)

    @property
    def text_y(self) -> str:
        return str(HEIGHT - 4)


def chart_of(days: dict[date, int]) -> Chart:
    """Runs per day."""

    def said(day: date, runs: int) -> str:
        return _("%(day)s: %(runs)s") % {"day": words.day(day), "runs": words.runs(runs)}

    return drawn(days, said=said, marked=str, sentence=_sentence(days))


def drawn(
    days: dict[date, int], *, said: Callable[[date, int], str], marked: Callable[[int], str], sentence: str
) -> Chart:
    """`said` tells a bar, `marked` a line across, and `sentence` the whole."""
    top = round_number(max(days.values()))
    share = 100 / len(days)
    bars = [
        Bar(said(day, value), _percent((n + 0.15) * share), _percent(0.7 * share), *_span(value, top))
        for n, (day, value) in enumerate(days.items())
    ]
    lines = [
        Line(value, marked(value), y := f"{BASE - (BASE - TOP) * value / top:.1f}", f"{float(y) + 4:.1f}")
        for value in ([0, top] if top < 2 else [0, top // 2, top])
    ]
    step = math.ceil(len(days) / MOST_LABELS)
    form = pgettext("the format of a day below a chart", "j M")
    labels = [_label(date_format(day, form), n, len(days), step) for n, day in enumerate(days) if n % step == 0]
    return Chart(bars, lines, labels, sentence)


def round_number(most: int) -> int:
    """The least of 1, 2, 4, 6, 8, 10, 20, 40 ... that is not less; half of it is whole from 2 on."""
    if most <= 1:
        return 1
    scale = 1
    while most > 10 * scale:
        scale *= 10
    return next(step * scale for step in (2, 4, 6, 8, 10) if most <= step * scale)


def _span(runs: int, top: int) -> tuple[str, str]:
    height = (BASE - TOP) * runs / top
    if runs:
        # One run among thousands is still to be seen.
        height = max(height, 2)
    return f"{BASE - height:.1f}", f"{height:.1f}"


def _label(text: str, n: int, count: int, step: int) -> Label:
    is_spare = n // step % 2 == 1
    if n == 0:
        return Label(text, "0%", "start", is_spare)
    if n == count - 1:
        return Label(text, "100%", "end", is_spare)
    return Label(text, _percent((n + 0.5) * 100 / count), "middle", is_spare)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _sentence(days: dict[date, int]) -> str:
    span = {"first": words.day(next(iter(days))), "last": words.day(next(reversed(days)))}
    total = sum(days.values())
    if total == 0:
        return _("Runs per day from %(first)s to %(last)s: none yet.") % span
    busiest = max(days, key=lambda day: days[day])
    return _("Runs per day from %(first)s to %(last)s: %(total)s in all, the most on %(day)s with %(most)s.") % {
        **span,
        "total": words.runs(total),
        "day": words.day(busiest),
        "most": words.runs(days[busiest]),
    }
