"""A view that names a feature answers 402 to plans that come without it."""

import pytest
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts import tokens
from billing.models import Feature, Plan
from billing.permissions import HasFeature
from tests.billing.meter import plan
from tests.people import Person


class Keys(APIView):
    permission_classes = (IsAuthenticated, HasFeature)
    feature = Feature.API_KEYS

    def get(self, request: Request) -> Response:
        return Response({"keys": []})


def ask(someone: Person) -> Response:
    bearer = f"Bearer {tokens.sign_in(someone.user).access_token}"
    response = Keys.as_view()(APIRequestFactory().get("/", headers={"Authorization": bearer}))
    assert isinstance(response, Response)
    return response


def test_a_plan_without_the_feature_is_refused_in_words(bob: Person) -> None:
    answer = ask(bob)
    assert answer.status_code == 402
    assert answer.data["detail"] == "API keys is not part of the Free plan."
    assert answer.data["code"] == "feature_not_in_plan"
    assert answer.data["subscription"]["plan"] == "free"
    assert answer.data["upgrade_url"].endswith("/billing/")
    assert answer.headers["X-Quota-Remaining"] == "10"


def test_a_plan_with_it_is_let_through(alice: Person) -> None:
    answer = ask(alice)
    assert (answer.status_code, answer.data) == (200, {"keys": []})


@pytest.mark.parametrize("features", [[], ["basic_agent"]])
def test_what_staff_take_off_a_plan_is_gone_at_once(alice: Person, features: list[str]) -> None:
    plan(Plan.PRO, features=features)
    assert ask(alice).status_code == 402
