"""What the state of a subscription means for the people in it, in words, and what they can do about it.

Pure: no database, no calls. The rules are those of `entitlements`; here they are explained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from billing import words
from billing.entitlements import EDGE, Entitlement, grace_end
from billing.models import Interval, Source, Subscription
from billing.quotas import Quota, short_name
from billing.snapshots import KNOWN

# What can be done: pay an open invoice, look after the card at Stripe, go on with what was to end,
# choose a plan, end it, write to support.
PAY, PORTAL, RESUME, CHOOSE, CANCEL, SUPPORT = "pay", "portal", "resume", "choose", "cancel", "support"


@dataclass(frozen=True)
class Advice:
    """`tone` is one of site.css; `code` names the state for tests and screenshots."""

    code: str
    tone: str
    title: str
    text: str
    acts: tuple[str, ...] = ()
    # What the button of RESUME says.
    resume: str = ""


@dataclass(frozen=True)
class Badge:
    tone: str
    text: str


def badge_of(quota: Quota) -> Badge:
    """The state in a word or two, beside the plan's name."""
    subscription, held = quota.subscription, quota.entitlement
    if subscription.on_hold_since is not None:
        return Badge("bad", _("On hold"))
    if subscription.stripe_status in ("past_due", "unpaid"):
        return Badge("bad", _("Payment failed"))
    match held.source:
        case Source.TRIAL:
            return Badge("info", _("Trial"))
        case Source.COMP:
            return Badge("info", _("Given to you"))
        case Source.PAID if subscription.cancel_at is not None:
            return Badge("warn", _("Cancelled"))
        case Source.PAID if not subscription.is_period_paid:
            return Badge("warn", _("Payment expected"))
        case Source.PAID:
            return Badge("good", _("Active"))
    if subscription.stripe_status in ("incomplete", "paused") or subscription.is_collection_paused:
        return Badge("warn", _("Not active"))
    return Badge("quiet", _("Active"))


def advice_of(quota: Quota, *, now: datetime) -> list[Advice]:
    """What needs somebody's attention first, the most pressing before the rest; nothing where all is well."""
    subscription = quota.subscription
    found = [*_about_payment(subscription, quota.entitlement, now), *_about_changes(subscription, quota, now)]
    return sorted(found, key=lambda advice: ("bad", "warn", "info").index(advice.tone))


def _about_payment(subscription: Subscription, held: Entitlement, now: datetime) -> Iterator[Advice]:
    if subscription.on_hold_since is not None:
        yield Advice(
            "on_hold",
            "bad",
            _("Your paid plan is on hold"),
            _(
                "Since %(day)s a payment for this workspace is disputed at the bank, or was reported as fraud. Until"
                " that is decided, what was paid for gives no runs, and the workspace is on the %(present)s plan. If"
                " the dispute is a mistake, withdraw it at your bank and write to support."
            )
            % {"day": words.day(subscription.on_hold_since), "present": short_name(held.plan)},
            (SUPPORT,),
        )
    if subscription.paid_plan is None and subscription.stripe_status not in ("", "canceled", "incomplete_expired"):
        yield Advice(
            "unknown_plan",
            "warn",
            _("Your subscription is on a price that we do not know"),
            _("The payment service has a subscription of this workspace whose plan cannot be told. Write to support."),
            (SUPPORT,),
        )
    if subscription.paid_plan is None:
        return
    paid = {"plan": short_name(subscription.paid_plan), "present": short_name(held.plan)}
    match subscription.stripe_status:
        case "past_due":
            yield _past_due(subscription, held, paid, now)
        case "unpaid":
            yield Advice(
                "unpaid",
                "bad",
                _("Your payments have failed"),
                _(
                    "The %(plan)s plan was not paid, not even after several tries. Until the open invoice is paid the"
                    " workspace is on the %(present)s plan. Pay it to have your plan back, or cancel it."
                )
                % paid,
                (PAY, PORTAL, CANCEL),
            )
        case "incomplete":
            yield Advice(
                "incomplete",
                "warn",
                _("Your first payment is not complete"),
                _(
                    "The bank asks for your confirmation, or declined the card. Complete the payment within a day and"
                    " the %(plan)s plan begins; after that it lapses and nothing is charged. You can also choose a"
                    " plan again."
                )
                % paid,
                (PAY, CHOOSE),
            )
        case "paused":
            yield Advice(
                "paused",
                "warn",
                _("Your plan is paused"),
                _(
                    "The trial at no charge ended before there was a card to pay with. Go on to be charged for the"
                    " %(plan)s plan from now on, after adding a card, or cancel it."
                )
                % paid,
                (RESUME, PORTAL, CANCEL),
                _("Go on with the plan"),
            )
        case "active" | "trialing" if subscription.is_collection_paused:
            yield Advice(
                "collection_paused",
                "warn",
                _("Payments are paused"),
                _(
                    "Support has paused the payments of the %(plan)s plan. Nothing is charged meanwhile, and the plan"
                    " gives no runs until they go on."
                )
                % paid,
                (SUPPORT,),
            )
        case "active" | "trialing":
            yield from _edges(subscription, held, paid, now)
        case status if status and status not in KNOWN:
            yield Advice(
                "unknown_status",
                "warn",
                _("The state of your subscription is not clear"),
                _("The payment service reports a state that we do not know, so the plan counts as not paid."),
                (SUPPORT,),
            )


