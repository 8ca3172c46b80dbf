"""The reconciliation desk: compared by a worker or at once, shown as ours and Stripe's, and mended by who may."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts import clock
from accounts.idempotency import once_token
from accounts.models import Workspace
from billing import jobs, reconciliation, reconciling, roles
from billing.models import AuditEntry, ReconciliationReport
from billing.reconciling import State
from tests.billing.stripe.digest import digest
from tests.billing.stripe.payer import Payer
from tests.desk import Desk, employ
from tests.people import Person, person

PATH, RUN = "/admin/reconciliation/", "/admin/reconciliation/run/"
REPORTS = "/admin/billing/reconciliationreport/"


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


@pytest.fixture(autouse=True)
def no_patience(settings: Any) -> None:
    settings.STRIPE_RETRIES = 0


def page(answer: Any) -> str:
    body = answer.content.decode().partition('id="content"')[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def run(desk: Desk, step: str, *, reason: str = "After the outage", token: str = "") -> Any:
    return desk.client.post(RUN, {"step": step, "reason": reason, "once": token or once_token()})


def of(workspace: Workspace) -> str:
    return f"{PATH}{workspace.pk}/"


def mend(desk: Desk, workspace: Workspace, *, reason: str = "They paid", token: str = "") -> Any:
    return desk.client.post(of(workspace), {"reason": reason, "once": token or once_token()})


def waiting() -> list[dict[str, Any]]:
    found = ProcrastinateJob.objects.filter(task_name="billing.jobs.reconcile_as_asked", status="todo").order_by("id")
    return [job.args for job in found]


def at_work() -> None:
    """What a worker does with the last that was asked for."""
    jobs.reconcile_as_asked(**waiting()[-1])


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def unheard(payer: Payer) -> None:
    """Paid at Stripe, and nothing was heard of it here."""
    payer.stand_in.pay(payer.checkout("pro"))


def test_a_dry_run_is_a_workers_and_changes_nothing(payer: Payer, billing: Desk) -> None:
    unheard(payer)
    assert "None has mended anything yet" in page(billing.get(PATH))
    answer = run(billing, "compare")
    assert (answer.status_code, answer.headers["Location"]) == (302, PATH)
    assert "Waits for a worker." in page(billing.get(PATH))
    before = digest()
    at_work()
    # How it stands is kept there.
    assert digest() | {"cache": ""} == before | {"cache": ""}
    shown = page(billing.get(PATH))
    for words in (
        *("Compared asked for by billing@staff.example", "Differs 1 workspace looked at", "bob@example.com"),
        *("stripe status - active", "monthly amount 0 49.00 USD", "Mend this one …"),
    ):
        assert words in shown
    assert (payer.sees()["plan"], ReconciliationReport.objects.count(), AuditEntry.objects.count()) == ("free", 0, 0)


def test_all_that_differs_is_mended_in_the_name_of_who_asked(payer: Payer, billing: Desk) -> None:
    unheard(payer)
    assert run(billing, "mend").status_code == 302
    at_work()
    assert payer.sees()["plan"] == "pro"
    asked, mended = AuditEntry.objects.order_by("id")
    assert (asked.action, asked.actor_id, asked.reason) == ("reconcile all", billing.user.pk, "After the outage")
    assert (mended.action, mended.actor_id, mended.reason) == ("reconcile", billing.user.pk, "After the outage")
    assert mended.after["stripe_status"] == "active"
    report = ReconciliationReport.objects.get()
    assert (report.is_whole, report.mended) == (True, 1)
    assert "1 mended" in page(billing.get(PATH))
    assert "Mend this one" not in page(billing.get(PATH))
    shown = page(billing.get(f"{REPORTS}{report.pk}/change/"))
    for words in ("by billing@staff.example", "stripe status - active", "Nothing was left for staff."):
        assert words in shown


def test_it_is_carried_out_by_the_real_worker(
    transactional_db: None, payer: Payer, billing: Desk, work: Callable[[], None]
) -> None:
    unheard(payer)
    ProcrastinateJob.objects.all().delete()
    run(billing, "mend")
    work()
    assert payer.sees()["plan"] == "pro"


def test_one_at_a_time_is_said_in_a_sentence(payer: Payer, billing: Desk, support: Desk) -> None:
    run(billing, "compare")
    for step in ("compare", "mend"):
        answer = run(employ(roles.ADMIN) if step == "mend" else billing, step)
        assert (answer.status_code, "Another reconciliation is under way" in page(answer)) == (409, True)
    assert (len(waiting()), AuditEntry.objects.count()) == (1, 0)
    at_work()
    assert run(billing, "compare").status_code == 302


def test_pressed_twice_it_is_asked_for_once(payer: Payer, billing: Desk) -> None:
    token = once_token()
    assert [run(billing, "mend", token=token).status_code for _ in range(2)] == [302, 302]
    assert (len(waiting()), AuditEntry.objects.count()) == (1, 1)


def test_without_a_reason_nothing_is_mended(payer: Payer, billing: Desk) -> None:
    answer = run(billing, "mend", reason="")
    assert (answer.status_code, waiting(), AuditEntry.objects.count()) == (400, [], 0)
    assert "<details open>" in answer.content.decode()


def test_who_was_silent_for_long_stands_in_nobodys_way(payer: Payer, billing: Desk) -> None:
    run(billing, "compare")
    asked = reconciling.last()
    assert asked is not None
    old = asked.told_at - timedelta(minutes=11)
    reconciling._keep(replace(asked, state=State.RUNNING, told_at=old))
    assert "Nothing was heard of it since" in page(billing.get(PATH))
    assert run(billing, "compare").status_code == 302
    # The dead one's job comes back, and finds that something else was asked for since.
    first, second = waiting()
    jobs.reconcile_as_asked(**first)
    assert (found := reconciling.last()) is not None
    assert (found.state, found.id) == ("waiting", second["asked"])


def test_how_far_it_is_is_told_now_and_then(payer: Payer, billing: Desk) -> None:
    run(billing, "compare")
    asked = reconciling.last()
    assert asked is not None
    tell = reconciling._telling(asked)
    assert "0 workspaces" in page(billing.get(PATH))
    # Not a thousand times a second.
    tell("workspaces", 1200, 5000)
    assert "1,200" not in page(billing.get(PATH))
    tell = reconciling._telling(asked, each=timedelta())
    tell("workspaces", 1200, 5000)
    assert "1,200 of 5,000 workspaces" in page(billing.get(PATH))
    tell("refunds at Stripe", 300, None)
    assert "300 refunds at Stripe" in page(billing.get(PATH))


def test_while_it_is_under_way_the_page_asks_again_by_itself(payer: Payer, billing: Desk) -> None:
    run(billing, "compare")
    assert 'hx-trigger="every 3s"' in billing.get(PATH).content.decode()
    at_work()
    assert "every 3s" not in billing.get(PATH).content.decode()


def test_what_fails_is_told_and_can_be_asked_for_again(payer: Payer, billing: Desk, settings: Any) -> None:
    run(billing, "compare")
    settings.STRIPE_SECRET_KEY = ""
    at_work()
    assert "The worker has no key of Stripe's" in page(billing.get(PATH))
    answer = run(billing, "compare")
    assert (answer.status_code, "there is nothing to compare with" in page(answer)) == (503, True)
    assert len(waiting()) == 1


def test_with_stripe_away_what_could_not_be_looked_at_is_listed(pro: Payer, billing: Desk) -> None:
    pro.stand_in.control("POST", "faults", path=".", status=500, times=30)
    run(billing, "compare")
    at_work()
    shown = page(billing.get(PATH))
    assert "Could not be looked at" in shown
    assert "bob@example.com stripe_unavailable" in shown


def test_what_only_staff_can_decide_is_listed_and_kept_in_the_report(pro: Payer, billing: Desk) -> None:
    second = pro.client.v1.customers.create(
        {"email": "bob@example.com", "metadata": {"workspace_id": str(pro.person.workspace.pk)}}
    )
    run(billing, "mend")
    at_work()
    report = ReconciliationReport.objects.get()
    for path in (PATH, f"{REPORTS}{report.pk}/change/"):
        shown = page(billing.get(path))
        assert f"Customer {second.id} Is a second one of bob@example.com" in shown


def test_one_workspace_is_compared_at_once_and_mended(payer: Payer, billing: Desk) -> None:
    unheard(payer)
    workspace = payer.person.workspace
    before = digest()
    shown = page(billing.get(of(workspace)))
    assert "stripe status - active" in shown
    assert digest() == before
    token = once_token()
    for _ in range(2):
        answer = mend(billing, workspace, token=token)
        assert (answer.status_code, answer.headers["Location"]) == (302, of(workspace))
    assert said(answer) == ["Mended: our row is as Stripe has it."]
    assert payer.sees()["plan"] == "pro"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_id, entry.reason) == ("reconcile", billing.user.pk, "They paid")
    assert entry.workspace_id == workspace.pk
    assert ReconciliationReport.objects.get().is_whole is False
    assert "Nothing differs" in page(billing.get(of(workspace)))


@pytest.fixture
def nightly(db: None) -> Iterator[None]:
    """Another process is at it."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('billing:reconcile', 0))")
        yield
    finally:
        other.close()


