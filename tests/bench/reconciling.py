"""How long it takes to walk both sides, and whether memory grows with them."""

from billing.models import Subscription
from tests.bench.figures import Figure
from tests.bench.server import Finished
from tests.bench.till import Till

GROWTH = 4


def reconciliation(till: Till, customers: int) -> list[Figure]:
    """A quarter of them first. Each time one walk has the new ones to mend, and the next has nothing."""
    few = _walks(till, customers // GROWTH)
    many = _walks(till, customers - customers // GROWTH)
    there = Subscription.objects.exclude(stripe_customer_id=None).count()
    mending, finding_nothing = (large.megabytes / small.megabytes for small, large in zip(few, many, strict=True))
    last, before = many[-1], few[-1]
    memory = f"{last.megabytes:.0f} MB, {before.megabytes:.0f} MB"
    return [
        Figure(
            f"memory of reconcile with {there:,} customers, against a quarter of them",
            max(mending, finding_nothing),
            1.1,
            at_most=True,
            seen=f"{memory}; {last.seconds:.0f} s, {there / last.seconds:.0f} customers/s",
        )
    ]


def _walks(till: Till, more: int) -> tuple[Finished, Finished]:
    till.subscribe(more)
    return till.manage("reconcile"), till.manage("reconcile")
