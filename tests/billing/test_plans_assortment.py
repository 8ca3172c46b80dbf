"""Plans by the hand of staff: made, edited, put in order, hidden, retired; each with a reason and an audit entry."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings as SettingsWrapper

from billing import assortment, catalogue, pricing
from billing.assortment import Mistake
from billing.models import AuditEntry, Feature, Plan, Price
from billing.terms import Terms
from tests.billing.facts import at
from tests.people import Person, put_on
from tests.threads import at_once

pytestmark = pytest.mark.django_db

NOW = at(2026, 3, 20, 12)


@pytest.fixture
def by(staff: Person) -> dict[str, Any]:
    return {"actor": staff.user, "reason": "A test", "now": NOW}


def plan(slug: str) -> Plan:
    return Plan.objects.get(slug=slug)


def ranks() -> dict[str, int]:
    return dict(Plan.objects.values_list("slug", "rank"))


def stored() -> list[Any]:
    rows: list[Any] = [list(table.objects.order_by("pk").values()) for table in (Plan, Price)]
    return [*rows, AuditEntry.objects.count()]


def refused(act: Callable[[], object], sentence: str) -> None:
    """With that sentence, and nothing is changed or written down."""
    before = stored()
    with pytest.raises(Mistake) as mistake:
        act()
    assert str(mistake.value) == sentence
    assert stored() == before


def trail(of: Plan) -> list[tuple[str, Any, Any]]:
    entries = AuditEntry.objects.filter(target=f"plan:{of.pk}").order_by("id")
    assert {(one.actor_name, one.reason, one.at) for one in entries} <= {("staff@example.com", "A test", NOW)}
    return [(one.action, one.before, one.after) for one in entries]


def small(by: dict[str, Any], **more: Any) -> Plan:
    values: dict[str, Any] = {"slug": "small-team", "name": "AI-Manus SMALL TEAM", "rank": 25, "runs_limit": 2000}
    return assortment.create(**values | more, **by)


def test_a_plan_that_is_made_is_hidden_and_no_catalogue_touches_it(by: dict[str, Any], bob: Person) -> None:
    made = small(by, features=[Feature.API_KEYS], members_limit=5)
    made.refresh_from_db()
    assert (made.is_public, made.runs_limit, made.members_limit, made.features) == (False, 2000, 5, ["api_keys"])
    assert "small-team" not in [one["plan"] for one in bob.get("/billing/plans").json()]
    assert trail(made) == [
        (
            "add plan",
            {},
            {
                "slug": "small-team",
                "rank": 25,
                "runs_limit": "2,000 runs",
                "is_public": False,
                "name": "AI-Manus SMALL TEAM",
                "features": ["api_keys"],
                "members_limit": "5",
            },
        )
    ]
    before = stored()
    catalogue.load(now=NOW, overwrite=True)
    assert stored() == before


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"slug": "pro"}, "The word pro is AI-Manus PRO's already."),
        (
            {"slug": "Small Team"},
            "The word of a plan is of small letters and digits, with hyphens between them: small-team.",
        ),
        ({"name": "ai-manus pro"}, "There is a plan of the name ai-manus pro already."),
        (
            {"rank": 30},
            "AI-Manus PRO has the number 30: give AI-Manus SMALL TEAM another, or move that one first.",
        ),
        ({"rank": 10_000}, "The number is 0 to 9,999."),
        ({"name": ""}, "Name: This field cannot be blank."),
        ({"features": ["teleport"]}, "Features: Item 1 in the array did not validate: Value 'teleport' is not a valid"
            " choice."),
        ({"members_limit": -1}, "Members limit: Ensure this value is greater than or equal to 0."),
    ],
)  # fmt: skip
def test_a_plan_that_would_not_do_is_not_made(by: dict[str, Any], values: dict[str, Any], sentence: str) -> None:
    refused(lambda: small(by, **values), sentence)


def test_an_edit_holds_at_once_is_written_down_and_kept_by_the_catalogue(by: dict[str, Any], alice: Person) -> None:
    pro = plan(Plan.PRO)
    values: dict[str, Any] = {"name": "AI-Manus PRO", "description": "For those who run much", "members_limit": 3}
    assortment.edit(pro, **values, **by)
    pro.refresh_from_db()
    assert (pro.description, pro.members_limit) == ("For those who run much", 3)
    # Only what was changed.
    assert trail(pro) == [
        (
            "edit plan",
            {"description": "5,000 agent runs per month", "members_limit": "unlimited"},
            {"description": "For those who run much", "members_limit": "3"},
        )
    ]
    assert alice.subscription.comp_plan == pro
    catalogue.load(now=NOW)
    assert plan(Plan.PRO).description == "For those who run much"
    catalogue.load(now=NOW, overwrite=True)
    assert plan(Plan.PRO).description == "5,000 agent runs per month"


def test_an_edit_that_changes_nothing_or_would_not_do_is_refused(by: dict[str, Any]) -> None:
    pro = plan(Plan.PRO)
    refused(lambda: assortment.edit(pro, name=pro.name, **by), "Nothing of AI-Manus PRO would change.")
    refused(
        lambda: assortment.edit(pro, name="AI-Manus BASIC", **by),
        "There is a plan of the name AI-Manus BASIC already.",
    )
    with pytest.raises(TypeError, match="runs_limit"):
        assortment.edit(pro, runs_limit=1, **by)


def test_two_plans_exchange_their_places(by: dict[str, Any], bob: Person) -> None:
    put_on(bob.workspace, Plan.BASIC)
    assortment.exchange(plan(Plan.BASIC), with_plan=plan(Plan.PRO), **by)
    assert ranks() == {"free": 0, "trial": 10, "pro": 20, "basic": 30, "enterprise": 40}
    assert [one["plan"] for one in bob.get("/billing/plans").json()] == ["free", "trial", "pro", "basic", "enterprise"]
    assert trail(plan(Plan.BASIC)) == [("order plans", {"basic": 20, "pro": 30}, {"basic": 30, "pro": 20})]
    # The catalogue keeps that, and undoes it when it is told to.
    catalogue.load(now=NOW)
    assert ranks()["basic"] == 30
    catalogue.load(now=NOW, overwrite=True)
    assert ranks() == {"free": 0, "trial": 10, "basic": 20, "pro": 30, "enterprise": 40}


def test_a_plan_moves_to_a_number_that_is_free(by: dict[str, Any]) -> None:
    assortment.move(plan(Plan.BASIC), rank=35, **by)
    assert ranks()["basic"] == 35
    assert trail(plan(Plan.BASIC)) == [("order plans", {"basic": 20}, {"basic": 35})]
    refused(lambda: assortment.move(plan(Plan.BASIC), rank=35, **by), "AI-Manus BASIC has the number 35 already.")
    refused(
        lambda: assortment.move(plan(Plan.BASIC), rank=30, **by),
        "AI-Manus PRO has the number 30: give AI-Manus BASIC another, or move that one first.",
    )


def test_free_stays_the_lowest(by: dict[str, Any]) -> None:
    sentence = "AI-Manus FREE stays the lowest plan: it is what remains when everything else has ended."
    refused(lambda: assortment.move(plan(Plan.FREE), rank=15, **by), sentence)
    refused(lambda: assortment.exchange(plan(Plan.TRIAL), with_plan=plan(Plan.FREE), **by), sentence)
    assortment.move(plan(Plan.FREE), rank=5, **by)
    refused(lambda: assortment.move(plan(Plan.PRO), rank=4, **by), sentence)
    refused(lambda: small(by, rank=1), sentence)


def test_what_is_hidden_is_neither_shown_nor_sold_and_can_be_shown_again(by: dict[str, Any], bob: Person) -> None:
    assortment.hide(plan(Plan.PRO), **by)
    assert "pro" not in [one["plan"] for one in bob.get("/billing/plans").json()]
    assert b"AI-Manus PRO" not in bob.client.get("/pricing", headers={"Accept": "text/html"}).content
    refused(lambda: assortment.hide(plan(Plan.PRO), **by), "AI-Manus PRO is hidden already.")
    pricing.show(plan(Plan.PRO), **by)
    assert "pro" in [one["plan"] for one in bob.get("/billing/plans").json()]
    assert [line[0] for line in trail(plan(Plan.PRO))] == ["hide plan", "show plan"]
    refused(lambda: pricing.show(plan(Plan.PRO), **by), "AI-Manus PRO is shown already.")


def test_who_has_a_retired_plan_keeps_it_and_nobody_else_gets_it(by: dict[str, Any], bob: Person) -> None:
    put_on(bob.workspace, Plan.PRO, now=NOW - timedelta(days=3))
    assortment.retire(plan(Plan.PRO), **by)
    retired = plan(Plan.PRO)
    assert (retired.is_public, retired.retired_at) == (False, NOW)
    assert "pro" not in [one["plan"] for one in bob.get("/billing/plans").json()]
    assert bob.subscription.comp_plan == retired
    assert trail(retired) == [
        (
            "retire plan",
            {"is_public": True, "retired_at": None},
            {"is_public": False, "retired_at": "2026-03-20T12:00:00Z"},
        )
    ]
    refused(lambda: assortment.retire(retired, **by), "AI-Manus PRO is retired already.")
    refused(lambda: pricing.show(retired, **by), "AI-Manus PRO is retired. Bring it back first, and then show it.")
    refused(
        lambda: pricing.set_price(retired, Terms("month", "usd", 5900), **by),
        "AI-Manus PRO is retired, and is not sold. Bring it back first.",
    )
    catalogue.load(now=NOW, overwrite=True)
    assert plan(Plan.PRO).retired_at == NOW


def test_a_plan_that_is_brought_back_is_hidden_until_it_is_shown(by: dict[str, Any]) -> None:
    refused(lambda: assortment.bring_back(plan(Plan.PRO), **by), "AI-Manus PRO is not retired.")
    assortment.retire(plan(Plan.PRO), **by)
    assortment.bring_back(plan(Plan.PRO), **by)
    assert (plan(Plan.PRO).retired_at, plan(Plan.PRO).is_public) == (None, False)
    pricing.show(plan(Plan.PRO), **by)
    assert plan(Plan.PRO).is_public


@pytest.mark.parametrize("act", [assortment.hide, assortment.retire])
@pytest.mark.parametrize(
    ("slug", "why"),
    [
        (Plan.FREE, "it is what remains when everything else has ended."),
        (Plan.TRIAL, "everybody has one trial."),
    ],
)
def test_free_and_trial_are_always_there(by: dict[str, Any], act: Any, slug: str, why: str) -> None:
    what = "hidden" if act is assortment.hide else "retired"
    refused(lambda: act(plan(slug), **by), f"AI-Manus {slug.upper()} cannot be {what}: {why}")


def test_a_plan_is_shown_only_with_a_price_that_visitors_see(by: dict[str, Any], settings: SettingsWrapper) -> None:
    made = small(by)
    refused(
        lambda: pricing.show(made, **by),
        "AI-Manus SMALL TEAM has no price, so nobody could buy it. Set a price in USD first.",
    )
    pricing.set_price(made, Terms("month", "eur", 2900), **by)
    refused(
        lambda: pricing.show(made, **by),
        "Visitors are shown prices in USD, and AI-Manus SMALL TEAM is sold at 29.00 EUR a month only."
        " Set a price in USD first.",
    )
    settings.DEFAULT_CURRENCY = "eur"
    pricing.show(made, **by)
    assert plan("small-team").is_public


def test_a_price_of_nothing_is_none(by: dict[str, Any]) -> None:
    made = small(by)
    Price.objects.create(plan=made, unit_amount=0)
    refused(
        lambda: pricing.show(made, **by),
        "AI-Manus SMALL TEAM 0.00 USD a month is no price for a plan that is sold. Set a price in USD first.",
    )


def test_enterprise_is_shown_without_a_price(by: dict[str, Any]) -> None:
    assortment.hide(plan(Plan.ENTERPRISE), **by)
    pricing.show(plan(Plan.ENTERPRISE), **by)
    assert plan(Plan.ENTERPRISE).is_public


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_the_same_number_at_once_one_gets_it(by: dict[str, Any]) -> None:
    acts = [lambda slug=slug: assortment.move(plan(slug), rank=35, **by) for slug in (Plan.BASIC, Plan.PRO, Plan.TRIAL)]
    results = at_once(acts)
    assert sorted(type(one).__name__ for one in results) == ["Mistake", "Mistake", "Plan"], results
    assert list(ranks().values()).count(35) == 1
    assert AuditEntry.objects.filter(action="order plans").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_make_the_same_plan_at_once_one_does(by: dict[str, Any]) -> None:
    results = at_once([lambda: small(by)] * 2)
    assert sorted(type(one).__name__ for one in results) == ["Mistake", "Plan"], results
    assert Plan.objects.filter(slug="small-team").count() == AuditEntry.objects.filter(action="add plan").count() == 1
