"""HTML that is escaped unless it says that it is HTML, and the frame around every page."""

import html
from collections.abc import Iterable
from datetime import UTC, datetime


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def fill(template: str, **values: object) -> Html:
    """`template` with its `{names}` filled in, escaped where they are not Html."""
    return Html(template.format(**{name: _escaped(value) for name, value in values.items()}))


def join(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def _escaped(value: object) -> str:
    return value if isinstance(value, Html) else html.escape(str(value))


def frame(title: str, body: Html) -> Html:
    return fill(
        """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/assets/style.css">
</head>
<body>
<p class="notice" role="note"><strong>Stand-in for Stripe.</strong> Only test cards are taken, and no money moves.</p>
{body}
</body>
</html>
""",
        title=title,
        body=body,
    )


def field(
    name: str, label: str, *, value: str = "", error: str | None = None, hint: str = "", attributes: str = ""
) -> Html:
    """An input with its label; an error is tied to it and read out with it."""
    described = [f"{name}-hint"] if hint else []
    described += [f"{name}-error"] if error else []
    return fill(
        """<div class="field"><label for="{name}">{label}</label>
<input id="{name}" name="{name}" value="{value}" {attributes}{aria}>{hint}{error}</div>""",
        name=name,
        label=label,
        value=value,
        attributes=Html(attributes),
        aria=Html(
            (f' aria-describedby="{" ".join(described)}"' if described else "")
            + (' aria-invalid="true" autofocus' if error else "")
        ),
        hint=fill('<p class="hint" id="{name}-hint">{hint}</p>', name=name, hint=hint) if hint else "",
        error=fill('<p class="error" id="{name}-error">{error}</p>', name=name, error=error) if error else "",
    )


def alert(message: str | None) -> Html:
    return fill('<p class="alert" role="alert">{message}</p>', message=message) if message else Html("")


def day(instant: int) -> str:
    """19 November 2026."""
    at = datetime.fromtimestamp(instant, UTC)
    return f"{at.day} {at:%B %Y}"


def short_day(instant: int) -> str:
    """19 Nov 2026."""
    at = datetime.fromtimestamp(instant, UTC)
    return f"{at.day} {at:%b %Y}"
