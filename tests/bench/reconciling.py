"""How long it takes to walk both sides, and whether memory grows with them."""

from billing.models import ReconciliationReport, Subscription
from tests.bench.figures import Figure
from tests.bench.server import Finished
from tests.bench.till import Till

GROWTH = 4


def reconciliation(till: Till, customers: int) -> list[Figure]:
    """A quarter of them first. Each time one walk has the new ones to mend, and the next has nothing."""
    few = _Walks(till, customers // GROWTH)
    many = _Walks(till, customers - customers // GROWTH)
    last, mending = many.idle, many.mending
    return [
        Figure(
            f"reconcile of {many.there:,} customers, of whom none differs",
            last.seconds,
            unit="s",
            seen=f"{many.there / last.seconds:,.0f} customers/s; {mending.seconds:.0f} s with {many.new:,} to mend",
            wrongs=[*few.wrongs, *many.wrongs],
        ),
        Figure(
            f"memory of reconcile with {many.there:,} customers, against a quarter of them",
            max(last.megabytes / few.idle.megabytes, mending.megabytes / few.mending.megabytes),
            1.1,
            at_most=True,
            seen=f"{last.megabytes:.0f} MB, {few.idle.megabytes:.0f} MB",
        ),
    ]


class _Walks:
    def __init__(self, till: Till, new: int) -> None:
        self.new, self.wrongs = new, list[str]()
        till.subscribe(new)
        self.there = Subscription.objects.exclude(stripe_customer_id=None).count()
        self.mending = self._walk(till, mended=new)
        self.idle = self._walk(till, mended=0)

    def _walk(self, till: Till, *, mended: int) -> Finished:
        finished = till.manage("reconcile")
        report = ReconciliationReport.objects.latest("id")
        walked = (report.workspaces, report.drifted, report.mended)
        if walked != (self.there, mended, mended):
            self.wrongs.append(f"Of {self.there:,} customers {mended:,} differed, and the report says {walked}.")
        return finished
