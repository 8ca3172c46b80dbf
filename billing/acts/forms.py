"""What an act asks for."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from billing import roles
from billing.models import Interval, Plan
from billing.money import exponent_of


class DayInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(attrs={"class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%d")


class LastDay(forms.DateField):
    """A day that is still within, as people say "until Friday"; the instant at which it is over, where staff are."""

    widget = DayInput

    def __init__(self, **more: Any) -> None:
        super().__init__(help_text=more.pop("help_text", "The last day, in your time zone."), **more)

    def clean(self, value: Any) -> Any:
        day = super().clean(value)
        if not isinstance(day, date):
            return None
        return datetime.combine(day + timedelta(days=1), time(), timezone.get_current_timezone())


class ActForm(forms.Form):
    """Every act has its reason. `arguments` are the act's own, about its target."""

    reason = forms.CharField(
        max_length=500,
        label="Reason",
        help_text="Kept in the audit trail. A ticket's number helps whoever reads it in a year.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # Asked last.
        self.order_fields([name for name in self.fields if name != "reason"] + ["reason"])

    def clean_reason(self) -> str:
        reason = " ".join(self.cleaned_data["reason"].split())
        if len(reason) < 3:
            raise ValidationError("Say why, in a few words.")
        return reason


class UntilForm(ActForm):
    until = LastDay(label="Until")


class RunsForm(ActForm):
    runs = forms.IntegerField(min_value=1, max_value=1_000_000, widget=UnfoldAdminIntegerFieldWidget)


class CreditsForm(RunsForm):
    until = LastDay(label="Expire after", required=False, help_text="The last day. Empty: they do not expire.")


class OverrideForm(UntilForm):
    runs = forms.IntegerField(
        min_value=0,
        max_value=2_000_000_000,
        label="Runs a period",
        help_text="In place of the plan's own number. 0 stops all but credits.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    field_order = ("runs", "until")


class PlanField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs alone
    widget = UnfoldAdminSelectWidget

    def __init__(self, **more: Any) -> None:
        super().__init__(Plan.objects.none(), to_field_name="slug", empty_label=None, **more)


class CompForm(UntilForm):
    LEAVE, CANCEL, PAUSE = "leave", "cancel", "pause"

    plan = PlanField(help_text="The highest live plan wins: a comp below what is paid for changes nothing.")
    payments = forms.ChoiceField(
        label="What Stripe goes on charging",
        choices=[
            (LEAVE, "Leave it: the customer goes on paying beside the comp"),
            (CANCEL, "Cancel at the end of what is paid"),
            (PAUSE, "Pause collection until the comp ends"),
        ],
        initial=LEAVE,
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
    )
    field_order = ("plan", "until", "payments")

    def __init__(self, *args: Any, is_paying: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["plan"].queryset = Plan.objects.filter(retired_at=None).exclude(slug__in=[Plan.FREE, Plan.TRIAL])  # type: ignore[attr-defined]
        if not is_paying:
            del self.fields["payments"]


class ChangePlanForm(ActForm):
    plan = PlanField()
    interval = forms.ChoiceField(
        label="Paid by the", choices=Interval.choices, initial=Interval.MONTH, widget=UnfoldAdminSelectWidget
    )
    field_order = ("plan", "interval")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        sold = Plan.objects.filter(retired_at=None, prices__is_active=True, prices__stripe_price_id__isnull=False)
        self.fields["plan"].queryset = sold.distinct()  # type: ignore[attr-defined]


class PauseForm(ActForm):
    until = LastDay(required=False, help_text="The last day without payments. Empty: until it is resumed.")


class RefundForm(ActForm):
    """Amounts are typed as amounts: 19.00."""

    invoice = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        required=False,
        min_value=0,
        max_digits=12,
        help_text="Empty: all that is left of it.",
        widget=UnfoldAdminDecimalFieldWidget,
    )
    ends_access = forms.BooleanField(
        required=False,
        label="End the plan now",
        help_text="Otherwise what was paid runs out by itself.",
        widget=UnfoldBooleanSwitchWidget,
    )
    field_order = ("invoice", "amount", "ends_access")

    def __init__(self, *args: Any, invoices: Any = (), **more: Any) -> None:
        """`invoices` are `(id, label, currency)`."""
        super().__init__(*args, **more)
        self.fields["invoice"].choices = [(id, label) for id, label, _ in invoices]  # type: ignore[attr-defined]
        self.currencies = {id: currency for id, _, currency in invoices}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        amount, currency = data.get("amount"), self.currencies.get(data.get("invoice", ""))
        if amount is not None and currency is not None:
            minor = amount.scaleb(exponent_of(currency))
            if minor != minor.to_integral_value() or minor <= 0:
                self.add_error("amount", f"This is no amount of {currency.upper()} that can be refunded.")
            else:
                data["amount"] = int(minor)
        return data


class EmailForm(ActForm):
    email = forms.EmailField(label="New address", widget=UnfoldAdminEmailInputWidget)


class TransferForm(ActForm):
    workspace = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    email = forms.EmailField(
        label="New owner", help_text="The address of a member of the workspace.", widget=UnfoldAdminEmailInputWidget
    )
    field_order = ("workspace", "email")

    def __init__(self, *args: Any, workspaces: Any = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["workspace"].choices = list(workspaces)  # type: ignore[attr-defined]


class AppointForm(ActForm):
    role = forms.ChoiceField(
        choices=[("", "None: no staff any more"), *((name, name) for name in roles.ROLES)],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
