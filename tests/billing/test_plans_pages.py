"""The pages of plans and prices: by role, with a reason, looked at before, and done once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from accounts import clock
from accounts.idempotency import once_token
from billing import assortment, roles
from billing.models import AuditEntry, Plan, Price, UsagePeriod
from tests.billing.meter import consume, quota
from tests.desk import Desk, employ
from tests.people import Person, person

pytestmark = pytest.mark.django_db

LIST = "/admin/billing/plan/"
ADD = "/admin/billing/plan/add/"
PUBLISH = "/admin/billing/plan/publish/"
PAGES = ("edit", "order", "hide", "show", "retire", "bring_back", "limit", "price")


@pytest.fixture
def billing(db: None) -> Desk:
    return employ(roles.BILLING)


@pytest.fixture
def support(db: None) -> Desk:
    return employ(roles.SUPPORT)


def plan(slug: str = Plan.BASIC) -> Plan:
    return Plan.objects.get(slug=slug)


def price(slug: str = Plan.BASIC, interval: str = "month") -> Price:
    return Price.objects.select_related("plan").get(plan__slug=slug, interval=interval, is_active=True)


def at(act: str, slug: str = Plan.BASIC, *more: Any) -> str:
    return reverse(f"admin:billing_plan_{act}", args=[plan(slug).pk, *more])


def withdraw(slug: str = Plan.BASIC, interval: str = "month") -> str:
    return at("withdraw", slug, price(slug, interval).pk)


def send(desk: Desk, path: str, *, token: str = "", **fields: Any) -> Any:
    """The page's form; a reason is given where the test gives none."""
    return desk.client.post(path, {"reason": "A test of it", "once": token or once_token(), **fields})


def look_and_do(desk: Desk, path: str, **fields: Any) -> Any:
    """First what it would do, then that."""
    looked = send(desk, path, step="look", **fields)
    assert looked.status_code == 200, looked.content.decode()
    return send(desk, path, step="do", seen=looked.context["seen"], **fields)


def stored() -> list[Any]:
    rows: list[Any] = [list(table.objects.order_by("pk").values()) for table in (Plan, Price, UsagePeriod)]
    return [*rows, AuditEntry.objects.count()]


def details(slug: str = Plan.BASIC, **changed: Any) -> dict[str, Any]:
    """As the browser sends the form of the details: what it was filled with, and what somebody changed."""
    of = plan(slug)
    filled = {
        "name": of.name,
        "description": of.description,
        "features": of.features,
        "job_priority": of.job_priority,
        "grace_days": of.grace_days,
    }
    return {**{f"initial-{name}": value for name, value in filled.items()}, **filled, **changed}


def test_the_list_says_what_is_sold_and_what_waits(
    billing: Desk, statements: Callable[[], CaptureQueriesContext]
) -> None:
    assortment.retire(plan(Plan.PRO), actor=None, reason="A test", now=clock.now())
    Plan.objects.filter(slug=Plan.ENTERPRISE).update(is_public=False)
    page = billing.get(LIST).content.decode()
    for text in ("19.00 USD a month", "190.00 USD a year", "Not at Stripe", "Costs nothing", "By agreement"):
        assert text in page
    for state in ("Shown", "Hidden", "Retired"):
        assert f">{state}</span>" in page
    # Of two plans that are shown two prices wait, and PRO's do not count any more.
    assert "2 prices of plans that are shown are not at Stripe" in page
    with statements() as seen:
        billing.get(LIST)
    for number in range(5):
        made = Plan.objects.create(slug=f"plan-{number}", name=f"Plan {number}", rank=100 + number)
        Price.objects.create(plan=made, unit_amount=100)
    with statements() as more:
        billing.get(LIST)
    assert len(seen) == len(more) <= 12


