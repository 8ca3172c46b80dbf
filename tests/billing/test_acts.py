"""Acts of staff on a workspace that need no Stripe: done once, for a reason, within the role, and written down."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import clock
from accounts.idempotency import once_token
from accounts.models import Workspace
from billing import acts, audit, roles
from billing.models import AuditEntry, CreditGrant, LedgerEntry, Plan, Source, SubscriptionChange, UsagePeriod
from billing.quotas import quota_for
from tests.billing.meter import plan
from tests.desk import Desk, employ, off, where
from tests.people import Person


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


@pytest.fixture
def chief(db: None) -> Desk:
    return employ(roles.ADMIN)


def day(days: int) -> str:
    """As a date field has it."""
    return f"{timezone.localdate() + timedelta(days=days):%Y-%m-%d}"


def left(somebody: Person) -> int | None:
    return quota_for(somebody.subscription, now=clock.now()).remaining


def trail() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.exclude(actor_id=None).order_by("id").values_list("action", "actor_name", "reason"))


def test_support_gives_runs_and_the_customer_has_them(support: Desk, bob: Person) -> None:
    answer = support.act("give-credits", bob.workspace, runs=25, until=day(3), reason="Last night's outage")
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        f"/admin/accounts/workspace/{bob.workspace.pk}/change/",
    )
    grant = CreditGrant.objects.get()
    assert (grant.quantity, grant.kind, grant.reason, grant.created_by) == (
        25,
        "given",
        "Last night's outage",
        support.user,
    )
    assert grant.expires_at is not None
    assert timezone.localtime(grant.expires_at).strftime("%H:%M") == "00:00"
    assert left(bob) == 35
    assert trail() == [("give credits", "support@staff.example", "Last night's outage")]
    assert "25 runs given" in support.page_of(bob.workspace)
    assert off() == []


def test_pressed_twice_it_is_done_once(support: Desk, bob: Person) -> None:
    token = once_token()
    for _ in range(2):
        assert support.act("give-credits", bob.workspace, runs=25, token=token).status_code == 302
    assert (CreditGrant.objects.count(), AuditEntry.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "fields", [{"runs": 0}, {"runs": 5, "until": day(-2)}, {"runs": "many"}, {"runs": 5, "reason": " "}]
)
def test_what_cannot_be_is_refused_with_a_sentence(support: Desk, bob: Person, fields: dict[str, Any]) -> None:
    answer = support.act("give-credits", bob.workspace, **fields)
    assert answer.status_code in (400, 409)
    assert 'role="alert"' in answer.content.decode() or "errors" in answer.content.decode()
    assert not CreditGrant.objects.exists()
    assert not AuditEntry.objects.exists()


def test_each_role_gives_up_to_its_sum(support: Desk, billing: Desk, chief: Desk, bob: Person) -> None:
    refused = support.act("give-credits", bob.workspace, runs=101)
    assert (refused.status_code, "at most 100 runs" in refused.content.decode()) == (403, True)
    assert billing.act("give-credits", bob.workspace, runs=10_001).status_code == 403
    assert not CreditGrant.objects.exists()
    assert billing.act("give-credits", bob.workspace, runs=10_000).status_code == 302
    assert chief.act("give-credits", bob.workspace, runs=10_001).status_code == 302
    assert [grant.quantity for grant in CreditGrant.objects.order_by("id")] == [10_000, 10_001]


def test_credits_are_taken_back_from_the_newest_and_never_more_than_is_left(billing: Desk, bob: Person) -> None:
    for runs in (5, 10):
        billing.act("give-credits", bob.workspace, runs=runs)
    refused = billing.act("take-credits", bob.workspace, runs=16)
    assert (refused.status_code, "15 are left" in refused.content.decode()) == (409, True)
    assert left(bob) == 25
    assert billing.act("take-credits", bob.workspace, runs=12).status_code == 302
    assert [grant.quantity for grant in CreditGrant.objects.order_by("id")] == [3, 0]
    lines = LedgerEntry.objects.filter(kind="adjust").order_by("id")
    assert [(line.quantity, line.balance) for line in lines] == [(-10, 0), (-2, 3)]
    assert left(bob) == 13
    assert off() == []


def test_what_came_back_of_a_failed_run_is_not_taken(billing: Desk, bob: Person) -> None:
    CreditGrant.objects.create(
        workspace=bob.workspace, kind="returned", quantity=1, reason="A run", created_at=clock.now()
    )
    assert billing.act("take-credits", bob.workspace, runs=1).status_code == 409
    assert CreditGrant.objects.get().quantity == 1


def test_a_comp_is_given_until_the_day_is_over_and_ended(billing: Desk, bob: Person) -> None:
    assert billing.act("comp", bob.workspace, plan="pro", until=day(7), reason="A partner").status_code == 302
    assert (bob.subscription.comp_reason, left(bob)) == ("A partner", 5000)
    assert billing.act("end-comp", bob.workspace).status_code == 302
    assert left(bob) == 10
    again = billing.act("end-comp", bob.workspace)
    assert (again.status_code, "No comp runs here" in again.content.decode()) == (409, True)
    assert [action for action, *_ in trail()] == ["comp", "end comp"]
    assert off() == []


def test_a_trial_goes_on_with_what_was_used_of_it(billing: Desk, bob: Person) -> None:
    assert billing.act("extend-trial", bob.workspace, until=day(30)).status_code == 409
    assert bob.post("/billing/activate-trial").status_code == 200
    assert bob.post("/sessions").status_code == 201
    assert billing.act("extend-trial", bob.workspace, until=day(30)).status_code == 302
    bucket = UsagePeriod.objects.get(source=Source.TRIAL)
    assert (bucket.ends_at, bucket.used, left(bob)) == (bob.subscription.trial_end, 1, 49)
    assert bob.post("/sessions").status_code == 201
    assert UsagePeriod.objects.get(source=Source.TRIAL).used == 2
    assert off() == []


def test_an_override_holds_until_its_day_and_can_be_ended(
    billing: Desk, bob: Person, travel: Callable[[timedelta], object]
) -> None:
    assert billing.act("override-runs", bob.workspace, runs=0, until=day(2)).status_code == 302
    assert bob.post("/sessions").status_code == 402
    assert billing.act("end-override", bob.workspace).status_code == 302
    assert bob.post("/sessions").status_code == 201
    assert billing.act("override-runs", bob.workspace, runs=500, until=day(2)).status_code == 302
    assert left(bob) == 499
    travel(timedelta(days=4))
    assert quota_for(bob.subscription, now=clock.now()).limit == 10
    assert billing.act("end-override", bob.workspace).status_code == 409


def test_a_suspended_workspace_is_read_and_not_written(billing: Desk, bob: Person) -> None:
    assert billing.act("suspend", bob.workspace, reason="Fraud").status_code == 302
    assert (bob.get("/sessions").status_code, bob.post("/sessions").status_code) == (200, 403)
    assert billing.act("suspend", bob.workspace).status_code == 409
    assert billing.act("restore", bob.workspace).status_code == 302
    assert bob.post("/sessions").status_code == 201
    assert [(action, reason) for action, _, reason in trail()] == [("suspend", "Fraud"), ("restore", "A test of it")]


def test_an_act_that_moves_money_or_more_asks_who_it_is_once_more(bob: Person) -> None:
    stale = employ(roles.BILLING, is_fresh=False)
    answer = stale.act("suspend", bob.workspace)
    assert (answer.status_code, answer.headers["Location"].startswith("/accounts/reauthenticate/")) == (302, True)
    bob.workspace.refresh_from_db()
    assert bob.workspace.suspended_at is None
    assert stale.act("give-credits", bob.workspace, runs=5).status_code == 302
    assert CreditGrant.objects.get().quantity == 5


@pytest.mark.parametrize("name", acts.WORKSPACE)
@pytest.mark.parametrize("role", [roles.SUPPORT, roles.BILLING, roles.ADMIN])
def test_what_a_role_may_not_do_is_neither_shown_nor_possible(role: str, name: str, alice: Person) -> None:
    desk, act = employ(role), acts.WORKSPACE[name]
    before = AuditEntry.objects.count()
    is_shown = where(name, alice.workspace) in desk.page_of(alice.workspace)
    assert is_shown == (act.may(desk.user) and act.is_offered(alice.subscription, clock.now()))
    got = desk.get(where(name, alice.workspace)).status_code
    assert got == (200 if act.may(desk.user) else 403)
    if not act.may(desk.user):
        assert desk.act(name, alice.workspace, runs=5, plan="pro", until=day(3)).status_code == 403
        assert desk.client.post(f"/admin/acts/{name}/many/", {"workspaces": str(alice.workspace.pk)}).status_code in (
            403,
            404,
        )
        assert AuditEntry.objects.count() == before


def test_support_does_nothing_about_money(db: None) -> None:
    desk = employ(roles.SUPPORT)
    assert {name for name, act in acts.WORKSPACE.items() if act.may(desk.user)} == {
        "give-credits",
        "take-credits",
        "sync",
    }


def test_customers_and_strangers_do_not_reach_an_act(bob: Person, charlie: Person) -> None:
    outsider = Desk(charlie)
    answer = outsider.act("give-credits", bob.workspace, runs=5)
    assert (answer.status_code, answer.headers["Location"].startswith("/admin/login/")) == (302, True)
    assert not CreditGrant.objects.exists()


def test_an_act_and_a_workspace_that_are_not_there_are_not_found(support: Desk, bob: Person) -> None:
    assert support.client.get(f"/admin/acts/no-such/{bob.workspace.pk}/").status_code == 404
    assert support.client.get(where("give-credits", Workspace(pk=bob.user.pk))).status_code == 404


def test_a_line_of_the_trail_names_what_differs() -> None:
    before = {"a": 1, "b": "", "c": None, "d": "x"}
    after = {"a": 0, "b": None, "c": "", "d": "x", "e": 5, "f": False}
    assert audit.changes(before, after) == [("a", 1, 0), ("e", None, 5)]


def test_the_history_of_the_subscription_names_who_did_it(billing: Desk, bob: Person) -> None:
    billing.act("override-runs", bob.workspace, runs=77, until=day(2))
    line = SubscriptionChange.objects.order_by("-id")[0]
    assert (line.cause, line.actor, line.after["runs_override"]) == ("override", billing.user, 77)


def test_more_may_be_used_than_an_override_leaves(billing: Desk, bob: Person) -> None:
    plan(Plan.FREE, runs_limit=3)
    for _ in range(3):
        assert bob.post("/sessions").status_code == 201
    assert billing.act("override-runs", bob.workspace, runs=1, until=day(2)).status_code == 302
    assert left(bob) == 0
    assert bob.post("/sessions").status_code == 402
    assert off() == []
