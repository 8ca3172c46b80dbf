"""Buying a plan."""

from tests.billing.stripe.payer import Payer


def test_who_pays_is_on_the_plan_when_they_come_back(payer: Payer) -> None:
    session = payer.checkout("pro")
    assert payer.sees()["plan"] == "free"
    answer = payer.pay(session)
    assert answer.status_code == 200
    assert b"Pro plan, with 5,000 runs" in answer.content
    seen = payer.sees()
    assert (seen["plan"], seen["source"], seen["status"]) == ("pro", "paid", "active")
    assert (seen["monthly_agent_runs"], seen["monthly_agent_runs_limit"]) == (0, 5000)
    assert payer.row.is_period_paid