def test_a_plans_page_has_its_prices_former_ones_and_its_trail(billing: Desk) -> None:
    old = price()
    Price.objects.filter(pk=old.pk).update(stripe_price_id="price_1", stripe_product_id="prod_1")
    look_and_do(billing, at("price"), interval="month", currency="usd", amount="21.00", reason="Costs <rose>")
    page = billing.get(at("change")).content.decode()
    for text in (
        "21.00 USD a month",
        "19.00 USD a month",
        "https://dashboard.stripe.com/test/prices/price_1",
        "Costs &lt;rose&gt;",
        "billing@staff.example",
        "set price",
    ):
        assert text in page
    assert "<rose>" not in page


def test_a_plan_that_is_not_there_is_not_found(billing: Desk) -> None:
    missing = "01a1fdeb-0000-7a02-8c90-aa2fe2fd0366"
    for path in (f"{LIST}{missing}/change/", f"{LIST}{missing}/limit/", f"{LIST}nonsense/change/"):
        assert billing.get(path).status_code == 404
    # A price is withdrawn at its own plan only.
    assert billing.get(at("withdraw", Plan.PRO, price().pk)).status_code == 404


@pytest.mark.parametrize("role", [roles.BILLING, roles.ADMIN])
def test_who_may_change_plans_opens_every_page(role: str) -> None:
    desk = employ(role)
    for path in (ADD, PUBLISH, withdraw(), *(at(act) for act in PAGES)):
        answer = desk.get(path)
        assert answer.status_code == 200, path
        assert 'name="reason"' in answer.content.decode() or path == PUBLISH


def test_support_looks_at_plans_and_changes_nothing(support: Desk) -> None:
    listed, shown = support.get(LIST), support.get(at("change"))
    assert (listed.status_code, shown.status_code) == (200, 200)
    for page in (listed.content.decode(), shown.content.decode()):
        for hidden in (
            "/add/",
            "/publish/",
            "/order/",
            "/edit/",
            "/limit/",
            "/price/",
            "/hide/",
            "/retire/",
            "/withdraw/",
        ):
            assert f"{hidden}" not in page.replace(f"{LIST}?", "")
    before = stored()
    for path in (ADD, PUBLISH, withdraw(), *(at(act) for act in PAGES)):
        assert support.get(path).status_code == 403, path
        answer = send(support, path, step="do", seen="", runs_limit=1, rank=35, amount="1", name="Mine")
        assert answer.status_code == 403, path
    assert stored() == before


def test_customers_and_strangers_do_not_come_in(bob: Person) -> None:
    client = Client()
    for _ in range(2):
        for path in (LIST, ADD, PUBLISH, withdraw(), at("change"), *(at(act) for act in PAGES)):
            answer = client.post(path, {"reason": "Mine", "once": once_token()})
            assert (answer.status_code, answer.headers["Location"].startswith("/admin/login/")) == (302, True), path
        client.force_login(bob.user)


def test_a_form_from_elsewhere_is_refused(billing: Desk) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(billing.user)
    answer = client.post(at("hide"), {"reason": "A test of it", "once": once_token()})
    assert answer.status_code == 403
    assert plan().is_public


@pytest.mark.parametrize("reason", ["", "  ", "no"])
def test_nothing_is_done_without_a_reason(billing: Desk, reason: str) -> None:
    before = stored()
    fields: dict[str, Any] = {
        "runs_limit": 6,
        "when": "next",
        "interval": "month",
        "currency": "usd",
        "amount": "21",
        "rank": 35,
    }
    for path in (ADD, withdraw(), *(at(act) for act in PAGES)):
        answer = send(billing, path, step="do", reason=reason, **details(**fields))
        assert answer.status_code == 400, path
    assert stored() == before