def test_nothing_is_begun_while_the_nightly_one_is_under_way(payer: Payer, billing: Desk, nightly: None) -> None:
    unheard(payer)
    for answer in (mend(billing, payer.person.workspace), run(billing, "compare"), run(billing, "mend")):
        assert (answer.status_code, "Another reconciliation is under way" in page(answer)) == (409, True)
    assert (payer.sees()["plan"], AuditEntry.objects.count(), waiting()) == ("free", 0, [])


def test_what_was_asked_for_before_it_began_says_so(payer: Payer, billing: Desk, request: Any) -> None:
    run(billing, "mend")
    request.getfixturevalue("nightly")
    at_work()
    assert "Another reconciliation was under way when this one was to begin." in page(billing.get(PATH))
    assert not ReconciliationReport.objects.exists()


def test_one_without_a_customer_has_nothing_to_compare(payer: Payer, billing: Desk, charlie: Person) -> None:
    assert "no customer at Stripe" in page(billing.get(of(charlie.workspace)))
    unknown = of(Workspace(pk="01a20027-8c78-7182-a016-71848e4e20d7"))
    assert billing.get(unknown).status_code == 404


def test_one_of_whom_stripe_says_nothing_is_not_mended(pro: Payer, billing: Desk) -> None:
    pro.stand_in.control("POST", "faults", path=".", status=500, times=30)
    assert "Could not be looked at" in page(billing.get(of(pro.person.workspace)))
    answer = mend(billing, pro.person.workspace)
    assert said(answer)[0].startswith("It could not be looked at: stripe_unavailable")
    assert not AuditEntry.objects.exists()


