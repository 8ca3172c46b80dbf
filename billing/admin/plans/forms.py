"""What the pages of plans ask for; the rules are with `billing`."""

import uuid
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.models import User, Workspace
from billing.acts.forms import ActForm
from billing.admin import search
from billing.assortment import MOST_RANK
from billing.limits import MOST_CHOSEN, MOST_RUNS, When
from billing.models import Feature, Interval, Plan, Price, Subscription
from billing.money import exponent_of
from billing.terms import Terms

GIGABYTE: Final = 1024**3


class Number(forms.IntegerField):
    """A limit: empty is none at all, 0 allows nothing."""

    def __init__(self, **more: Any) -> None:
        more = {"required": False, "min_value": 0, "max_value": MOST_RUNS, "show_hidden_initial": True} | more
        super().__init__(widget=UnfoldAdminIntegerFieldWidget, **more)


class Gigabytes(forms.DecimalField):
    def __init__(self, **more: Any) -> None:
        super().__init__(
            required=False,
            min_value=0,
            max_value=1_000_000,
            decimal_places=3,
            show_hidden_initial=True,
            widget=UnfoldAdminDecimalFieldWidget,
            **more,
        )


class DetailsForm(ActForm):
    """What holds at once. Only what was changed in the form is written, not what it was filled with."""

    name = forms.CharField(max_length=60, show_hidden_initial=True, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(
        max_length=200,
        required=False,
        show_hidden_initial=True,
        help_text="One line beside the price, and at Stripe's pages once it is published.",
        widget=UnfoldAdminTextInputWidget,
    )
    features = forms.MultipleChoiceField(
        choices=Feature.choices,
        required=False,
        show_hidden_initial=True,
        label="What comes with it",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    concurrency_limit = Number(label="Runs at once", help_text="Empty: unlimited.")
    members_limit = Number(label="Members", help_text="Empty: unlimited. Who is in a workspace stays in it.")
    storage = Gigabytes(label="Storage in GB", help_text="Empty: unlimited. What is stored stays.")
    job_priority = Number(
        required=True,
        max_value=32_767,
        label="Priority",
        help_text="Runs are taken before those of plans with a smaller number.",
    )
    grace_days = Number(
        required=True,
        max_value=365,
        label="Days of grace",
        help_text="For which a subscription that is past due keeps the plan, from its oldest unpaid invoice.",
    )
    grace_runs = Number(
        label="Runs of an unpaid period", help_text="The most while its invoice is unpaid. Empty: a tenth of the limit."
    )

    @staticmethod
    def initial_of(plan: Plan) -> dict[str, Any]:
        storage = None
        if plan.storage_limit is not None:
            storage = round(Decimal(plan.storage_limit) / GIGABYTE, 3).normalize()
        names = ("name", "description", "features", "concurrency_limit", "members_limit", "job_priority", "grace_days")
        return {name: getattr(plan, name) for name in names} | {"grace_runs": plan.grace_runs, "storage": storage}

    def changed_values(self) -> dict[str, Any]:
        """By column."""
        return self._by_column([name for name in self.changed_data if name != "reason"])

    def _by_column(self, names: list[str]) -> dict[str, Any]:
        values = {name: self.cleaned_data[name] for name in names}
        if "storage" in values:
            storage = values.pop("storage")
            values["storage_limit"] = None if storage is None else int(storage * GIGABYTE)
        return values


class AddForm(DetailsForm):
    slug = forms.SlugField(
        max_length=50,
        label="Word",
        help_text="By which the API names the plan; it stays. Small letters, digits and hyphens.",
        widget=UnfoldAdminTextInputWidget,
    )
    rank = Number(required=True, max_value=MOST_RANK, label="Number in the order")
    runs_limit = Number(label="Runs a period", help_text="Empty: unlimited.")
    field_order = ("slug", "name", "description", "rank", "runs_limit")

    def __init__(self, *args: Any, plans: list[Plan], **more: Any) -> None:
        super().__init__(*args, **more)
        there = ", ".join(f"{plan.name} {plan.rank}" for plan in plans)
        self.fields[
            "rank"
        ].help_text = f"The larger plan has the larger number; a change to it is an upgrade. There are: {there}."

    def values(self) -> dict[str, Any]:
        return self._by_column([name for name in self.fields if name != "reason"])


class OrderForm(ActForm):
    rank = Number(required=True, max_value=MOST_RANK, label="Number", show_hidden_initial=False)


class LimitForm(ActForm):
    runs_limit = Number(
        label="Runs a period",
        help_text="Empty: unlimited. 0: none but credits.",
        show_hidden_initial=False,
    )
    when = forms.ChoiceField(
        label="Holds",
        choices=[
            (When.NEXT, "From the next period"),
            (When.NOW, "Now, for all"),
            (When.CHOSEN, "Now, for those named below"),
        ],
        initial=When.NEXT,
        help_text="From the next period of each workspace, nobody has less than they paid for.",
        widget=UnfoldAdminRadioSelectWidget,
    )
    workspaces = forms.CharField(
        required=False,
        label="For whom now",
        help_text=f"At most {MOST_CHOSEN}: ids of workspaces, e-mail addresses (a person's own workspace), or Stripe's"
        " ids; by spaces, commas or lines.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
    )
    description = forms.CharField(
        max_length=200,
        required=False,
        help_text="It is shown to customers. Change it too where it says how many runs there are.",
        widget=UnfoldAdminTextInputWidget,
    )

    def clean_workspaces(self) -> list[Subscription]:
        words = list(dict.fromkeys(self.cleaned_data["workspaces"].replace(",", " ").split()))
        if len(words) > MOST_CHOSEN:
            raise ValidationError(f"At most {MOST_CHOSEN} workspaces can be named at once, and these are {len(words)}.")
        return subscriptions_of(words)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        named, when = data.get("workspaces"), data.get("when")
        if when == When.CHOSEN and named == []:
            self.add_error("workspaces", "Name the workspaces for which it is to hold now.")
        if when != When.CHOSEN and named:
            self.add_error("when", "Workspaces are named below, for which alone it is to hold now: choose that.")
        return data


class PriceForm(ActForm):
    interval = forms.ChoiceField(label="By the", choices=Interval.choices, widget=UnfoldAdminSelectWidget)
    currency = forms.CharField(
        min_length=3, max_length=3, help_text="Three letters: USD.", widget=UnfoldAdminTextInputWidget
    )
    amount = forms.DecimalField(
        min_value=0,
        max_digits=12,
        help_text="As an amount: 19.00.",
        widget=UnfoldAdminDecimalFieldWidget,
    )
    stripe_price_id = forms.CharField(
        max_length=255,
        required=False,
        label="Price at Stripe",
        help_text="The id of one that is there already (price_…). Empty: it is made.",
        widget=UnfoldAdminTextInputWidget,
    )
    is_further_currency = forms.BooleanField(
        required=False,
        label="Sell it in this currency too",
        help_text="Only where the plan is sold in another currency, and is to be sold in both.",
        widget=UnfoldBooleanSwitchWidget,
    )

    def __init__(self, *args: Any, has_stripe: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        if not has_stripe:
            del self.fields["stripe_price_id"]

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).lower()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        amount, currency = data.get("amount"), data.get("currency")
        if amount is not None and currency is not None:
            minor = amount.scaleb(exponent_of(currency))
            if minor != minor.to_integral_value():
                self.add_error("amount", f"An amount of {currency.upper()} has {exponent_of(currency)} decimals.")
            else:
                data["amount"] = int(minor)
        return data

    @staticmethod
    def initial_of(price: Price) -> dict[str, Any]:
        amount = Decimal(price.unit_amount).scaleb(-exponent_of(price.currency))
        return {"interval": price.interval, "currency": price.currency.upper(), "amount": amount}

    def terms(self) -> Terms:
        data = self.cleaned_data
        return Terms(
            interval=data["interval"],
            currency=data["currency"],
            unit_amount=data["amount"],
            stripe_price_id=data.get("stripe_price_id", "").strip(),
            is_further_currency=data["is_further_currency"],
        )


def subscriptions_of(words: list[str]) -> list[Subscription]:
    """Of the workspaces that are named. Raises ValidationError with the words that mean none, or several."""
    emails = [word.lower() for word in words if "@" in word]
    own = dict(User.objects.filter(email__in=emails).values_list("email", "personal_workspace"))
    ids = {word: id for word in words if (id := _uuid(word)) is not None}
    there = set(Workspace.objects.filter(pk__in=ids.values()).values_list("pk", flat=True))
    found: dict[str, list[uuid.UUID]] = {}
    for word in words:
        workspace = own.get(word.lower()) or ids.get(word)
        if workspace in there or "@" in word:
            found[word] = [workspace] if workspace else []
        elif workspace or word.startswith(("cus_", "sub_")):
            found[word] = search.workspaces(word)
        else:
            # A name may be that of many.
            found[word] = []
    if unknown := [word for word, meant in found.items() if not meant]:
        raise ValidationError(f"No workspace is known by: {', '.join(unknown)}.")
    if several := [word for word, meant in found.items() if len(meant) > 1]:
        raise ValidationError(f"Several workspaces belong to {', '.join(several)}: name one by its own id.")
    rows = Subscription.objects.with_plans().select_related("workspace")
    return list(rows.filter(workspace__in={meant[0] for meant in found.values()}).order_by("pk"))


def _uuid(word: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(word)
    except ValueError:
        return None