def test_a_plan_is_added_hidden_given_a_price_and_shown(billing: Desk, bob: Person) -> None:
    form: dict[str, Any] = {
        "slug": "small",
        "name": "AI-Manus SMALL",
        "rank": 25,
        "runs_limit": 2000,
        "members_limit": 5,
    }
    form |= {"job_priority": 5, "grace_days": 7, "storage": "1.5", "features": ["api_keys"]}
    assert send(billing, ADD, **form).headers["Location"] == LIST
    made = plan("small")
    assert (made.is_public, made.storage_limit, made.features) == (False, 1_610_612_736, ["api_keys"])
    refused = send(billing, at("show", "small"))
    assert refused.status_code == 409
    assert "has no price, so nobody could buy it" in refused.content.decode()
    answer = look_and_do(billing, at("price", "small"), interval="month", currency="USD", amount="29.00")
    assert answer.headers["Location"] == at("change", "small")
    assert send(billing, at("show", "small")).status_code == 302
    (sold,) = (one for one in bob.get("/billing/plans").json() if one["plan"] == "small")
    assert (sold["monthly_agent_runs_limit"], [one["unit_amount"] for one in sold["prices"]]) == (2000, [2900])
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "add plan",
        "set price",
        "show plan",
    ]


def test_what_would_not_do_is_said_where_it_was_typed(billing: Desk) -> None:
    form: dict[str, Any] = {"slug": "pro", "name": "Another", "rank": 25, "job_priority": 0, "grace_days": 7}
    before = stored()
    answer = send(billing, ADD, **form)
    assert answer.status_code == 409
    assert escape("The word pro is AI-Manus PRO's already.") in answer.content.decode()
    assert 'value="Another"' in answer.content.decode()
    assert stored() == before


def test_details_are_changed_where_somebody_changed_them(billing: Desk) -> None:
    answer = send(billing, at("edit"), **details(members_limit=3, features=["api_keys"]))
    assert answer.headers["Location"] == at("change")
    assert (plan().members_limit, plan().features, plan().description) == (
        3,
        ["api_keys"],
        "1,000 agent runs per month",
    )
    entry = AuditEntry.objects.get(action="edit plan")
    assert (sorted(entry.before), entry.reason, entry.actor_name) == (
        ["features", "members_limit"],
        "A test of it",
        "billing@staff.example",
    )
    # Somebody else changed the name after the form was opened: what was not touched here stays as it is there.
    opened = details(grace_days=9)
    Plan.objects.filter(slug=Plan.BASIC).update(name="AI-Manus SMALL")
    send(billing, at("edit"), **opened | {"initial-members_limit": 3, "members_limit": 3})
    assert (plan().name, plan().grace_days) == ("AI-Manus SMALL", 9)


def test_a_storage_that_nobody_touched_stays_to_the_byte(billing: Desk) -> None:
    Plan.objects.filter(slug=Plan.BASIC).update(storage_limit=1_234_567_891)
    shown = billing.get(at("edit")).context["form"]["storage"].value()
    send(billing, at("edit"), **details(description="Another", storage=shown) | {"initial-storage": shown})
    assert (plan().storage_limit, plan().description) == (1_234_567_891, "Another")


def test_a_plan_goes_up_and_down_and_to_a_number(billing: Desk) -> None:
    page = billing.get(LIST).content.decode()
    assert f"{at('order')}?past=higher" in page
    # FREE stays where it is, and nothing goes below it.
    assert f"{at('order', Plan.FREE)}?past=" not in page
    assert f"{at('order', Plan.TRIAL)}?past=lower" not in page
    looked = billing.client.get(f"{at('order')}?past=higher").content.decode()
    assert "AI-Manus BASIC is to be above AI-Manus PRO" in looked
    assert send(billing, at("order"), past="higher").headers["Location"] == LIST
    assert (plan().rank, plan(Plan.PRO).rank) == (30, 20)
    send(billing, at("order"), past="lower")
    assert (plan().rank, plan(Plan.PRO).rank) == (20, 30)
    send(billing, at("order"), rank=35)
    assert plan().rank == 35
    refused = send(billing, at("order", Plan.TRIAL), past="lower")
    assert refused.status_code == 409
    assert "stays the lowest plan" in refused.content.decode()


