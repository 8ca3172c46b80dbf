"""What each plan offers the one who looks: its price, whether it is theirs, and the one thing to do about it.

Pure: no database, no calls. Plans come with their active prices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.access import Access
from accounts.roles import Act, may
from billing import words
from billing.models import Feature, Interval, Plan, Price, Subscription
from billing.quotas import quota_for, short_name
from billing.snapshots import CHARGED


@dataclass(frozen=True)
class Link:
    """`in_dialog` where it may be loaded into the dialog."""

    label: str
    url: str
    in_dialog: bool = False
    is_quiet: bool = False


@dataclass(frozen=True)
class Offer:
    """One column. `act` is the one thing to do, or words in its place."""

    plan: Plan
    price: Price | None
    by_month: Price | None
    is_present: bool
    act: Link | str

    @property
    def link(self) -> Link | None:
        return self.act if isinstance(self.act, Link) else None

    @property
    def is_free(self) -> bool:
        return self.plan.slug == Plan.FREE

    @property
    def is_by_agreement(self) -> bool:
        return not self.is_free and not self.plan.prices.all()

    @property
    def saving(self) -> int:
        """Of a year against twelve months, in minor units."""
        if self.price is None or self.by_month is None or self.price.interval != Interval.YEAR:
            return 0
        return max(0, 12 * self.by_month.unit_amount - self.price.unit_amount)


@dataclass(frozen=True)
class Row:
    """Of the comparison: for each plan a text, or whether it comes with the plan."""

    label: str
    cells: Sequence[str | bool]


def is_live(subscription: Subscription) -> bool:
    """Something is paid, was to be paid or will be: another choice is a change of it, and no purchase."""
    return subscription.stripe_status in CHARGED


def change_url(plan: Plan, interval: str) -> str:
    return f"{reverse('billing:change')}?{urlencode({'plan': plan.slug, 'interval': interval})}"


def price_of(plan: Plan, interval: str, currency: str) -> Price | None:
    return next((one for one in plan.prices.all() if one.interval == interval and one.currency == currency), None)


def offers_for(
    plans: Iterable[Plan], *, interval: str, currency: str, held: Access | None, support: str
) -> list[Offer]:
    present = quota_for(held.workspace.subscription, now=held.now).entitlement.plan if held else None
    return [
        Offer(
            plan,
            price := price_of(plan, interval, currency),
            price_of(plan, Interval.MONTH, currency),
            is_present=plan == present,
            act=_for_visitors(plan, price, interval, support)
            if held is None or present is None
            else _for_workspace(held, present, plan, price, interval, support),
        )
        for plan in plans
    ]


def rows_of(plans: Sequence[Plan], *, currency: str) -> list[Row]:
    """Features and limits side by side; a limit that no plan has is not worth a line."""
    rows = [Row(_("Runs a month"), [words.limit(plan.runs_limit) for plan in plans])]
    for interval, label in ((Interval.MONTH, _("Price by the month")), (Interval.YEAR, _("Price by the year"))):
        if any(price_of(plan, interval, currency) for plan in plans):
            rows.append(Row(label, [_price_in_row(plan, interval, currency) for plan in plans]))
    for name, label, write in (
        ("concurrency_limit", _("Runs at once"), words.limit),
        ("members_limit", _("Members"), words.limit),
        ("storage_limit", _("Storage"), words.size),
    ):
        if any(getattr(plan, name) is not None for plan in plans):
            rows.append(Row(label, [write(getattr(plan, name)) for plan in plans]))
    known = [feature for feature in Feature if any(plan.has(feature) for plan in plans)]
    return rows + [Row(str(feature.label), [plan.has(feature) for plan in plans]) for feature in known]


def _for_visitors(plan: Plan, price: Price | None, interval: str, support: str) -> Link | str:
    sign_up = reverse("account_signup")
    if plan.slug == Plan.FREE:
        return Link(_("Sign up"), sign_up, is_quiet=True)
    if price is None:
        return _without_price(plan, interval, support)
    onward = f"{sign_up}?{urlencode({'next': change_url(plan, interval)})}"
    return Link(_("Sign up for %(plan)s") % {"plan": short_name(plan)}, onward)


def _for_workspace(
    held: Access, present: Plan, plan: Plan, price: Price | None, interval: str, support: str
) -> Link | str:
    subscription = held.workspace.subscription
    if not may(held, Act.BILL):
        return _("Your plan") if plan == present else ""
    is_pending = (subscription.pending_plan, subscription.pending_interval) == (plan, interval)
    if is_pending and subscription.pending_at is not None:
        return _("Your plan from %(day)s on") % {"day": words.day(subscription.pending_at)}
    if plan.slug == Plan.FREE:
        return _for_free(subscription, present, plan)
    if price is None:
        return _("Your plan") if plan == present else _without_price(plan, interval, support)
    paid = subscription.paid_plan if is_live(subscription) else None
    if plan == (paid or present) and interval == (subscription.paid_interval if paid else interval):
        return _("Your plan")
    if plan == paid:
        return _change(
            _("Pay by the year") if interval == Interval.YEAR else _("Pay by the month"), plan, interval, is_quiet=True
        )
    if plan.rank < (paid or present).rank:
        return _change(_("Change to %(plan)s"), plan, interval, is_quiet=True)
    return _change(_("Upgrade to %(plan)s"), plan, interval)


def _for_free(subscription: Subscription, present: Plan, plan: Plan) -> Link | str:
    if not is_live(subscription):
        return _("Your plan") if plan == present else _("What you have when your present plan ends")
    if subscription.cancel_at is not None:
        return _("Your plan from %(day)s on") % {"day": words.day(subscription.cancel_at)}
    label = _("Change to %(plan)s") % {"plan": short_name(plan)}
    return Link(label, reverse("billing:cancel"), in_dialog=True, is_quiet=True)


def _without_price(plan: Plan, interval: str, support: str) -> Link | str:
    if plan.prices.all():
        return _("Sold by the month only") if interval == Interval.YEAR else _("Sold by the year only")
    if not support:
        return _("By agreement with those who run this service")
    return Link(_("Write to us"), f"mailto:{support}?subject={quote(plan.name)}", is_quiet=True)


def _change(label: str, plan: Plan, interval: str, *, is_quiet: bool = False) -> Link:
    return Link(label % {"plan": short_name(plan)}, change_url(plan, interval), in_dialog=True, is_quiet=is_quiet)


def _price_in_row(plan: Plan, interval: str, currency: str) -> str:
    if price := price_of(plan, interval, currency):
        return words.amount(price.unit_amount, currency)
    if plan.slug == Plan.FREE:
        return words.amount(0, currency)
    return "" if plan.prices.all() else _("By agreement")
