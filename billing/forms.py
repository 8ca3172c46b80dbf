"""What the pages ask for."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.team_forms import PlainForm
from billing.models import Interval, LedgerEntry

# In Stripe's words, which its portal offers too.
REASONS = [
    ("too_expensive", _("It costs too much")),
    ("missing_features", _("Something is missing")),
    ("switched_service", _("I have changed to another service")),
    ("unused", _("I do not use it enough")),
    ("other", _("Something else")),
]
KINDS = [
    ("", _("Everything")),
    (LedgerEntry.Kind.CONSUME, _("Runs")),
    (LedgerEntry.Kind.REFUND, _("Runs given back")),
    (LedgerEntry.Kind.GRANT, _("Credits")),
    (LedgerEntry.Kind.ADJUST, _("Carried over")),
]


class ChoiceForm(forms.Form):
    """A plan and how it is paid, as the page showed it: bought, or changed to."""

    CHECKOUT, CHANGE = "checkout", "change"

    plan = forms.SlugField(max_length=50)
    interval = forms.ChoiceField(choices=Interval.choices)
    act = forms.ChoiceField(choices=[(CHECKOUT, CHECKOUT), (CHANGE, CHANGE)])


class CancelForm(PlainForm):
    reason = forms.ChoiceField(label=_("Why do you cancel?"), choices=REASONS, widget=forms.RadioSelect, required=False)
    comment = forms.CharField(
        label=_("What should have been different?"),
        help_text=_("You need not answer. It is read by the people who make this."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=400,
        required=False,
    )

    @property
    def words(self) -> str:
        """For Stripe, which keeps one text: the choice and the comment."""
        return ": ".join(filter(None, (self.cleaned_data["reason"], self.cleaned_data["comment"])))


class LedgerForm(PlainForm):
    """Of the page and of the export alike; days are the viewer's, and both ends belong to it."""

    kind = forms.ChoiceField(label=_("Kind"), choices=KINDS, required=False)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        since, until = given.get("since"), given.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return given

    @property
    def conditions(self) -> dict[str, Any]:
        """For LedgerEntry."""
        zone = timezone.get_current_timezone()
        given = self.cleaned_data
        found: dict[str, Any] = {}
        if given["kind"]:
            found["kind"] = given["kind"]
        if given["since"]:
            found["created_at__gte"] = datetime.combine(given["since"], time(), zone).astimezone(UTC)
        if given["until"]:
            found["created_at__lt"] = datetime.combine(given["until"] + timedelta(days=1), time(), zone).astimezone(UTC)
        return found