def test_pressed_twice_it_is_done_once(billing: Desk) -> None:
    token = once_token()
    answers = [send(billing, at("order"), token=token, past="higher") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert (plan().rank, AuditEntry.objects.filter(action="order plans").count()) == (30, 1)


def test_hide_retire_and_back(billing: Desk, bob: Person) -> None:
    def states() -> tuple[bool, bool]:
        return plan().is_public, plan().retired_at is not None

    seen = []
    for act in ("hide", "show", "retire", "bring_back", "show"):
        page = billing.get(at("change")).content.decode()
        assert at(act) in page, act
        assert send(billing, at(act)).status_code == 302
        seen.append(states())
    assert seen == [(False, False), (True, False), (False, True), (False, False), (True, False)]
    for slug in (Plan.FREE, Plan.TRIAL):
        page = billing.get(at("change", slug)).content.decode()
        for act in ("hide", "retire", "price"):
            assert at(act, slug) not in page
        assert send(billing, at("hide", slug)).status_code == 409


def test_before_the_runs_are_changed_it_is_said_whom_that_affects_and_when(
    billing: Desk, bob: Person, charlie: Person
) -> None:
    now = clock.now()
    for _ in range(7):
        consume(bob.workspace, now)
    before = stored()
    answer = send(billing, at("limit", Plan.FREE), step="look", runs_limit=5, when="next", description="")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "AI-Manus FREE: 10 runs → 5 runs a period" in page
    (row,) = answer.context["rows"]
    assert (row.who, str(row.count)) == ("Have it for free", "3")
    assert "when the month of UTC is over" in row.from_when
    assert (str(answer.context["effect"].begun), str(answer.context["effect"].above)) == ("1", "1")
    assert stored() == before


def test_runs_are_changed_from_the_next_period_by_default(
    billing: Desk, bob: Person, alice: Person, travel: Callable[[timedelta], datetime]
) -> None:
    now = travel(timedelta(minutes=1))
    fields = {"runs_limit": 6000, "when": "next", "description": "6,000 agent runs per month"}
    assert billing.get(at("limit", Plan.PRO)).context["form"]["when"].value() == "next"
    answer = look_and_do(billing, at("limit", Plan.PRO), **fields)
    assert answer.headers["Location"] == at("change", Plan.PRO)
    assert (plan(Plan.PRO).runs_limit, plan(Plan.PRO).description) == (6000, "6,000 agent runs per month")
    # What customers see: the offer at once, their own from the next period.
    assert [one["monthly_agent_runs_limit"] for one in bob.get("/billing/plans").json() if one["plan"] == "pro"] == [
        6000
    ]
    assert alice.get("/billing/subscription").json()["monthly_agent_runs_limit"] == 5000
    end = quota(alice.workspace, now).entitlement.period.end
    assert quota(alice.workspace, end).limit == 6000
    assert "5,000 runs" in billing.get(at("change", Plan.PRO)).content.decode()


def test_runs_are_changed_now_for_all(billing: Desk, alice: Person) -> None:
    fields = {"runs_limit": "", "when": "now", "description": "5,000 agent runs per month"}
    looked = send(billing, at("limit", Plan.PRO), step="look", **fields).content.decode()
    assert "5,000 runs → unlimited" in looked
    assert "The description still says 5,000." in looked
    look_and_do(billing, at("limit", Plan.PRO), **fields)
    assert alice.get("/billing/subscription").json()["monthly_agent_runs_limit"] is None


def test_runs_are_changed_now_for_those_who_are_named(
    billing: Desk, alice: Person, bob: Person, travel: Callable[[timedelta], datetime]
) -> None:
    other = person("other@example.com", plan=Plan.PRO)
    third = person("third@example.com", plan=Plan.PRO)
    travel(timedelta(minutes=1))
    named = f"  Alice@example.com,\n{third.workspace.pk}  "
    answer = look_and_do(billing, at("limit", Plan.PRO), runs_limit=6000, when="chosen", workspaces=named)
    assert answer.status_code == 302
    limits = [one.get("/billing/subscription").json()["monthly_agent_runs_limit"] for one in (alice, third, other)]
    assert limits == [6000, 6000, 5000]
    named_in_trail = AuditEntry.objects.filter(action="change runs limit").exclude(workspace_id=None)
    assert {one.workspace_id for one in named_in_trail} == {alice.workspace.pk, third.workspace.pk}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"when": "chosen", "workspaces": ""}, "Name the workspaces for which it is to hold now."),
        ({"when": "chosen", "workspaces": "alice@example.com nobody@example.com Alice"},
            "No workspace is known by: nobody@example.com, Alice."),
        ({"when": "chosen", "workspaces": "cus_none"}, "No workspace is known by: cus_none."),
        ({"when": "chosen", "workspaces": "bob@example.com"},
            "Bob is on AI-Manus FREE, and not on AI-Manus PRO."),
        ({"when": "next", "workspaces": "alice@example.com"},
            "Workspaces are named below, for which alone it is to hold now: choose that."),
        ({"when": "next", "runs_limit": 5000},
            "AI-Manus PRO has 5,000 runs a period already, from the next period at the latest."),
        ({"when": "next", "runs_limit": -1}, "Ensure this value is greater than or equal to 0."),
    ],
)  # fmt: skip
def test_a_change_of_runs_that_would_not_do_is_refused(
    billing: Desk, alice: Person, bob: Person, fields: dict[str, Any], sentence: str
) -> None:
    before = stored()
    answer = send(billing, at("limit", Plan.PRO), **{"step": "look", "runs_limit": 6000, **fields})
    assert answer.status_code in (400, 409)
    assert escape(sentence) in answer.content.decode()
    assert stored() == before


