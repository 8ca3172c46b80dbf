"""Acts on what a workspace owes."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import User
from billing import dunning, gateway, lifecycle
from billing.acts.act import Data, Wish, WorkspaceAct, refuse_money
from billing.acts.forms import ActForm
from billing.acts.workspaces import day
from billing.models import Subscription
from billing.money import amount_in_words


class InvoiceField(forms.ChoiceField):
    widget = UnfoldAdminSelectWidget

    def valid_value(self, value: Any) -> bool:
        # One that is no choice any more is refused by the act: a second press of the same form is to be known as one.
        return re.fullmatch(r"in_\w+", str(value)) is not None


class OpenInvoiceForm(ActForm):
    """Of the open invoices of one workspace; `data["chosen"]` is the one that was chosen, None if open no more."""

    invoice = InvoiceField()

    def __init__(self, *args: Any, found: Sequence[dunning.Open] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.found = {one.id: one for one in found}
        self.fields["invoice"].choices = [(one.id, label(one)) for one in found]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        return data | {"chosen": self.found.get(data.get("invoice", ""))}


class InvoiceAct(WorkspaceAct):
    """On one open invoice of a workspace."""

    group = "What it owes"
    form = OpenInvoiceForm

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        # By the row alone: a page that shows every act asks this of each.
        return target.oldest_unpaid_at is not None

    def form_arguments(self, target: Subscription | None, now: datetime) -> dict[str, Any]:
        return {"found": dunning.open_of(target) if target else ()}

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        found = dunning.open_of(target)
        return [f"{one.number or one.id}: {one.reason}" for one in found] or ["Nothing is open here."]


class SendPayLink(InvoiceAct):
    name, label = "send-pay-link", "Send the pay link"
    explanation = "A mail to the owner, with the page at Stripe where the invoice is paid; of each invoice one a day."
    permission = "billing.steer_subscription"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.send_pay_link(target, invoice=chosen(wish).id, **wish.by)
        return f"The link is on its way to {target.workspace.email}."


class _MoneyOfInvoice(InvoiceAct):
    permission = "billing.move_money"
    is_grave = is_at_stripe = True

    def refuse(self, actor: User, data: Data) -> None:
        if data["chosen"] is not None:
            refuse_money(actor, data["chosen"].amount, owed(data["chosen"]))


class RetryPayment(_MoneyOfInvoice):
    name, label = "retry-payment", "Retry the payment now"
    explanation = (
        "The customer's card is charged at once, not when Stripe would try it next. What their bank wants confirmed"
        " needs them: send the pay link."
    )

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        invoice = chosen(wish)
        try:
            lifecycle.collect_now(target, invoice=invoice.id, **wish.by)
        except gateway.PaymentFailed as error:
            raise ValueError(f"It was tried, and nothing was charged. {error.reason}") from error
        return f"{owed(invoice)} collected."


class VoidInvoice(_MoneyOfInvoice):
    name, label = "void-invoice", "Void the invoice"
    explanation = (
        "As if it had never been asked for: nothing is owed by it any more. Its period stays unpaid, with the few"
        " runs of an unpaid one."
    )
    is_harsh = True

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        invoice = chosen(wish)
        lifecycle.void(target, invoice=invoice.id, **wish.by)
        return f"{owed(invoice)} are not owed any more."


class GiveUpInvoice(_MoneyOfInvoice):
    name, label = "give-up-invoice", "Mark uncollectible"
    explanation = "It stays in the books as a loss, and Stripe tries no more to collect it. It can still be paid."
    is_harsh = True

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        invoice = chosen(wish)
        lifecycle.give_up(target, invoice=invoice.id, **wish.by)
        return f"{owed(invoice)} are given up."


def chosen(wish: Wish) -> dunning.Open:
    """Raises ValueError where nothing that is open was chosen."""
    found: dunning.Open | None = wish.data["chosen"]
    if found is None:
        raise ValueError("This invoice is not open any more, or is another workspace's.")
    return found


def label(one: dunning.Open) -> str:
    return f"{one.number or one.id}: {owed(one)}, open since {day(one.created_at)}"


def owed(one: dunning.Open) -> str:
    return amount_in_words(one.amount, one.currency)


ALL: tuple[type[WorkspaceAct], ...] = (SendPayLink, RetryPayment, VoidInvoice, GiveUpInvoice)
