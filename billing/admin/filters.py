"""What the numbers of the overview lead to: each list in the very words in which the number was counted."""

from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts import clock
from billing.models import StripeEvent
from billing.reports import revenue, standing
from billing.reports.spans import Span, last_days, this_month


class Filter(SimpleListFilter):
    #: What a value is called.
    words: ClassVar[dict[str, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.words.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        word, _, more = (self.value() or "").partition(".")
        return queryset.filter(self.behind(word, more)) if word in self.words else queryset

    def behind(self, word: str, more: str) -> Q:
        """What the word counts; `more` is what is said behind a full stop."""
        raise NotImplementedError


class StandingFilter(Filter):
    title, parameter_name = "standing", "standing"
    words: ClassVar = {
        standing.Standing.PAYING: "Pays",
        standing.Standing.IN_GRACE: "Past due, within grace",
        standing.Standing.GRACE_OVER: "Past due, grace is over",
        standing.Standing.ON_HOLD: "On hold",
    }

    def behind(self, word: str, more: str) -> Q:
        return Q(pk__in=standing.standing(standing.Standing(word), now=clock.now()).values("pk"))


class TrialFilter(Filter):
    title, parameter_name = "trial", "trial"
    words: ClassVar = {
        standing.Trial.RUNNING: "Running",
        standing.Trial.ENDING: "Ends within seven days",
        "converted": "Paid for the first time, in the last seven days",
        standing.Trial.ENDED: "Ended without a payment, in the last seven days",
        standing.Trial.AT_STRIPE: "At Stripe",
    }

    def behind(self, word: str, more: str) -> Q:
        now = clock.now()
        if word == "converted":
            return Q(pk__in=revenue.who_converted(last_days(7, now)))
        return Q(pk__in=standing.trials(standing.Trial(word), now=now).values("pk"))


class MovedFilter(Filter):
    """With a currency behind a full stop, `new.usd`, only what moved in that one."""

    title, parameter_name = "movement this month", "moved"
    words: ClassVar = {
        revenue.Kind.NEW: "New",
        revenue.Kind.REACTIVATION: "Came back",
        revenue.Kind.EXPANSION: "Pays more",
        revenue.Kind.CONTRACTION: "Pays less",
        revenue.Kind.CHURN: "Left",
    }

    def behind(self, word: str, more: str) -> Q:
        return Q(pk__in=revenue.who_moved(this_month(clock.now()), revenue.Kind(word), currency=more))


class WhenFilter(Filter):
    """Days of UTC, today among them."""

    title, parameter_name = "when", "when"
    words: ClassVar = {"today": "Today", "week": "The last 7 days", "month": "The last 30 days"}
    lengths: ClassVar = {"today": 1, "week": 7, "month": 30}

    def behind(self, word: str, more: str) -> Q:
        return self.within(last_days(self.lengths[word], clock.now(), clock.offset()))

    def within(self, span: Span) -> Q:
        raise NotImplementedError


class LedgerWhenFilter(WhenFilter):
    def within(self, span: Span) -> Q:
        least, beyond = span.ids
        return Q(pk__gte=least, pk__lt=beyond, created_at__gte=span.since, created_at__lt=span.until)


class RefusalWhenFilter(WhenFilter):
    def within(self, span: Span) -> Q:
        return Q(minute__gte=span.since, minute__lt=span.until)


class DeliveryWhenFilter(WhenFilter):
    def within(self, span: Span) -> Q:
        since, until = span.wall
        done = Q(state=StripeEvent.State.DONE, done_at__gte=since)
        return Q(received_at__gte=since, received_at__lt=until) & (done | ~Q(state=StripeEvent.State.DONE))


class WaitingFilter(Filter):
    title, parameter_name = "what waits", "waits"
    words: ClassVar = {
        standing.Waiting.LATE: "For more than five minutes",
        standing.Waiting.DEAD: "Given up",
        standing.Waiting.UNMATCHED: "Of nobody here",
    }

    def behind(self, word: str, more: str) -> Q:
        wall = clock.now() - clock.offset()
        return Q(pk__in=standing.deliveries(standing.Waiting(word), wall=wall).values("pk"))