def test_too_many_are_not_named_one_by_one(billing: Desk) -> None:
    named = " ".join(f"number{number}@example.com" for number in range(201))
    answer = send(billing, at("limit", Plan.PRO), step="look", runs_limit=6000, when="chosen", workspaces=named)
    assert "At most 200 workspaces can be named at once, and these are 201." in answer.content.decode()


def test_what_was_not_looked_at_is_not_done(billing: Desk, alice: Person) -> None:
    path = at("limit", Plan.PRO)
    fields: dict[str, Any] = {"runs_limit": 6000, "when": "next"}
    seen = send(billing, path, step="look", **fields).context["seen"]
    before = stored()
    # Typed anew after the look, or never looked at, or changed by somebody else meanwhile: it is shown again.
    for more in ({"runs_limit": 60}, {"when": "now"}, {"seen": ""}):
        answer = send(billing, path, **{"step": "do", "seen": seen, **fields, **more})
        assert (answer.status_code, "Nothing has been done yet" in answer.content.decode()) == (200, True)
    assert stored() == before
    Plan.objects.filter(slug=Plan.PRO).update(runs_limit=5500)
    assert send(billing, path, step="do", seen=seen, **fields).status_code == 200
    assert plan(Plan.PRO).runs_limit == 5500
    # And where there is nothing left to do, it says so.
    Plan.objects.filter(slug=Plan.PRO).update(runs_limit=6000)
    assert send(billing, path, step="do", seen=seen, **fields).status_code == 409


