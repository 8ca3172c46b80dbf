"""Each state of a subscription is said in words, with what can be done; what is well is passed over in silence."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.advice import Advice, advice_of, badge_of
from billing.entitlements import entitlement
from billing.models import Interval
from billing.quotas import Quota
from tests.billing.facts import BASIC, PRO, at, comp, facts, paid, trial

START, NOW, END = at(2026, 11, 10), at(2026, 11, 20), at(2026, 12, 10)
HELD = paid(PRO, START, END)


def quota(now: datetime = NOW, **given: Any) -> Quota:
    subscription = facts(**given)
    return Quota(subscription, entitlement(subscription, now), None, 0)


def told(now: datetime = NOW, **given: Any) -> list[Advice]:
    return advice_of(quota(now, **given), now=now)


def only(now: datetime = NOW, **given: Any) -> Advice:
    (advice,) = told(now, **given)
    return advice


@pytest.mark.parametrize("given", [{}, HELD, {**HELD, "stripe_status": "trialing"}, {"stripe_status": "canceled"}])
def test_what_is_well_needs_no_words(given: dict[str, Any]) -> None:
    assert told(**given) == []


@pytest.mark.parametrize(
    ("given", "code", "acts", "words"),
    [
        ({"stripe_status": "past_due", "oldest_unpaid_at": NOW}, "grace", ("pay", "portal"), "until 27 November 2026"),
        (
            {"stripe_status": "past_due", "oldest_unpaid_at": at(2026, 11, 10)},
            "past_due",
            ("pay", "portal", "cancel"),
            "the workspace is on the Free plan",
        ),
        ({"stripe_status": "unpaid"}, "unpaid", ("pay", "portal", "cancel"), "The Pro plan was not paid"),
        ({"stripe_status": "incomplete"}, "incomplete", ("pay", "choose"), "within a day"),
        ({"stripe_status": "paused"}, "paused", ("resume", "portal", "cancel"), "charged for the Pro plan"),
        ({"is_collection_paused": True}, "collection_paused", ("support",), "payments of the Pro plan"),
        ({"on_hold_since": at(2026, 11, 19)}, "on_hold", ("support",), "Since 19 November 2026"),
        ({"stripe_status": "frozen"}, "unknown_status", ("support",), "counts as not paid"),
        ({"paid_plan": None}, "unknown_plan", ("support",), "cannot be told"),
        ({"is_period_paid": False}, "unsettled", (), "gives at most 500 runs"),
        ({"cancel_at": END}, "cancelled", ("resume",), "keep the Pro plan until 10 December 2026"),
        (
            {"pending_plan": BASIC, "pending_interval": Interval.MONTH, "pending_at": END},
            "pending",
            ("resume",),
            "From 10 December 2026 it is the Basic plan, paid by the month",
        ),
        (
            {"pending_plan": PRO, "pending_interval": Interval.YEAR, "pending_at": END},
            "pending",
            ("resume",),
            "it is the Pro plan, paid by the year",
        ),
    ],
)
def test_a_state_and_what_to_do(given: dict[str, Any], code: str, acts: tuple[str, ...], words: str) -> None:
    advice = only(**{**HELD, **given})
    assert (advice.code, advice.acts) == (code, acts)
    assert words in advice.text
    assert bool(advice.resume) == ("resume" in acts)


def test_the_grace_names_what_it_still_gives() -> None:
    late = {**HELD, "stripe_status": "past_due", "oldest_unpaid_at": NOW, "is_period_paid": False}
    assert "with at most 500 runs in this period" in only(**late).text


def test_past_its_end_it_is_being_renewed_for_three_days_and_then_not_confirmed() -> None:
    assert only(END, **HELD).code == "renewing"
    assert only(END + timedelta(hours=71), **HELD).code == "renewing"
    late = only(END + timedelta(hours=72), **HELD)
    assert (late.code, late.tone) == ("not_heard", "bad")
    assert "is on the Free plan meanwhile" in late.text
    # A plan that was cancelled has ended, as it was to.
    assert told(END, **HELD, cancel_at=END) == []


def test_a_trial_a_comp_and_an_override_say_until_when() -> None:
    assert "ends on 24 November 2026" in only(**trial(START, at(2026, 11, 24))).text
    assert "costs nothing until 10 December 2026" in only(**comp(PRO, START, END)).text
    override = only(runs_override=7, runs_override_end=END)
    assert (override.code, "7 runs a period" in override.text) == ("override", True)
    # What has ended is no news.
    assert told(END, **trial(START, END)) == told(END, **comp(PRO, START, END)) == []


def test_what_presses_most_comes_first() -> None:
    given = {**HELD, "stripe_status": "past_due", "oldest_unpaid_at": NOW, "cancel_at": END}
    assert [advice.code for advice in told(**given, runs_override=7, runs_override_end=END)] == [
        "grace",
        "cancelled",
        "override",
    ]


@pytest.mark.parametrize(
    ("given", "tone", "text"),
    [
        ({}, "quiet", "Active"),
        (HELD, "good", "Active"),
        ({**HELD, "cancel_at": END}, "warn", "Cancelled"),
        ({**HELD, "is_period_paid": False}, "warn", "Payment expected"),
        ({**HELD, "stripe_status": "unpaid"}, "bad", "Payment failed"),
        ({**HELD, "stripe_status": "past_due", "oldest_unpaid_at": NOW}, "bad", "Payment failed"),
        ({**HELD, "on_hold_since": NOW}, "bad", "On hold"),
        ({**HELD, "stripe_status": "paused"}, "warn", "Not active"),
        ({**HELD, "is_collection_paused": True}, "warn", "Not active"),
        (trial(START, END), "info", "Trial"),
        (comp(PRO, START, END), "info", "Given to you"),
    ],
)
def test_the_state_in_a_word(given: dict[str, Any], tone: str, text: str) -> None:
    badge = badge_of(quota(**given))
    assert (badge.tone, badge.text) == (tone, text)
