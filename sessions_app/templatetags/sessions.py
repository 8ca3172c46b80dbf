"""What templates say of sessions."""

from django import template

from sessions_app import words
from sessions_app.models import Run, Session

register = template.Library()


@register.filter
def in_words(thing: Session | Run) -> words.Status:
    """The status of a session or a run, in words and in a tone."""
    if isinstance(thing, Run):
        return words.of_run(thing)
    return words.SESSION[Session.Status(thing.status)]