def test_a_price_is_looked_at_and_set(billing: Desk, bob: Person) -> None:
    before = stored()
    fields = {"interval": "month", "currency": "USD", "amount": "21.00"}
    looked = send(billing, at("price"), step="look", **fields)
    page = looked.content.decode()
    for text in (
        "19.00 USD a month → 21.00 USD a month",
        "<dd>Nobody</dd>",
        "9.0 months",
        "Stripe is not set up",
    ):
        assert text in page
    assert stored() == before
    # Not by another amount than was looked at.
    answer = send(billing, at("price"), step="do", seen=looked.context["seen"], **fields | {"amount": "210.00"})
    assert (answer.status_code, stored() == before) == (200, True)
    token = once_token()
    answers = [
        send(billing, at("price"), token=token, step="do", seen=looked.context["seen"], **fields) for _ in range(2)
    ]
    assert [answer.headers.get("Location") for answer in answers] == [at("change")] * 2
    assert price().unit_amount == 2100
    assert AuditEntry.objects.filter(action="set price").count() == 1
    assert b"$21" in bob.client.get("/pricing", headers={"Accept": "text/html"}).content


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"amount": "19.00"}, "AI-Manus BASIC 19.00 USD a month is what it costs already."),
        ({"amount": "0"}, "AI-Manus BASIC must cost something"),
        ({"amount": "21.005"}, "An amount of USD has 2 decimals."),
        ({"amount": "21.5", "currency": "JPY"}, "An amount of JPY has 0 decimals."),
        ({"amount": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"currency": "EUR"}, "A price in EUR does not match what AI-Manus BASIC is sold at"),
        ({"currency": "XYZ"}, "XYZ is no currency"),
    ],
)
def test_a_price_that_would_not_do_is_refused(billing: Desk, fields: dict[str, Any], sentence: str) -> None:
    before = stored()
    form = {"step": "look", "interval": "month", "currency": "USD", "amount": "21.00", **fields}
    answer = send(billing, at("price"), **form)
    assert answer.status_code in (400, 409)
    assert sentence in answer.content.decode()
    assert stored() == before


def test_the_form_of_a_price_is_filled_with_the_one_that_is_to_change(billing: Desk) -> None:
    yearly = price(interval="year")
    page = billing.client.get(f"{at('price')}?price={yearly.pk}")
    form = page.context["form"]
    assert [str(form[name].value()) for name in ("interval", "currency", "amount")] == ["year", "USD", "190.00"]
    # Of another plan, or none, it is an empty one.
    for other in (price(Plan.PRO).pk, "nonsense"):
        form = billing.client.get(f"{at('price')}?price={other}").context["form"]
        assert form["amount"].value() is None
    assert "stripe_price_id" not in form.fields


def test_a_price_is_withdrawn_while_another_is_left(billing: Desk) -> None:
    assert "Nobody pays it now." in billing.get(withdraw(interval="year")).content.decode()
    assert send(billing, withdraw(interval="year")).headers["Location"] == at("change")
    answer = send(billing, withdraw())
    assert answer.status_code == 409
    assert "has no price, so nobody could buy it" in answer.content.decode()
    assert price().is_active


def test_without_stripe_nothing_is_published_and_the_page_says_why(billing: Desk) -> None:
    assert "Stripe is not set up here" in billing.get(PUBLISH).content.decode()
    answer = send(billing, PUBLISH)
    assert answer.status_code == 503
    assert not AuditEntry.objects.exists()


def test_nothing_is_edited_but_at_the_pages_that_have_the_rules(billing: Desk) -> None:
    before = stored()
    for path in (at("change"), f"{LIST}{plan().pk}/delete/"):
        assert billing.client.post(path, {"runs_limit": 1, "post": "yes"}).status_code == 403
    assert stored() == before


def test_an_edit_of_free_is_audited_and_kept_by_the_catalogue(billing: Desk, bob: Person) -> None:
    look_and_do(billing, at("limit", Plan.FREE), runs_limit=12, when="next", description="12 agent runs per month")
    entry = AuditEntry.objects.get(action="change runs limit")
    assert (entry.actor_id, entry.target) == (billing.user.pk, f"plan:{plan(Plan.FREE).pk}")
    assert (entry.before, entry.after) == (
        {"runs_limit": "10 runs"},
        {"runs_limit": "12 runs", "holds": "from the next period"},
    )
    month = clock.now() + timedelta(days=31)
    assert (quota(bob.workspace, clock.now()).limit, quota(bob.workspace, month).limit) == (10, 12)
