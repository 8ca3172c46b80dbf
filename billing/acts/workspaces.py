"""Acts on a workspace: what it is entitled to, and what it pays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from djstripe.models import Invoice

from accounts.models import User
from billing import audit, lifecycle
from billing.acts.act import Data, Wish, WorkspaceAct, refuse_money, refuse_runs
from billing.acts.forms import (
    ChangePlanForm,
    CompForm,
    CreditsForm,
    OverrideForm,
    PauseForm,
    RefundForm,
    RunsForm,
    UntilForm,
)
from billing.entitlements import entitlement, grace_end
from billing.models import Subscription
from billing.money import amount_in_words
from billing.quotas import quota_for
from billing.snapshots import CHARGED, LIVE

ENTITLEMENT, MONEY, ACCESS = "What it may do", "What it pays", "Access"


def is_paying(subscription: Subscription) -> bool:
    return subscription.stripe_status in CHARGED


def day(instant: datetime) -> str:
    return date_format(timezone.localtime(instant), "j F Y, H:i")


def what_stripe_charges(subscription: Subscription) -> Sequence[str]:
    """What goes on at Stripe whatever is decided here."""
    if not is_paying(subscription) or subscription.paid_end is None:
        return ()
    price = subscription.paid_price
    amount = f"{amount_in_words(price.unit_amount, price.currency)} a {price.interval}" if price else "an unknown price"
    if subscription.is_collection_paused:
        return (f"Stripe has it on {amount}, and collection is paused: nothing is charged.",)
    if subscription.cancel_at is not None:
        return (f"Stripe has it on {amount}, which ends on {day(subscription.cancel_at)} and is not charged again.",)
    return (f"Stripe goes on charging {amount}, next on {day(subscription.paid_end)}.",)


class GiveCredits(WorkspaceAct):
    name, label, group = "give-credits", "Give credits", ENTITLEMENT
    explanation = "Runs beside the plan. They are used once the period's own are spent, the earliest to expire first."
    permission = "billing.give_credits"
    form = CreditsForm
    is_for_many = True

    def refuse(self, actor: User, data: Data) -> None:
        refuse_runs(actor, data["runs"])

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        return f"gets {data['runs']:,} runs" + (f" until {day(data['until'])}" if data["until"] else "")

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        runs, until = wish.data["runs"], wish.data["until"]
        lifecycle.give_credits(target, runs=runs, expires_at=until, **wish.by)
        return f"{runs:,} runs given" + (f", which expire on {day(until)}." if until else ", which do not expire.")


class TakeCredits(WorkspaceAct):
    name, label, group = "take-credits", "Take credits back", ENTITLEMENT
    explanation = "Of what staff gave and is not used, the newest first. What was bought or came back stays."
    permission = "billing.give_credits"
    form = RunsForm
    is_harsh = True

    def refuse(self, actor: User, data: Data) -> None:
        refuse_runs(actor, data["runs"])

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.take_credits(target, runs=wish.data["runs"], **wish.by)
        return f"{wish.data['runs']:,} runs taken back."


class Comp(WorkspaceAct):
    name, label, group = "comp", "Comp a plan", ENTITLEMENT
    is_at_stripe = True
    explanation = "Gives a plan without payment until a day. The highest live plan wins; nothing used is given back."
    permission = "billing.steer_subscription"
    form = CompForm
    is_for_many = True

    def form_arguments(self, target: Subscription | None, now: datetime) -> dict[str, Any]:
        # Of many, some may pay: then it is left to be, and the dry run says so of each.
        return {"is_paying": target is not None and is_paying(target)}

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return what_stripe_charges(target)

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        charged = " ".join(what_stripe_charges(target))
        return f"gets {data['plan'].name} until {day(data['until'])}. {charged}".strip()

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        plan, until = wish.data["plan"], wish.data["until"]
        # At Stripe first: what fails there leaves nothing half done, and is safe to ask for again.
        told = ""
        match wish.data.get("payments"):
            case CompForm.CANCEL if target.cancel_at is None:
                lifecycle.cancel(target, reason=wish.reason, actor=wish.actor, now=wish.now)
                told = " Nothing is charged after the present period."
            case CompForm.PAUSE if not target.is_collection_paused:
                lifecycle.pause_collection(target, until=until, **wish.by)
                told = " Nothing is collected until then."
        lifecycle.comp(target, plan=plan, until=until, **wish.by)
        return f"{plan.name} given until {day(until)}.{told}"


class EndComp(WorkspaceAct):
    name, label, group = "end-comp", "End the comp", ENTITLEMENT
    explanation = "The given plan ends now; what is paid for, or FREE, holds from this instant."
    permission = "billing.steer_subscription"
    is_harsh = is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.comp_end is not None and target.comp_end > now

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("No comp runs here.")
        return f"loses {target.comp_plan}"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.end_comp(target, **wish.by)
        return f"The comp is over: {entitlement(target, wish.now).plan.name} holds."


class ExtendTrial(WorkspaceAct):
    name, label, group = "extend-trial", "Extend the trial", ENTITLEMENT
    explanation = "The same trial goes on until a day, with what was used of it. A trial that is over begins again."
    permission = "billing.steer_subscription"
    form = UntilForm
    is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.trial_end is not None and target.first_paid_at is None

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return (f"It ends on {day(target.trial_end)}.",) if target.trial_end else ()

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if target.trial_end is None:
            raise ValueError("It never had a trial.")
        if target.first_paid_at is not None:
            raise ValueError("It has paid before, which ends a trial for good.")
        return f"keeps its trial until {day(data['until'])} instead of {day(target.trial_end)}"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.extend_trial(target, until=wish.data["until"], **wish.by)
        return f"The trial goes on until {day(wish.data['until'])}."


class Override(WorkspaceAct):
    name, label, group = "override-runs", "Override the limit", ENTITLEMENT
    explanation = "Another number of runs a period until a day, whatever the plan says. What was used stays used."
    permission = "billing.steer_subscription"
    form = OverrideForm
    is_for_many = True

    def refuse(self, actor: User, data: Data) -> None:
        refuse_runs(actor, data["runs"])

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        quota = quota_for(target, now=now)
        limit = "no limit" if quota.limit is None else f"a limit of {quota.limit:,}"
        return (f"The present period has {limit}, of which {quota.used:,} are used.",)

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        quota = quota_for(target, now=now)
        before = "no limit" if quota.limit is None else f"{quota.limit:,}"
        return f"has {data['runs']:,} runs a period until {day(data['until'])} instead of {before}"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        runs, until = wish.data["runs"], wish.data["until"]
        lifecycle.override_runs(target, runs=runs, until=until, **wish.by)
        return f"{runs:,} runs a period until {day(until)}."


class EndOverride(WorkspaceAct):
    name, label, group = "end-override", "End the override", ENTITLEMENT
    explanation = "The plan's own limit holds again from this instant."
    permission = "billing.steer_subscription"
    is_harsh = is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.runs_override_end is not None and target.runs_override_end > now

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("No override holds here.")
        return "has its plan's own limit again"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.end_override(target, **wish.by)
        return "The override is over."


class ChangePlan(WorkspaceAct):
    name, label, group = "change-plan", "Change the plan", MONEY
    is_at_stripe = True
    explanation = (
        "As the customer would: a larger plan now, charged at once less the unused time; a smaller one at the"
        " period's end. Only where something is paid for already: nobody can buy in a customer's name."
    )
    permission = "billing.move_money"
    form = ChangePlanForm
    is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return is_paying(target)

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return what_stripe_charges(target)

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        plan, interval, before = wish.data["plan"], wish.data["interval"], target.facts()
        lifecycle.change_plan(target, plan=plan.slug, interval=interval, actor=wish.actor, now=wish.now)
        _record("change plan", target, before, wish)
        if target.pending_plan_id is not None and target.pending_at is not None:
            return f"{plan.name} by the {interval} follows on {day(target.pending_at)}."
        return f"{plan.name} by the {interval} holds now."


class CancelAtEnd(WorkspaceAct):
    name, label, group = "cancel", "Cancel at the period's end", MONEY
    is_at_stripe = True
    explanation = "The plan is kept until the end of what is paid, and nothing is charged after it."
    permission = "billing.move_money"
    is_harsh = is_for_many = is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return is_paying(target) and target.cancel_at is None

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not is_paying(target) or target.paid_end is None:
            raise ValueError("It pays for nothing.")
        if target.cancel_at is not None:
            raise ValueError(f"It ends on {day(target.cancel_at)} already.")
        return f"ends on {day(target.paid_end)}"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        before = target.facts()
        lifecycle.cancel(target, reason=wish.reason, actor=wish.actor, now=wish.now)
        _record("cancel", target, before, wish)
        return f"It ends on {day(target.cancel_at)}." if target.cancel_at else "It is cancelled."


class EndNow(WorkspaceAct):
    name, label, group = "end-now", "End the plan now", MONEY
    is_at_stripe = True
    explanation = "The subscription is cancelled at Stripe at once. Nothing is given back by it: refund beside it."
    permission = "billing.move_money"
    is_harsh = is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.stripe_status in LIVE

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return what_stripe_charges(target)

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        before = target.facts()
        lifecycle.end_now(target, **wish.by)
        _record("end now", target, before, wish)
        return f"The plan has ended: {entitlement(target, wish.now).plan.name} holds."


class Resume(WorkspaceAct):
    name, label, group = "resume", "Take back what is scheduled", MONEY
    is_at_stripe = True
    explanation = "A scheduled cancel, or a change at the period's end, is taken back: the plan goes on as it is."
    permission = "billing.move_money"
    is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.stripe_status in LIVE and (
            target.cancel_at is not None or target.pending_at is not None or target.stripe_status == "paused"
        )

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        before = target.facts()
        lifecycle.resume(target, actor=wish.actor, now=wish.now)
        _record("resume", target, before, wish)
        return "The plan goes on as it is."


class PauseCollection(WorkspaceAct):
    name, label, group = "pause-collection", "Pause collection", MONEY
    is_at_stripe = True
    explanation = "Stripe collects nothing meanwhile, and what is paid for entitles to nothing: FREE, or a comp, holds."
    permission = "billing.move_money"
    form = PauseForm
    is_grave = is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return is_paying(target) and not target.is_collection_paused

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return what_stripe_charges(target)

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("Nothing is collected here.")
        return "pays nothing" + (f" until {day(data['until'])}" if data["until"] else " until it is resumed")

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        until = wish.data["until"]
        lifecycle.pause_collection(target, until=until, **wish.by)
        return "Nothing is collected" + (f" until {day(until)}." if until else " until it is resumed.")


class ResumeCollection(WorkspaceAct):
    name, label, group = "resume-collection", "Resume collection", MONEY
    is_at_stripe = True
    explanation = "Stripe collects again, from the next invoice on."
    permission = "billing.move_money"
    is_grave = is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return is_paying(target) and target.is_collection_paused

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("Collection is not paused here.")
        return "pays again"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.resume_collection(target, **wish.by)
        return "Stripe collects again."


class Refund(WorkspaceAct):
    name, label, group = "refund", "Refund an invoice", MONEY
    is_at_stripe = True
    explanation = "In part or whole, never more than was paid. A part changes nothing about the plan."
    permission = "billing.move_money"
    form = RefundForm
    is_grave = is_harsh = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return bool(refundable(target))

    def form_arguments(self, target: Subscription | None, now: datetime) -> dict[str, Any]:
        return {"invoices": [(i.id, label(i), i.stripe_data["currency"]) for i in refundable(target)] if target else []}

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        id, amount = wish.data["invoice"], wish.data["amount"]
        invoice = next(one for one in refundable(target) if one.id == id)
        currency, paid = invoice.stripe_data["currency"], int(invoice.stripe_data["amount_paid"])
        wanted = paid if amount is None else amount
        refuse_money(wish.actor, wanted, amount_in_words(wanted, currency))
        given = lifecycle.refund(target, invoice=id, amount=amount, ends_access=wish.data["ends_access"], **wish.by)
        if given == 0:
            raise ValueError("Nothing is left of this invoice to give back.")
        return f"{amount_in_words(given, currency)} given back."


class Sync(WorkspaceAct):
    name, label, group = "sync", "Ask Stripe again", MONEY
    is_at_stripe = True
    explanation = "Our rows are brought to what Stripe holds now. Safe at any time."
    permission = "billing.sync_with_stripe"
    is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.stripe_customer_id is not None

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if target.stripe_customer_id is None:
            raise ValueError("It has no customer at Stripe.")
        return "is brought to what Stripe holds"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        before = target.facts()
        if lifecycle.look(target, now=wish.now) is None:
            raise ValueError("This workspace has no customer at Stripe.")
        _record("sync", target, before, wish)
        changed = [name.replace("_", " ") for name, *_ in audit.changes(before, target.facts())]
        if changed:
            return f"Stripe held something else, which we follow now: {', '.join(changed)}."
        return "All is as at Stripe."


class ReleaseHold(WorkspaceAct):
    name, label, group = "release-hold", "Release the hold", ACCESS
    explanation = "The dispute or warning was looked at: what is paid for entitles again, whatever becomes of it."
    permission = "billing.move_money"
    is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.on_hold_since is not None

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.release_hold(target, **wish.by)
        return f"Released: {entitlement(target, wish.now).plan.name} holds."


class ExtendGrace(WorkspaceAct):
    name, label, group = "extend-grace", "Extend the grace", MONEY
    explanation = "The plan is kept though a payment is past due, until a day."
    permission = "billing.steer_subscription"
    form = UntilForm
    is_for_many = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.stripe_status == "past_due"

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        end = grace_end(target)
        return (f"The plan is kept until {day(end)} now.",) if end else ()

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("Nothing is past due.")
        return f"keeps its plan until {day(data['until'])}"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.extend_grace(target, until=wish.data["until"], **wish.by)
        end = grace_end(target)
        return f"The plan is kept until {day(end)}." if end else "The grace is extended."


class Suspend(WorkspaceAct):
    name, label, group = "suspend", "Suspend", ACCESS
    is_at_stripe = True
    explanation = "Everything can be read and nothing written; no run starts, and Stripe collects nothing meanwhile."
    permission = "billing.steer_subscription"
    is_harsh = is_for_many = is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.workspace.suspended_at is None and target.workspace.closed_at is None

    def notes(self, target: Subscription, now: datetime) -> Sequence[str]:
        return what_stripe_charges(target)

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("It is suspended or closed already.")
        return "is suspended" + (", and its collection paused" if is_paying(target) else "")

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.suspend(target, **wish.by)
        return "The workspace is suspended."


class Restore(WorkspaceAct):
    name, label, group = "restore", "Restore", ACCESS
    is_at_stripe = True
    explanation = "The workspace works again, and what it pays for is collected again."
    permission = "billing.steer_subscription"
    is_for_many = is_grave = True

    def is_offered(self, target: Subscription, now: datetime) -> bool:
        return target.workspace.suspended_at is not None and target.workspace.closed_at is None

    def foresee(self, target: Subscription, data: Data, now: datetime) -> str:
        if not self.is_offered(target, now):
            raise ValueError("It is not suspended.")
        return "works again"

    def carry_out(self, target: Subscription, wish: Wish) -> str:
        lifecycle.restore(target, **wish.by)
        return "The workspace works again."


def refundable(subscription: Subscription) -> list[Invoice]:
    """Paid invoices of its customer, the newest first, by the mirror."""
    if subscription.stripe_customer_id is None:
        return []
    rows = Invoice.objects.filter(customer_id=subscription.stripe_customer_id, stripe_data__status="paid")
    return [row for row in rows.order_by("-created")[:24] if row.stripe_data["amount_paid"] > 0]


def label(invoice: Invoice) -> str:
    data = invoice.stripe_data
    created = date_format(timezone.localtime(invoice.created), "j F Y")
    return f"{data['number']}: {amount_in_words(data['amount_paid'], data['currency'])}, {created}"


def _record(action: str, target: Subscription, before: dict[str, Any], wish: Wish) -> None:
    audit.record(action, target=target, workspace=target.workspace, before=before, after=target.facts(), **wish.by)


ALL: tuple[type[WorkspaceAct], ...] = (
    GiveCredits,
    TakeCredits,
    Comp,
    EndComp,
    ExtendTrial,
    Override,
    EndOverride,
    ChangePlan,
    CancelAtEnd,
    Resume,
    EndNow,
    PauseCollection,
    ResumeCollection,
    Refund,
    ExtendGrace,
    Sync,
    ReleaseHold,
    Suspend,
    Restore,
)
