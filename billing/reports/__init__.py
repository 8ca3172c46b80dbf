"""Figures: what a workspace used, for its members; and how the business stands, for staff. See docs/figures.md."""

from billing.reports.usage import credits_by_day, days_of, exhausted_on, runs_per_day

__all__ = ["credits_by_day", "days_of", "exhausted_on", "runs_per_day"]