def _past_due(subscription: Subscription, held: Entitlement, paid: dict[str, str], now: datetime) -> Advice:
    until = grace_end(subscription)
    if until is None or now >= until:
        text = _(
            "A payment for the %(plan)s plan failed, and the days of grace are over: the workspace is on the"
            " %(present)s plan. Pay the open invoice, and your plan is back at once."
        )
        return Advice("past_due", "bad", _("A payment failed"), text % paid, (PAY, PORTAL, CANCEL))
    text = _(
        "A payment for the %(plan)s plan failed. You keep the plan until %(until)s, with at most %(cap)s in this"
        " period. Pay the open invoice or change the card before then."
    )
    cap = words.runs(held.cap if held.cap is not None else held.plan_limit)
    return Advice(
        "grace", "bad", _("A payment failed"), text % {**paid, "until": words.day(until), "cap": cap}, (PAY, PORTAL)
    )


def _edges(subscription: Subscription, held: Entitlement, paid: dict[str, str], now: datetime) -> Iterator[Advice]:
    if subscription.paid_end is not None and now >= subscription.paid_end:
        if subscription.cancel_at is not None:
            return
        if now < subscription.paid_end + EDGE:
            yield Advice(
                "renewing",
                "info",
                _("Your plan is being renewed"),
                _("The new period of the %(plan)s plan has begun, and its payment is being confirmed.") % paid,
            )
        else:
            yield Advice(
                "not_heard",
                "bad",
                _("The renewal could not be confirmed"),
                _(
                    "The payment service has not confirmed the renewal of the %(plan)s plan, so the workspace is on"
                    " the %(present)s plan meanwhile. Support has been told."
                )
                % paid,
                (SUPPORT,),
            )
    elif not subscription.is_period_paid:
        cap = words.runs(held.cap if held.cap is not None else held.plan_limit)
        yield Advice(
            "unsettled",
            "info",
            _("The payment of this period is expected"),
            _("Until it has arrived, the %(plan)s plan gives at most %(cap)s. Nothing needs to be done.")
            % {**paid, "cap": cap},
        )


def _about_changes(subscription: Subscription, quota: Quota, now: datetime) -> Iterator[Advice]:
    held = quota.entitlement
    plan = short_name(subscription.paid_plan) if subscription.paid_plan else ""
    after = {"plan": plan, "free": short_name(subscription.base_plan)}
    if subscription.cancel_at is not None and subscription.paid_plan is not None and now < subscription.cancel_at:
        yield Advice(
            "cancelled",
            "warn",
            _("Your plan is cancelled"),
            _(
                "You keep the %(plan)s plan until %(day)s, and nothing more is charged. From then on the workspace is"
                " on the %(free)s plan."
            )
            % {**after, "day": words.day(subscription.cancel_at)},
            (RESUME,),
            _("Keep the plan"),
        )
    elif (
        subscription.pending_plan is not None and subscription.pending_at is not None and now < subscription.pending_at
    ):
        by_year = subscription.pending_interval == Interval.YEAR
        text = (
            _("From %(day)s it is the %(pending)s plan, paid by the year. Until then you keep the %(plan)s plan.")
            if by_year
            else _("From %(day)s it is the %(pending)s plan, paid by the month. Until then you keep the %(plan)s plan.")
        )
        yield Advice(
            "pending",
            "info",
            _("Your plan changes"),
            text
            % {**after, "pending": short_name(subscription.pending_plan), "day": words.day(subscription.pending_at)},
            (RESUME,),
            _("Take the change back"),
        )
    if held.source == Source.TRIAL:
        yield Advice(
            "trial",
            "info",
            _("You are trying AI-Manus"),
            _(
                "The trial ends on %(day)s, by itself and without a charge. From then on the workspace is on the"
                " %(free)s plan, unless you choose another before."
            )
            % {**after, "day": words.day(held.period.end)},
            (CHOOSE,),
        )
    if held.source == Source.COMP and subscription.comp_end is not None:
        yield Advice(
            "comp",
            "info",
            _("This plan was given to you"),
            _(
                "The %(plan)s plan costs nothing until %(day)s. After that, what you pay for holds, or else the"
                " %(free)s plan."
            )
            % {**after, "plan": short_name(held.plan), "day": words.day(subscription.comp_end)},
        )
    if held.override is not None and subscription.runs_override_end is not None:
        yield Advice(
            "override",
            "info",
            _("Another number of runs was agreed for you"),
            _("Until %(day)s this workspace has %(runs)s a period, whatever its plan.")
            % {"day": words.day(subscription.runs_override_end), "runs": words.runs(held.override)},
        )
