"""The endpoints under /api/v1/billing."""

from datetime import timedelta
from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import access
from accounts.api import PublicView
from accounts.idempotency import idempotent
from accounts.pagination import CursorPages
from accounts.roles import Act, RoleAllows, WorkspaceIsOpen
from billing import lifecycle, reports
from billing.models import LedgerEntry, Plan, Price
from billing.quotas import day_in_words, quota_for
from billing.serializers import (
    LedgerEntrySerializer,
    PlanSerializer,
    SubscriptionSerializer,
    TrialActivatedSerializer,
    UsageQuerySerializer,
    UsageSerializer,
    subscription_shape,
)


class Plans(PublicView):
    @extend_schema(responses=PlanSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What can be bought, in order."""
        active = Prefetch("prices", Price.objects.filter(is_active=True))
        return Response(PlanSerializer(Plan.objects.filter(is_public=True).prefetch_related(active), many=True).data)


class SubscriptionView(APIView):
    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_USAGE

    @extend_schema(responses=SubscriptionSerializer)
    def get(self, request: Request) -> Response:
        """The workspace's subscription, and what it allows now. Reading it changes nothing."""
        return Response(shape_of(request))


class ActivateTrial(APIView):
    permission_classes = (IsAuthenticated, RoleAllows, WorkspaceIsOpen)
    act = Act.BILL

    @extend_schema(request=None, responses=TrialActivatedSerializer)
    @idempotent
    def post(self, request: Request) -> Response:
        """Start the trial, which every person has once."""
        held = access.of(request)
        subscription = held.workspace.subscription
        lifecycle.activate_trial(subscription, actor=held.user, now=held.now)
        quota = quota_for(subscription, now=held.now)
        ends_at = quota.entitlement.period.end
        return Response(
            {
                "message": f"Your trial has begun: {quota.limit} runs until {day_in_words(ends_at)}.",
                "trial_end": ends_at,
                "runs_limit": quota.limit,
                "subscription": shape_of(request),
            }
        )


class Usage(APIView):
    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_USAGE

    @extend_schema(parameters=[UsageQuerySerializer], responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """The present period, runs day by day, and when at this pace they will be spent."""
        held = access.of(request)
        subscription = held.workspace.subscription
        quota = quota_for(subscription, now=held.now)
        period = quota.entitlement.period
        # The last day of a period counts whole, also where the period ends within it.
        ends_on = (period.end - timedelta(microseconds=1)).date() + timedelta(days=1)
        query = UsageQuerySerializer(
            data={"from": period.start.date(), "to": ends_on} | request.query_params.dict(),
        )
        query.is_valid(raise_exception=True)
        shape: dict[str, Any] = {
            "period": {"start": period.start, "end": period.end},
            "used": quota.used,
            "limit": quota.limit,
            "remaining": quota.remaining,
            "credits": quota.credits,
            "per_day": reports.runs_per_day(
                subscription,
                start=query.validated_data["from"],
                end=query.validated_data["to"],
            ),
            "forecast": {"exhausted_on": reports.exhausted_on(quota, now=held.now)},
        }
        return Response(UsageSerializer(shape).data)


class LedgerPages(CursorPages):
    ordering = ("-created_at", "-id")


class Ledger(ListAPIView[LedgerEntry]):
    """Every change of what is left, the newest first."""

    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_LEDGER
    serializer_class = LedgerEntrySerializer
    pagination_class = LedgerPages

    def get_queryset(self) -> Any:
        return LedgerEntry.objects.filter(workspace=access.of(self.request).workspace)


def shape_of(request: Request) -> dict[str, Any]:
    held = access.of(request)
    subscription = held.workspace.subscription
    quota = quota_for(subscription, now=held.now)
    return subscription_shape(quota, lifecycle.standing_of(subscription))
