"""What a replay of given-up events would change, said before it is done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Count, QuerySet

from accounts.errors import Problem
from accounts.models import Workspace
from billing import drift, gateway
from billing.drift import Difference
from billing.models import StripeEvent

# Of so many customers Stripe is asked while somebody waits for the page.
MOST_ASKED: Final = 5


@dataclass(frozen=True)
class Foreseen:
    """Of one customer, or of events that name none: the differences that would go, and in a sentence what else."""

    customer: str
    events: int
    sentence: str
    workspace: Workspace | None = None
    differences: Sequence[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Outlook:
    """`left_out` counts customers of whom Stripe was not asked; `problem` says why of the others it could not be."""

    foreseen: Sequence[Foreseen]
    left_out: int = 0
    problem: str = ""


def outlook(events: QuerySet[StripeEvent]) -> Outlook:
    """Changes nothing. A handful of calls to Stripe for each customer, and none after the first that fails."""
    counted = events.order_by().values_list("customer").annotate(count=Count("pk")).order_by("-count", "customer")
    counts = dict(counted)
    of_nobody = counts.pop("", 0)
    foreseen = [_of_nobody(events, of_nobody)] if of_nobody else []
    asked = list(counts)[:MOST_ASKED]
    known = {str(row.stripe_customer_id): row for row in drift.rows().filter(stripe_customer_id__in=asked)}
    problem = ""
    for customer in asked:
        row = known.get(customer)
        if row is None:
            sentence = "No workspace has this customer: it would be in vain again."
            foreseen.append(Foreseen(customer, counts[customer], sentence))
            continue
        try:
            differences = drift.differences_of(row)
        except Problem as error:
            problem = _why(error)
            break
        sentence = "Our row would follow." if differences else "Nothing: our row is as Stripe has it already."
        foreseen.append(Foreseen(customer, counts[customer], sentence, row.workspace, differences))
    return Outlook(foreseen, len(counts) - len(asked), problem)


def _of_nobody(events: QuerySet[StripeEvent], count: int) -> Foreseen:
    """What is looked up by something else than a customer; see `deliveries.look_at_event`."""
    places = events.filter(customer="").exclude(points_to="").order_by("points_to").values_list("points_to", flat=True)
    where = ", ".join(places.distinct()[:MOST_ASKED]) or "nothing"
    return Foreseen("", count, f"They name no customer. What they are about is looked up at Stripe again, by {where}.")


def _why(error: Problem) -> str:
    match error:
        case gateway.BillingNotConfigured():
            return "No key of Stripe's is set here, so nobody can say what Stripe holds."
        case gateway.StripeUnavailable():
            return "Stripe cannot be reached just now, so nobody can say what it holds."
        case _:
            return f"Stripe refused to say what it holds ({error.code})."