def test_a_workspace_is_found_by_anything(pro: Payer, billing: Desk, charlie: Person) -> None:
    def find(words: str) -> Any:
        return billing.get(f"{PATH}find/", q=words)

    for words in ("bob@example.com", "Bob", pro.customer, pro.one.id):
        assert find(words).headers["Location"] == of(pro.person.workspace)
    person("bobby@example.com")
    several = find("bob").content.decode()
    assert of(pro.person.workspace) in several
    assert of(charlie.workspace) not in several
    assert "has anything to do with" in page(find("nobody@example.com"))


def test_support_sees_what_was_found_and_asks_for_nothing(payer: Payer, support: Desk, billing: Desk) -> None:
    unheard(payer)
    run(billing, "compare")
    at_work()
    answer = support.get(PATH)
    assert "stripe status - active" in page(answer)
    content = answer.content.decode().partition('id="content"')[2]
    assert not re.search(r"<form|Mend", content.partition("unfold")[0])
    workspace = payer.person.workspace
    refused = [run(support, "compare"), run(support, "mend"), mend(support, workspace)]
    refused += [support.get(of(workspace)), support.get(f"{PATH}find/", q="bob")]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert (payer.sees()["plan"], len(waiting()), AuditEntry.objects.count()) == ("free", 1, 0)


def test_who_has_no_role_sees_nothing(db: None) -> None:
    report = ReconciliationReport.objects.create(started_at=datetime.now(UTC), is_whole=True)
    clerk = Desk(person("clerk@staff.example", is_staff=True))
    paths = (PATH, REPORTS, f"{REPORTS}{report.pk}/change/")
    assert [clerk.get(path).status_code for path in paths] == [403, 403, 404]


def test_a_run_is_begun_by_a_form_alone(billing: Desk) -> None:
    assert billing.get(RUN).status_code == 405


def test_no_page_needs_more_statements_for_more_reports(
    payer: Payer, billing: Desk, statements: Callable[[], Any]
) -> None:
    def counts() -> list[int]:
        found = []
        for path in (PATH, REPORTS, f"{REPORTS}{ReconciliationReport.objects.latest('pk').pk}/change/"):
            with statements() as seen:
                assert billing.get(path).status_code == 200
            found.append(len(seen))
        return found

    unheard(payer)
    reconciliation.reconcile(now=clock.now(), actor=billing.user)
    before = counts()
    report = ReconciliationReport.objects.get()
    for _ in range(20):
        report.pk = None
        report.orphans = [{"kind": "refund", "id": "re_1", "sentence": "is owed."}] * 20
        report.save()
    assert counts() == before
    assert max(before) <= 12
