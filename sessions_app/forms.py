"""The box in which somebody writes what the agent should do: open, or saying why not."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from accounts.access import Access
from accounts.errors import Problem
from accounts.roles import Act, Suspended, may
from billing.quotas import Quota, QuotaExceeded, Refused, quota_for
from sessions_app.serializers import PROMPT_LENGTH

EXAMPLES = [
    gettext_lazy("Compare three tools for planning team shifts, with prices, in a table."),
    gettext_lazy("Draft a polite reply to a customer whose parcel is a week late."),
    gettext_lazy("Plan a weekend in Lisbon for two, with trains and a budget of 400 euros."),
]


class Prompt(forms.CharField):
    def to_python(self, value: Any) -> Any:
        # Browsers send a line's end as two characters, and count it as one.
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class PromptForm(forms.Form):
    prompt = Prompt(
        max_length=PROMPT_LENGTH,
        error_messages={"required": gettext_lazy("Write what the agent should do.")},
        widget=forms.Textarea(attrs={"rows": 4, "id": "prompt"}),
    )


@dataclass(frozen=True)
class Box:
    """A PromptForm as it stands for this person, in this workspace, now."""

    form: PromptForm
    quota: Quota
    # Whoever owns the workspace, where the person may not change its plan.
    owner: str
    # Why nothing can be started, in a sentence.
    reason: str
    is_closed: bool
    offers_plans: bool
    is_prepaid: bool

    @property
    def is_empty(self) -> bool:
        return not self.form["prompt"].value()

    @property
    def is_disabled(self) -> bool:
        """Nothing is typed in vain; and what was typed can still be copied."""
        return self.is_closed and self.is_empty


def box_for(held: Access, form: PromptForm, *, problem: Problem | None = None, is_prepaid: bool = False) -> Box:
    """`problem` is what refused the form; `is_prepaid` says that the next run costs nothing more."""
    quota = quota_for(held.workspace.subscription, now=held.now)
    is_spent = quota.remaining == 0 and not is_prepaid
    if held.workspace.suspended_at is not None:
        problem = Suspended()
    elif problem is None and is_spent:
        problem = QuotaExceeded(quota)
    offers_plans = isinstance(problem, Refused)
    return Box(
        form=form,
        quota=quota,
        owner=_owner(held) if offers_plans and not may(held, Act.BILL) else "",
        reason=str(problem.detail) if problem else "",
        is_closed=isinstance(problem, Suspended | QuotaExceeded),
        offers_plans=offers_plans,
        is_prepaid=is_prepaid,
    )


def _owner(held: Access) -> str:
    owner = held.workspace.owner
    return owner.fullname or owner.email
