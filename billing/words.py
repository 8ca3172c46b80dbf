"""How pages name plans, prices, limits and days, in the viewer's language and zone."""

from datetime import date, datetime

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format, localize
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Interval, LedgerEntry, Plan
from billing.money import amount_for_viewer
from billing.quotas import short_name


def day(at: date | datetime) -> str:
    """1 December 2026."""
    return date_format(timezone.localtime(at) if isinstance(at, datetime) else at, "DATE_FORMAT")


def runs(count: int | None) -> str:
    """5,000 runs; None is no limit."""
    if count is None:
        return _("unlimited runs")
    return ngettext("%(count)s run", "%(count)s runs", count) % {"count": localize(count)}


def limit(most: int | None) -> str:
    return _("Unlimited") if most is None else str(localize(most))


def size(most: int | None) -> str:
    """In bytes."""
    return _("Unlimited") if most is None else filesizeformat(most)


def amount(minor: int, currency: str) -> str:
    """$49."""
    return amount_for_viewer(minor, currency, is_short=True)


def price(minor: int, currency: str, interval: str) -> str:
    """$49 a month."""
    words = _("%(amount)s a year") if interval == Interval.YEAR else _("%(amount)s a month")
    return words % {"amount": amount(minor, currency)}


def refusal(code: str, plan_name: str) -> str:
    """Why a 402 was answered on that plan, and what helps."""
    match code:
        case "quota_exceeded":
            text = _(
                "No runs of the %(plan)s plan were left. A larger plan gives you more at once; otherwise wait for the"
                " next period."
            )
        case "concurrency_exceeded":
            text = _("As many runs were under way as the %(plan)s plan carries out at once. Wait for one to end.")
        case "feature_not_in_plan":
            text = _("Something was asked for that does not come with the %(plan)s plan. A larger plan has it.")
        case "storage_exceeded":
            text = _("The storage of the %(plan)s plan was full. Delete files, or choose a larger plan.")
        case "seats_exceeded":
            text = _("The %(plan)s plan has room for no further member. Remove somebody, or choose a larger plan.")
        case _other:
            text = _("The %(plan)s plan did not allow it.")
    return text % {"plan": short_name(Plan(name=plan_name))}


def invoice_status(status: str) -> str:
    match status:
        case "paid":
            return _("Paid")
        case "open":
            return _("To be paid")
        case "void":
            return _("Void")
        case "uncollectible":
            return _("Not collected")
        case other:
            return other


def payment_kind(kind: str) -> str:
    """Of Stripe's payment methods; of those that nobody has named here yet, its own word: Us bank account."""
    match kind:
        case "card":
            return _("Card")
        case "sepa_debit":
            return _("SEPA direct debit")
        case other:
            return other.replace("_", " ").capitalize()


def ledger_kind(kind: str) -> str:
    match kind:
        case LedgerEntry.Kind.CONSUME:
            return _("Run")
        case LedgerEntry.Kind.REFUND:
            return _("Run given back")
        case LedgerEntry.Kind.GRANT:
            return _("Credit")
        case _other:
            return _("Carried over")
