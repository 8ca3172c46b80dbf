"""The cards of the overview: how the business stands, each number with the list behind it."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any, Final

from billing.admin.board import Card, Drawing, Figure, Lists, Row, Table, drawing
from billing.models import LedgerEntry, Refusal, StripeEvent, Subscription
from billing.money import amount_in_words
from billing.reports.overview import ACTIVITY_DAYS, REVENUE_DAYS, Overview
from billing.reports.revenue import GAINS, Kind, Move
from billing.reports.standing import Standing, Trial, Waiting

# How each card is counted; docs/figures.md says more of each.
COUNTED: Final = {
    "Recurring revenue": (
        "MRR is what active and past-due subscriptions come to in a month: a year's price by twelfths, after discounts"
        " that recur, without tax. Trials, comps, paused collection and workspaces on hold count nothing. What is past"
        " due within its grace is in it, and shown apart. Currencies are never added."
    ),
    "Movement this month": (
        "What changed MRR since the first of the month (UTC), by workspace and day: ups and downs of one day are one"
        " movement. New is a workspace that never paid before, reactivation one that had left, expansion and"
        " contraction a dearer or cheaper month, churn an end, a pause or a hold."
    ),
    "Paying workspaces": (
        "Workspaces whose subscription counts towards MRR, with more than nothing, by the plan that they pay for."
    ),
    "Trials": (
        "Our own trials, which the first payment ends. Converted are those that paid for the first time in the last"
        " seven days, whenever their trial was; ended are those that ran out in the last seven days unpaid."
    ),
    "Past due": (
        "Subscriptions with an unpaid renewal. Within grace the plan goes on; after it the workspace is on FREE, and"
        " Stripe goes on trying. At risk is what they come to in a month. On hold is a dispute or a warning of fraud."
    ),
    "Runs a day": (
        "Runs that were charged, by the day in UTC. The refund rate is what was given back within the last 30 days,"
        " over what was charged within them."
    ),
    "Refusals a day": "Answers of 402: at least so many, since each process writes its count down once in a while.",
    "Webhooks": (
        "Deliveries of Stripe's events by when they came in. Late is what took more than five minutes, dead what was"
        " tried for a day in vain, unmatched what no workspace here has a customer for."
    ),
    "Drift": (
        "What the last whole reconciliation found: workspaces of which Stripe held something else than our rows, how"
        " many of them were mended, and what is left for staff."
    ),
}
MOVES: Final = {
    Kind.NEW: "New",
    Kind.REACTIVATION: "Reactivation",
    Kind.EXPANSION: "Expansion",
    Kind.CONTRACTION: "Contraction",
    Kind.CHURN: "Churn",
}


def cards(found: Overview, lists: Lists) -> list[Card]:
    makers: list[Callable[[Overview, Lists], Card]] = [
        *(_revenue, _movement, _paying, _trials, _past_due),
        *(_runs, _refusals, _webhooks, _drift),
    ]
    return [make(found, lists) for make in makers]


def _revenue(found: Overview, lists: Lists) -> Card:
    by_day = {day: figures.mrr for day, figures in found.last(REVENUE_DAYS).items()}
    currencies = sorted({currency for mrr in by_day.values() for currency in mrr} | set(found.month.moves))
    return _card(
        "Recurring revenue",
        [figure for currency in currencies for figure in _revenue_in(currency, found, lists)],
        drawings=[
            _drawn(
                f"MRR in {currency.upper()}, the last {REVENUE_DAYS} days",
                {day: mrr.get(currency, 0) for day, mrr in by_day.items()},
                length=REVENUE_DAYS,
                found=found,
                words=partial(amount_in_words, currency=currency),
            )
            for currency in currencies
        ],
        empty="" if currencies else "Nobody pays yet. Whoever buys a plan shows here at once.",
        is_wide=True,
    )


def _revenue_in(currency: str, found: Overview, lists: Lists) -> list[Figure]:
    net = found.month.net.get(currency, 0)
    figures = [
        Figure(
            f"MRR in {currency.upper()}",
            amount_in_words(found.today.mrr.get(currency, 0), currency),
            lists.of(Subscription, standing=Standing.PAYING, currency__exact=currency),
            f"{_signed(net, currency)} this month",
        )
    ]
    for which, words, tone in ((Standing.IN_GRACE, "within grace", "warn"), (Standing.GRACE_OVER, "beyond it", "bad")):
        if at_risk := found.tallies[which].amounts.get(currency):
            link = lists.of(Subscription, standing=which, currency__exact=currency)
            label = f"Of {currency.upper()}, past due {words}"
            figures.append(Figure(label, amount_in_words(at_risk, currency), link, tone=tone))
    return figures


def _movement(found: Overview, lists: Lists) -> Card:
    tables = []
    for currency, moves in sorted(found.month.moves.items()):
        opening, now = (_bare(mrr.get(currency, 0), currency) for mrr in (found.opening, found.today.mrr))
        rows = [Row("On the first", ["", opening], is_sum=True)]
        for kind, name in MOVES.items():
            move = moves.get(kind, Move())
            amount = _signed(move.amount if kind in GAINS else -move.amount, currency, _bare)
            link = lists.of(Subscription, moved=f"{kind}.{currency}") if move.count else ""
            rows.append(Row(name, [f"{move.count:,}", amount], link))
        rows.append(Row("Now", ["", now], is_sum=True))
        tables.append(Table(f"In {currency.upper()}", ["What", "Workspaces", "A month"], rows))
    return _card(
        "Movement this month", tables=tables, empty="" if tables else "Nothing has moved since the first of the month."
    )


def _paying(found: Overview, lists: Lists) -> Card:
    most = max((count for _, count in found.paying), default=0)
    rows = []
    for plan, count in found.paying:
        link = lists.of(Subscription, standing=Standing.PAYING, paid_plan=plan.slug)
        rows.append(Row(plan.name, [f"{count:,}"], link, share=f"{100 * count / most:.1f}%"))
    total = sum(count for _, count in found.paying)
    rows.append(Row("In all", [f"{total:,}"], lists.of(Subscription, standing=Standing.PAYING), is_sum=True))
    table = Table("By plan", ["Plan", "Workspaces"], rows)
    return _card("Paying workspaces", tables=[table], empty="" if total else "Nobody pays yet.")


def _trials(found: Overview, lists: Lists) -> Card:
    counts = {str(which): found.tallies[which].count for which in Trial} | {"converted": found.converted}
    words = {
        Trial.RUNNING: "Running",
        Trial.ENDING: "End within 7 days",
        "converted": "Converted in 7 days",
        Trial.ENDED: "Ended unpaid in 7 days",
    }
    if counts[Trial.AT_STRIPE]:
        words[Trial.AT_STRIPE] = "Given at Stripe"
    return _card(
        "Trials",
        [Figure(label, f"{counts[which]:,}", lists.of(Subscription, trial=which)) for which, label in words.items()],
        empty="" if any(counts.values()) else "No trial runs, and none has ended in the last seven days.",
    )


def _past_due(found: Overview, lists: Lists) -> Card:
    figures, total = [], 0
    for which, label, tone in (
        (Standing.IN_GRACE, "Within grace", "warn"),
        (Standing.GRACE_OVER, "Grace is over", "bad"),
        (Standing.ON_HOLD, "On hold", "bad"),
    ):
        tally = found.tallies[which]
        total += tally.count
        sums = ", ".join(amount_in_words(amount, currency) for currency, amount in sorted(tally.amounts.items()))
        note = f"{sums} a month at risk" if sums else ""
        link = lists.of(Subscription, standing=which)
        figures.append(Figure(label, f"{tally.count:,}", link, note, tone if tally.count else ""))
    return _card("Past due", figures, empty="" if total else "Nobody is past due, and nobody is on hold.")


def _runs(found: Overview, lists: Lists) -> Card:
    today, recent = found.today.activity, found.activity
    rate = f"{100 * recent.refunds / recent.runs:.1f}%" if recent.runs else "\N{EN DASH}"
    figures = [
        Figure("Today", f"{today.runs:,}", lists.of(LedgerEntry, kind__exact="consume", when="today")),
        Figure("In 30 days", f"{recent.runs:,}", lists.of(LedgerEntry, kind__exact="consume", when="month")),
        Figure(
            "Refund rate",
            rate,
            lists.of(LedgerEntry, kind__exact="refund", when="month"),
            f"{recent.refunds:,} given back in 30 days",
        ),
    ]
    runs = {day: each.activity.runs for day, each in found.last(ACTIVITY_DAYS).items()}
    return _card(
        "Runs a day",
        figures,
        drawings=[_drawn(f"Runs a day, the last {ACTIVITY_DAYS} days", runs, length=ACTIVITY_DAYS, found=found)],
        empty="" if recent.runs or recent.refunds else "Nothing has run in the last 30 days.",
        is_half=True,
    )


def _refusals(found: Overview, lists: Lists) -> Card:
    refusals = {day: each.activity.refusals for day, each in found.last(ACTIVITY_DAYS).items()}
    title = f"Refusals a day, the last {ACTIVITY_DAYS} days"
    return _card(
        "Refusals a day",
        [
            Figure("Today", f"{found.today.activity.refusals:,}", lists.of(Refusal, when="today")),
            Figure("In 30 days", f"{found.activity.refusals:,}", lists.of(Refusal, when="month")),
        ],
        drawings=[_drawn(title, refusals, length=ACTIVITY_DAYS, found=found)],
        empty="" if found.activity.refusals else "Nobody was refused in the last 30 days.",
        is_half=True,
    )


def _webhooks(found: Overview, lists: Lists) -> Card:
    today, recent = found.today.activity, found.activity
    waiting = {which: found.tallies[which].count for which in Waiting}

    def figure(label: str, which: Waiting, tone: str) -> Figure:
        return Figure(
            label, f"{waiting[which]:,}", lists.of(StripeEvent, waits=which), tone=tone if waiting[which] else ""
        )

    received = Figure(
        "Received today",
        f"{today.received:,}",
        lists.of(StripeEvent, when="today"),
        f"{today.late:,} late; {recent.received:,} in 30 days",
    )
    return _card(
        "Webhooks",
        [
            received,
            figure("Late and waiting", Waiting.LATE, "warn"),
            figure("Dead", Waiting.DEAD, "bad"),
            figure("Unmatched", Waiting.UNMATCHED, "warn"),
        ],
        empty="" if recent.received or any(waiting.values()) else "No delivery has come in the last 30 days.",
        is_half=True,
    )


def _drift(found: Overview, lists: Lists) -> Card:
    report = found.reconciliation
    if report is None:
        return _card("Drift", empty="No reconciliation has walked all of both sides yet.", is_half=True)
    link, is_left = lists.one(report), report.mended < report.drifted
    orphans, failures = len(report.orphans), len(report.failures)
    return _card(
        "Drift",
        [
            Figure("Drifted", f"{report.drifted:,}", link, f"of {report.workspaces:,}", "warn" if is_left else ""),
            Figure("Mended", f"{report.mended:,}", link),
            Figure("For staff", f"{orphans:,}", link, tone="bad" if orphans else ""),
            Figure("Not looked at", f"{failures:,}", link, tone="warn" if failures else ""),
        ],
        at=report.finished_at,
        is_half=True,
    )


def _card(title: str, figures: list[Figure] | None = None, **more: Any) -> Card:
    return Card(title, COUNTED[title], figures or [], **more)


def _drawn(
    title: str,
    values: Mapping[date, int],
    *,
    length: int,
    found: Overview,
    words: Callable[[int], str] = "{:,}".format,
) -> Drawing:
    return drawing(title, values, length=length, now=found.now, words=words)


def _bare(amount: int, currency: str) -> str:
    """Where the currency is said beside it."""
    return amount_in_words(amount, currency).rpartition(" ")[0]


def _signed(amount: int, currency: str, words: Callable[[int, str], str] = amount_in_words) -> str:
    sign = "+" if amount > 0 else "\N{MINUS SIGN}" if amount < 0 else ""
    return sign + words(abs(amount), currency)
