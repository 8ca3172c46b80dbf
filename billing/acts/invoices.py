"""Acts on what a workspace owes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import User
from billing import dunning, gateway, lifecycle
from billing.acts.act import Data, Wish, WorkspaceAct, refuse_money
from billing.acts.forms import ActForm
from billing.acts.workspaces import MONEY, day
from billing.models import Subscription
from billing.money import amount_in_words


class OpenInvoiceForm(ActForm):
    """Of the open invoices of one workspace; `data["owed"]` is what is left of the chosen one, and its currency."""

    invoice = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        error_messages={"invalid_choice": "This invoice is not open any more, or is another workspace's."},
    )

    def __init__(self, *args: Any, found: Sequence[dunning.Open] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.found = {one.id: one for one in found}
        self.fields["invoice"].choices = [(one.id, label(one)) for one in found]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if chosen := self.found.get(data.get("invoice", "")):
            data["owed"] = (chosen.amount, chosen.currency)
        return data


class InvoiceAct(WorkspaceAct):
    """On one open invoice of a workspace."""

    group = MONEY
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
        lifecycle.send_pay_link(target, invoice=wish.data["invoice"], **wish.by)
        return f"The link is on its way to {target.workspace.email}."


class _MoneyOfInvoice(InvoiceAct):
    permission = "billing.move_money"
    is_grave = is_at_stripe = True

    def refuse(self, actor: User, data: Data) -> None:
        amount, currency = data["owed"]
        refuse_money(actor, amount, amount_in_words(amount, currency))


class RetryPayment(_MoneyOfInvoice):
    name, label = "retry-payment", "Retry the payment now"
    explanation = (
        "The customer's card is charged at once, not when Stripe would try it next. What their bank wants confirmed"
        " needs them: send the pay link."
    )

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        try:
            lifecycle.collect_now(target, invoice=wish.data["invoice"], **wish.by)
        except gateway.PaymentFailed as error:
            raise ValueError(f"It was tried, and nothing was charged. {error.reason}") from error
        return f"{amount_in_words(*wish.data['owed'])} collected."


class VoidInvoice(_MoneyOfInvoice):
    name, label = "void-invoice", "Void an invoice"
    explanation = (
        "As if it had never been asked for: nothing is owed by it any more. Its period stays unpaid, with the few"
        " runs of an unpaid one."
    )
    is_harsh = True

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.void(target, invoice=wish.data["invoice"], **wish.by)
        return f"{amount_in_words(*wish.data['owed'])} are not owed any more."


class GiveUpInvoice(_MoneyOfInvoice):
    name, label = "give-up-invoice", "Mark an invoice uncollectible"
    explanation = "It stays in the books as a loss, and Stripe tries no more to collect it. It can still be paid."
    is_harsh = True

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.give_up(target, invoice=wish.data["invoice"], **wish.by)
        return f"{amount_in_words(*wish.data['owed'])} are given up."


def label(one: dunning.Open) -> str:
    return f"{one.number or one.id}: {amount_in_words(one.amount, one.currency)}, open since {day(one.created_at)}"


ALL: tuple[type[WorkspaceAct], ...] = (SendPayLink, RetryPayment, VoidInvoice, GiveUpInvoice)
